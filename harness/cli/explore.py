"""`celery-harness explore`: a task, crashed at every moment, any number of times."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from harness.errors import UsageError
from harness.model.quantities import parse_duration

__all__ = ["arguments_of", "explore", "json_of", "seconds_of"]


_DRAWN = re.compile(r"types|[\w.]+:[\w.]+")


@click.command()
@click.argument("target", metavar="SCENARIO|APP", default="")
@click.option("--task", default="", help="The task; none: those that the scenario's `explore` names.")
@click.option(
    "--args", "arguments", default="", help="Its positional arguments, as a JSON list; or how all are drawn: types, or module:strategy."
)
@click.option("--kwargs", "keywords", default="", help="Its keyword arguments, as a JSON object.")
@click.option("--examples", type=click.IntRange(1, 1000), help="So many sets of arguments are drawn.")
@click.option("--worlds", type=click.IntRange(1, 1_000_000), help="Visit at most so many.")
@click.option("--time", "seconds", default="", help="Visit for at most so long, such as 60s.")
@click.option("--kills", type=click.IntRange(1, 100), help="At most so many crashes one after another.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Where the report is written.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="Instead of the scenario's own: it picks the worlds that are reached again."
)
@click.option(
    "--points",
    type=click.Choice(["auto", "effects", "lines"]),
    default="auto",
    show_default=True,
    help="Where it is crashed: before each effect, or before each line of your code where the kernel refuses the former.",
)
@click.option("-j", "--jobs", type=click.IntRange(1, 64), help="Tasks at a time. [default: as many as there are processors]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per task on standard output.")
@click.pass_context
def explore(
    context: click.Context,
    target: str,
    task: str,
    arguments: str,
    keywords: str,
    examples: int | None,
    worlds: int | None,
    seconds: str,
    kills: int | None,
    reports: Path,
    seed: int | None,
    points: str,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Prove that a task survives any crash of its worker, or show the line where it does not.

    SCENARIO says what the task needs; APP is module:attribute, where it needs nothing but a broker.
    """
    from harness.cli.explore_items import Wanted
    from harness.cli.explore_run import run_explorations

    limit = {name: value for name, value in (("worlds", worlds), ("time", seconds_of(seconds)), ("kills", kills)) if value is not None}
    args = arguments_of(arguments)
    kwargs = json_of("--kwargs", keywords, dict)
    if not task and (args is not None or kwargs is not None):
        raise UsageError("--args and --kwargs belong to a task", hint="name it with --task")
    wanted = Wanted(
        _target(context, target), task, args, kwargs, limit, reports, seed, as_json, points=points, examples=examples, jobs=jobs or 0
    )
    raise click.exceptions.Exit(run_explorations(wanted))


def _target(context: click.Context, target: str) -> str:
    """`celery -A app harness explore` gives the app before the command (see `harness.celery_command`)."""
    found = target or str(context.find_root().obj or "")
    if not found:
        raise UsageError("nothing to explore", hint="name a scenario file, or an app as module:attribute")
    return found


def seconds_of(text: str) -> float | None:
    """Of --time; None where it was not given."""
    if not text:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"--time: {exc}") from None
    if seconds <= 0:
        raise UsageError("--time 0 leaves no time to visit anything")
    return seconds


def arguments_of(text: str) -> list[Any] | str | None:
    """Of `--args`: a list, or where all are drawn from ('types', module:strategy); None where it was not given."""
    if _DRAWN.fullmatch(text):
        return text
    found: list[Any] | None = json_of("--args", text, list)
    return found


def json_of(option: str, text: str, kind: type) -> Any:
    """JSON of this kind; None where the option was not given."""
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise UsageError(f"{option} is not JSON: {exc}", hint="""such as --args '[7, 900]' or --kwargs '{"cents": 900}'""") from None
    if not isinstance(value, kind):
        raise UsageError(f"{option} takes a JSON {'list' if kind is list else 'object'}, not {text}")
    return value
