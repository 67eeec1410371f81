"""`celery-harness load`: a scenario's system and timeline under Locust's users, or under its own open loop."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.load_search import asked_for, positive, run_search, search_options
from harness.cli.run import Chosen, Options, run_all, run_in_turn
from harness.errors import UsageError
from harness.model.quantities import parse_duration, parse_rate
from harness.model.scenario import LocustSpec

if TYPE_CHECKING:
    from harness.reporting.metrics_endpoint import MetricsEndpoint
    from harness.scenario import LoadedScenario

__all__ = ["load", "with_locust"]

_PAGE, _MASTER = 8089, 5557  # Locust's own defaults
_NO_LIMIT = "no load: Locust takes 0 for no limit"


@click.command()
@click.argument("file")
@click.option("--locustfile", default="", help="Locust's users make the calls, in place of the scenario's load.")
@click.option("--users", type=click.IntRange(1, 100_000), help="At most so many at a time.")
@click.option("--spawn-rate", default="", help="Users started per second.")
@click.option("--run-time", default="", help="How long, such as 30s or 1m 30s.")
@click.option("--processes", type=click.IntRange(1, 64), help="Locust processes that share the users.")
@click.option(
    "--web", type=click.IntRange(1, 65_535), is_flag=False, flag_value=_PAGE, help="Locust's page on 127.0.0.1 at this port (8089)."
)
@click.option("--csv", default="", help="Prefix of Locust's CSV files; without it they are in the run's folder.")
@click.option("--master-port", type=click.IntRange(1, 65_535), help="Locust's users run in workers that you start, which find this port.")
@click.option("--expect-workers", type=click.IntRange(1, 10_000), help="How many of these; the load begins when they are there.")
@search_options
@click.option("--runtime", type=click.Choice(["auto", "containers", "processes"]), default="auto", show_default=True)
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Where runs write.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Instead of the scenario's own.")
@click.option("--metrics", type=click.IntRange(0, 65535), help="OpenMetrics of each run on this port of loopback; 0: any free one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line on standard output.")
def load(
    file: str,
    locustfile: str,
    users: int | None,
    spawn_rate: str,
    run_time: str,
    processes: int | None,
    web: int | None,
    csv: str,
    master_port: int | None,
    expect_workers: int | None,
    runtime: str,
    reports: Path,
    seed: int | None,
    metrics: int | None,
    as_json: bool,
    **search: Any,
) -> None:
    """Put the system of scenario FILE under load and judge it."""
    users_options = {
        "--locustfile": locustfile,
        "--users": users,
        "--spawn-rate": spawn_rate,
        "--run-time": run_time,
        "--processes": processes,
    }
    users_options |= {"--web": web, "--csv": csv, "--master-port": master_port, "--expect-workers": expect_workers}
    asked = asked_for(search, [option for option, value in users_options.items() if value])
    if asked is not None:
        with _shown(metrics) as endpoint:
            code = run_search(file, asked, runtime=runtime, reports=reports, seed=seed, as_json=as_json, metrics=endpoint)
        raise click.exceptions.Exit(code)
    changes: dict[str, Any] = {"file": locustfile or None, "users": users, "processes": processes}
    per_second = spawn_rate if "/" in spawn_rate or not spawn_rate else f"{spawn_rate}/s"
    changes["spawn_rate"] = positive("--spawn-rate", per_second, parse_rate, nothing=_NO_LIMIT)
    seconds = positive("--run-time", f"{run_time}s" if run_time.isdigit() else run_time, parse_duration, nothing=_NO_LIMIT)
    changes["duration"] = None if seconds is None else math.ceil(seconds)  # Locust counts whole seconds
    extra = [f"--web-port={web}"] if web else []
    extra += [f"--csv={Path(csv).resolve()}"] if csv else []
    extra += (
        [f"--master-bind-port={master_port or _MASTER}", f"--expect-workers={expect_workers or 1}"] if master_port or expect_workers else []
    )
    options = Options(runtime=runtime, reports=reports, seed=seed, as_json=as_json, measured=True)
    given = {name: value for name, value in changes.items() if value is not None}
    with _shown(metrics) as endpoint:
        code = _run(file, given, extra, dataclasses.replace(options, observers=(endpoint,) if endpoint else ()))
    raise click.exceptions.Exit(code)


@contextmanager
def _shown(port: int | None) -> Iterator[MetricsEndpoint | None]:
    """Figures on this port as long as the runs take; None: nobody asked for them."""
    if port is None:
        yield None
        return
    from harness.reporting.metrics_endpoint import MetricsEndpoint

    with closing(MetricsEndpoint(port)) as endpoint:
        yield endpoint


def _run(file: str, changes: dict[str, Any], extra: list[str], options: Options) -> int:
    from harness.assembly import registry, wanted_runtime
    from harness.cli.look import scenario_files
    from harness.scenario import check_abilities, load_scenarios

    known = registry()
    (path, *others) = scenario_files((file,))
    if others:
        raise UsageError(f"{file} holds {len(others) + 1} scenarios", hint="load takes one scenario file")
    cells = load_scenarios(path, known, seed=options.seed)
    if not any(cell.scenario.locust for cell in cells) and "file" not in changes:
        if changes or extra:
            raise UsageError(
                f"{path} has no `locust:`, and no --locustfile is given", hint="name the locustfile whose users make the calls"
            )
        return run_all((file,), options)
    chosen = [with_locust(cell, changes, extra) for cell in cells]
    names = [wanted_runtime(cell, options.runtime) for cell in chosen]
    for cell, name in zip(chosen, names, strict=True):
        check_abilities(cell, known.runtimes[name])
    return run_in_turn([Chosen(cell, n, names[n], cell.title) for n, cell in enumerate(chosen)], options)


def with_locust(loaded: LoadedScenario, changes: dict[str, Any], extra: list[str]) -> LoadedScenario:
    """The scenario with Locust in place of its load. ``changes``: fields of `LocustSpec`; ``extra``: options of Locust's command line.

    Checks that need calls which are known before the run are left out, and the text that repeats the run has none of them; nor has it
    ``extra``, which is about who looks on, and where.
    """
    from harness.assembly import registry
    from harness.scenario.locust import check_locustfile

    spec = loaded.scenario.locust
    if loaded.scenario.schedule:
        what = "a `schedule` says when each of its calls is made, and its faults hang on that: Locust's users cannot take their place"
        raise UsageError(what, hint="write a scenario with `locust` and a `timeline`")
    if "file" in changes and (trouble := check_locustfile(changes["file"])):
        raise UsageError(trouble[0], hint=trouble[1])
    before = spec.model_dump() if spec else {}
    spec = LocustSpec.model_construct(**{**LocustSpec.model_construct().model_dump(), **before, **changes})
    if any(item.when is not None and item.when.call is not None for item in loaded.scenario.timeline):
        raise UsageError("a fault of this scenario waits for one call by its number, and Locust's calls have none before the run")
    known = registry()
    out = [name for name in loaded.checks if getattr(known.checks[name], "needs_clean", False)]
    for name in out:
        click.echo(f"note: {name} is left out: it needs calls that are known before the run, and Locust's are not", err=True)
    kept = {name: value for name, value in loaded.scenario.checks.items() if name not in out}
    running = spec.model_copy(update={"options": (*spec.options, *extra)})
    scenario = loaded.scenario.model_copy(update={"load": (), "locust": running, "checks": kept})
    checks = {name: value for name, value in loaded.checks.items() if name not in out}
    return dataclasses.replace(loaded, scenario=scenario, checks=checks, text=_text(loaded.text, spec, out))


def _text(text: str, spec: LocustSpec, out: list[str]) -> str:
    from ruamel.yaml import YAML

    from harness.scenario.loader import written_out

    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    document.pop("load", None)
    document["locust"] = {
        "file": spec.file,
        "users": spec.users,
        "processes": spec.processes,
        **({"spawn_rate": f"{spec.spawn_rate:g}/s"} if spec.spawn_rate else {}),
        **({"for": f"{spec.duration:g}s"} if spec.duration else {}),
        **({"options": list(spec.options)} if spec.options else {}),
    }
    if document.get("checks"):
        document["checks"] = {name: value for name, value in document["checks"].items() if name not in out}
    return written_out(document)
