"""`celery-harness replay`: a saved scenario in real workers, and whether they come to what `explore` has foreseen."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cli.run import Options
    from harness.explore.foreseen import ForeseenEnd
    from harness.model.result import RunResult
    from harness.scenario import LoadedScenario

__all__ = ["replay"]

_CONFIRMED, _NOT_CONFIRMED, _UNDECIDED = 1, 3, 4
#: Codes of a run in which nothing was compared, and which are its own: bad input, a failing environment, SIGINT, SIGTERM.
_OF_THE_RUN = frozenset({2, 3, 130, 143})


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--confirm", is_flag=True, help="Hold what comes against what `explore` has foreseen.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Where the run writes.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines on standard output; with --confirm the last says what was concluded.")
def replay(file: Path, confirm: bool, reports: Path, as_json: bool) -> None:
    """Run a saved scenario: real workers on a real broker, killed where it says.

    With --confirm the exit code is 1 where the task fails as `explore` has foreseen (CONFIRMED), 3 where each fault bit and the end is
    another (an error of the harness), 4 where nothing can be said: a fault did not strike, or the run is not as it was planned.
    """
    from harness.cli.run import Options, run_all

    if not confirm:
        raise click.exceptions.Exit(run_all((str(file),), Options(reports=reports, as_json=as_json)))
    raise click.exceptions.Exit(_confirm(file, Options(reports=reports, as_json=as_json)))


def _confirm(file: Path, options: Options) -> int:
    from harness.explore.foreseen import ForeseenEnd

    loaded = _loaded(file)
    assert loaded.scenario.foreseen is not None
    end = ForeseenEnd(loaded.scenario.foreseen)
    result = _run(loaded, options, end)
    return _told(loaded, result, end, as_json=options.as_json)


def _loaded(file: Path) -> LoadedScenario:
    from harness.assembly import registry
    from harness.scenario import load_scenarios

    cells = load_scenarios(file, registry())
    if cells[0].scenario.foreseen is None:
        raise UsageError(
            f"{file} says nothing of what `explore` has foreseen, so there is nothing to confirm",
            hint="explore saves such files in the folder plans of its report; without --confirm any scenario is run",
        )
    return cells[0]


def _run(loaded: LoadedScenario, options: Options, end: ForeseenEnd) -> RunResult:
    from harness.assembly import build_cell, choose_runtime, default_writers, registry, wanted_runtime
    from harness.cli.run import listener_for
    from harness.ports.clock import MonotonicClock
    from harness.run.folders import new_run_folder, settle_folder
    from harness.run.runner import run_cell
    from harness.scenario import check_abilities

    name = wanted_runtime(loaded, "auto")
    check_abilities(loaded, registry().runtimes[name])
    clock = MonotonicClock()
    cell = build_cell(loaded, Path.cwd(), clock)
    run_id, folder = new_run_folder(options.reports)
    try:
        return run_cell(
            replace(cell, checks=[*cell.checks, end]),
            choose_runtime(name),
            run_id=run_id,
            folder=folder,
            clock=clock,
            listener=listener_for(options),
            writers=default_writers(),
        )
    finally:
        settle_folder(options.reports, folder)


def _told(loaded: LoadedScenario, result: RunResult, end: ForeseenEnd, *, as_json: bool) -> int:
    """What it comes to, in a last line. Where the run itself came to no end, its own word stands: it has been told."""
    assert loaded.scenario.foreseen is not None
    word = loaded.scenario.foreseen.word
    if end.otherwise is None and result.exit_code in _OF_THE_RUN:
        return result.exit_code
    if doubts := _doubts(result, end):
        code, head, told = _UNDECIDED, "UNDECIDED", doubts
    elif end.otherwise:
        code, head, told = _NOT_CONFIRMED, "NOT CONFIRMED", list(end.otherwise)
    else:
        code, head, told = _CONFIRMED, "CONFIRMED", [f"real workers come to the same {word}: the task fails"]
    if as_json:
        click.echo(json.dumps({"confirm": head.lower(), "word": word, "why": told, "exit_code": code}))
        return code
    _write(head, told, code)
    return code


def _doubts(result: RunResult, end: ForeseenEnd) -> list[str]:
    """Why nothing follows from what came; none: it counts."""
    if end.missed:
        return [f"a crash did not strike: {why}" for why in end.missed]
    if end.otherwise is None:
        said = next((check.summary for check in result.checks if check.name == end.name), "")
        return [f"nothing was compared: {said or result.error or result.interrupted or 'the run came to no end'}"]
    torn = [f"records of the journal are torn ({end.torn}), so what became of the call is not certain"] if end.torn else []
    return [*torn, *result.deaths, *([result.unmade] if result.unmade else [])]


def _write(head: str, told: list[str], code: int) -> None:
    from harness.reporting.ink import Ink, Line, wrapped
    from harness.reporting.words import printable

    style = {_CONFIRMED: "failbold", _NOT_CONFIRMED: "failbold", _UNDECIDED: "open"}[code]
    lines: list[Line] = [[]]
    for number, text in enumerate(told):
        first = f"{head}  " if not number else "  - "
        lines += [[(style if not number else "", part)] for part in wrapped(printable(text), first=first, indent=4)]
    if code == _NOT_CONFIRMED:
        lines.append([("", "    Each crash struck, and the end is another: this is an error of the harness, not of your task.")])
    Ink(sys.stdout).write([*lines, [("dim", f"exit {code}")]])
