"""`celery-harness run`: load, run cell by cell, report, exit with the verdict."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError, Interrupted, UsageError
from harness.model.result import RunResult

if TYPE_CHECKING:
    from harness.ports.observer import Observer
    from harness.ports.reporter import Listener, Progress
    from harness.ports.runtime import Runtime
    from harness.run.signals import InterruptGuard
    from harness.scenario import LoadedScenario

__all__ = ["Chosen", "Options", "listener_for", "run", "run_all", "run_in_turn", "run_one"]


@dataclass(frozen=True)
class Options:
    """What the command line says about how to run."""

    runtime: str = "auto"
    reports: Path = Path("reports")
    seed: int | None = None
    jobs: int = 1
    tags: tuple[str, ...] = ()
    select: str = ""
    repeat: int = 1
    keep: bool = False
    dry_run: bool = False
    as_json: bool = False
    cell: int | None = None
    observers: tuple[Observer, ...] = ()
    measured: bool = False


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--runtime",
    type=click.Choice(["auto", "containers", "processes"]),
    default="auto",
    show_default=True,
    help="Where brokers and workers run; auto: as the file or CELERY_HARNESS_RUNTIME says, else in containers where an engine answers.",
)
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Where runs write.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Instead of the scenario's own.")
@click.option("-j", "--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Scenarios at a time.")
@click.option("--tags", multiple=True, help="Only scenarios with this tag; repeat or separate by commas for any of several.")
@click.option("-k", "select", default="", help="Only scenarios whose name matches, e.g. 'charge*'.")
@click.option("--repeat", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Run each so often, with seeds that follow.")
@click.option("--keep", is_flag=True, help="Keep the journals of the clean passes too.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line on standard output.")
@click.option("--metrics", type=click.IntRange(0, 65535), help="OpenMetrics of the run on this port of loopback; 0: any free one.")
@click.option("--cell", type=int, hidden=True, help="Only the n-th cell of the matrix (from 0): for --jobs.")
@click.option("--lifeline", is_flag=True, hidden=True, help="Stop once the input ends: for --jobs.")
def run(
    files: tuple[str, ...],
    runtime: str,
    reports: Path,
    seed: int | None,
    jobs: int,
    tags: tuple[str, ...],
    select: str,
    repeat: int,
    keep: bool,
    dry_run: bool,
    as_json: bool,
    metrics: int | None,
    cell: int | None,
    lifeline: bool,
) -> None:
    """Run scenarios (files or folders) and judge them."""
    if lifeline:
        from harness.cli.jobs import end_with_parent

        end_with_parent()
    wanted = tuple(t for group in tags for t in group.split(",") if t)
    options = Options(runtime, reports, seed, jobs, wanted, select, repeat, keep, dry_run, as_json, cell)
    if metrics is None or dry_run:
        raise click.exceptions.Exit(run_all(files, options))
    if jobs > 1:
        raise UsageError("--metrics shows one run at a time", hint="leave out --jobs, or --metrics")
    from harness.reporting.metrics_endpoint import MetricsEndpoint

    with closing(MetricsEndpoint(metrics)) as endpoint:
        raise click.exceptions.Exit(run_all(files, replace(options, observers=(endpoint,))))


def run_all(files: tuple[str, ...], options: Options) -> int:
    """All cells of all files; the exit code. Every file is loaded before anything starts."""
    from harness.cli.look import scenario_files

    cells = _load(scenario_files(files), options)
    if options.dry_run:
        for one in cells:
            scenario = one.loaded.scenario
            click.echo(f"{one.loaded.path}  {one.loaded.title}, seed {scenario.seed}, {len(scenario.timeline)} faults")
        return 0
    if options.jobs > 1 and len(cells) > 1:
        from harness.cli.jobs import run_in_parallel

        return run_in_parallel(cells, options)
    return run_in_turn(cells, options)


def run_in_turn(cells: Sequence[Chosen], options: Options) -> int:
    """One after another, each on its runtime; the exit code over all."""
    from harness.assembly import choose_runtime
    from harness.run.signals import InterruptGuard

    used: list[Runtime] = []

    def runtime_of(name: str) -> Runtime:
        runtime = choose_runtime(name)
        if len(cells) > 1 and runtime not in used:
            used.append(runtime)
            runtime.keep()
        return runtime

    with InterruptGuard() as guard:  # each run has one of its own; this is for what lies between and after them
        try:
            code = _run_in_turn(cells, runtime_of, options, guard)
        finally:
            for runtime in used:
                runtime.close()
        _stop_if_told(guard)
    return code


def _run_in_turn(cells: Sequence[Chosen], runtime_of: Callable[[str], Runtime], options: Options, guard: InterruptGuard) -> int:
    """One after another; the exit code over all. More than one close with a table."""
    from harness.cli.overview import Overview

    listener, overview = listener_for(options), Overview(len(cells), quiet=options.as_json)
    try:
        for number, one in enumerate(cells, 1):
            _stop_if_told(guard)
            title = one.title if options.as_json or len(cells) == 1 else f"{one.title}   {number} of {len(cells)}"
            try:
                result, _ = run_one(one.loaded, runtime_of(one.runtime), options, _Titled(listener, title))
            except Interrupted:
                raise
            except HarnessError as exc:
                if len(cells) == 1:
                    raise
                click.echo(f"error in {one.title}: {exc}", err=True)
                overview.add_error(one.title, exc)
            else:
                overview.add(one.title, result)
    except Interrupted as exc:
        overview.close(exc.exit_code)
        raise
    return overview.close()


def _stop_if_told(guard: InterruptGuard) -> None:
    """Where no run is under way, so that no report is partial."""
    try:
        guard.check()
    except Interrupted as exc:
        exc.what = "interrupted: everything was stopped; the runs that had ended have their reports"
        raise


@dataclass(frozen=True)
class Chosen:
    """A cell and its number in its file's matrix. ``title``: what people are told of it."""

    loaded: LoadedScenario
    index: int
    runtime: str
    title: str


class _Titled:
    """A listener that is told which cell begins: the run itself knows its scenario's name alone."""

    def __init__(self, listener: Listener, title: str) -> None:
        self._listener, self._title = listener, title

    def begun(self, title: str, environment: str) -> None:
        self._listener.begun(self._title, environment)

    def progress(self, event: Progress) -> None:
        self._listener.progress(event)

    def finished(self, result: RunResult, folder: Path) -> None:
        self._listener.finished(result, folder)


def _load(paths: list[Path], options: Options) -> list[Chosen]:
    from harness.assembly import registry, wanted_runtime
    from harness.scenario import check_abilities, load_scenarios

    known = registry()
    cells: list[Chosen] = []
    errors: list[HarnessError] = []
    for path in paths:
        try:
            loaded = load_scenarios(path, known, seed=options.seed)
            for more in range(1, options.repeat):
                loaded += load_scenarios(path, known, seed=loaded[0].scenario.seed + more)
            runtimes = [wanted_runtime(cell, options.runtime) for cell in loaded]
            for cell, runtime in zip(loaded, runtimes, strict=True):
                check_abilities(cell, known.runtimes[runtime])
            if loaded[0].scenario.only_explores:
                if len(paths) > 1:
                    continue  # beside others, as in a folder, it is no mistake
                raise _nothing_to_run(loaded[0])
        except HarnessError as exc:
            errors.append(exc)
        else:
            size = len(loaded) // options.repeat
            numbered = [Chosen(c, n % size, runtimes[n], _title(c, options)) for n, c in enumerate(loaded)]
            cells += [c for c in numbered if options.cell in (None, c.index) and _chosen(c.loaded, options)]
    if errors:
        for extra in errors[1:]:
            click.echo(f"error: {extra}", err=True)
        raise errors[0]
    if not cells:
        why = "--tags and -k leave none" if options.tags or options.select else "these files only say what to explore"
        raise UsageError("no scenario is left", hint=f"{why}; `celery-harness list` shows names and tags")
    return cells


def _nothing_to_run(loaded: LoadedScenario) -> HarnessError:
    return loaded.error(
        "there is nothing to run: the file only says what to explore", "explore", hint=f"celery-harness explore {loaded.path}"
    )


def _title(loaded: LoadedScenario, options: Options) -> str:
    """Scenario and cell, and what tells one repetition from the next."""
    return loaded.title + (f", seed {loaded.scenario.seed}" if options.repeat > 1 else "")


def _chosen(loaded: LoadedScenario, options: Options) -> bool:
    tagged = not options.tags or set(options.tags) & set(loaded.scenario.tags)
    pattern = options.select if any(c in options.select for c in "*?[") else f"*{options.select}*"
    return bool(tagged) and (not options.select or fnmatch.fnmatch(loaded.name, pattern))


def listener_for(options: Options) -> Listener:
    """Console, or JSON lines."""
    from harness.reporting import LISTENERS

    return LISTENERS["json" if options.as_json else "console"]()


def run_one(
    loaded: LoadedScenario, runtime: Runtime, options: Options, listener: Listener, root: Path | None = None
) -> tuple[RunResult, Path]:
    """One cell, with its report; the result and its folder. ``root``: of the project; None: the working folder."""
    from harness.assembly import build_cell, default_writers
    from harness.ports.clock import MonotonicClock
    from harness.run.folders import new_run_folder, settle_folder
    from harness.run.runner import run_cell

    clock = MonotonicClock()
    run_id, folder = new_run_folder(options.reports)
    cell = replace(build_cell(loaded, root or Path.cwd(), clock), observers=options.observers, measured=options.measured)
    try:
        result = run_cell(
            cell, runtime, run_id=run_id, folder=folder, clock=clock, listener=listener, writers=default_writers(), keep=options.keep
        )
    finally:
        settle_folder(options.reports, folder)
    return result, folder
