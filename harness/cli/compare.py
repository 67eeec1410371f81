"""`celery-harness compare`: two results, two lists of runs, or runs in turn of two configurations or commits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from harness.cli.compare_runs import SidePlan
    from harness.model.comparing import Comparison

__all__ = ["compare"]

_CONFIDENCES = {"90%": 0.90, "95%": 0.95, "99%": 0.99}
_AFTER = "harness.compare.after"


class _TwoLists(click.Command):
    """Keeps apart what stands before ``--`` and what stands after it, which click alone would put into one list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            place = args.index("--")
            ctx.meta[_AFTER], args = args[place + 1 :], args[:place]
        return super().parse_args(ctx, args)


@click.command(cls=_TwoLists)
@click.argument("runs", nargs=-1, required=True, metavar="A B | A… -- B… | SCENARIO")
@click.option("--interleave", type=click.IntRange(1, 1000), help="Run SCENARIO so many times on each side, in turn, and compare.")
@click.option("--a", "a", multiple=True, metavar="KEY=VALUE", help="Set on side A: a setting of the app, or a key of the scenario.")
@click.option("--b", "b", multiple=True, metavar="KEY=VALUE", help="Set on side B.")
@click.option("--a-commit", default="", metavar="REF", help="Side A is the project at this commit.")
@click.option("--b-commit", default="", metavar="REF", help="Side B is the project at this commit.")
@click.option("--confidence", type=click.Choice(list(_CONFIDENCES)), default="99%", show_default=True, help="Of each interval.")
@click.option("--fail-on", default="", metavar="regression[:10%]", help="Exit 1 if B is worse over the whole load (by more than that).")
@click.option("--anyway", is_flag=True, help="Compare what is not alike, count what measured its own generator, and say so.")
@click.option("--runtime", type=click.Choice(["auto", "containers", "processes"]), default="auto", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**62), help="Of the first pair, and of the order; instead of the scenario's own.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="Where runs write.")
@click.option("--json", "as_json", is_flag=True, help="compare.json on standard output instead of text.")
@click.pass_context
def compare(
    ctx: click.Context,
    runs: tuple[str, ...],
    interleave: int | None,
    a: tuple[str, ...],
    b: tuple[str, ...],
    a_commit: str,
    b_commit: str,
    confidence: str,
    fail_on: str,
    anyway: bool,
    runtime: str,
    seed: int | None,
    reports: Path,
    as_json: bool,
) -> None:
    """Compare B with A: two runs, two lists of runs (A… -- B…), or with --interleave runs of a scenario made in turn."""
    from harness.cli.compare_conclude import conclude
    from harness.cli.compare_inputs import parse_failure, read_side
    from harness.cli.compare_runs import SidePlan
    from harness.cli.run import Options

    tolerance = parse_failure(fail_on)
    folder = reports / "compare" / time.strftime("%m%d-%H%M%S")
    sides = (SidePlan("A", a, a_commit), SidePlan("B", b, b_commit))
    cut: Interrupted | None = None
    if interleave is None:
        if a or b or a_commit or b_commit:
            raise UsageError(
                "--a, --b and commits are for runs that are still to be made", hint="add --interleave 8, and name one scenario"
            )
        names = _two_lists(runs, ctx.meta.get(_AFTER))
        for side, given in zip(sides, names, strict=True):
            side.runs = read_side(given, reports)
    else:
        cut = _in_turn(runs, ctx.meta.get(_AFTER), sides, interleave, Options(runtime, reports, seed, as_json=as_json), folder)
    notes = [f"interrupted after {len(sides[0].runs)} of {interleave} pairs"] if cut is not None else []
    found = conclude(
        sides,
        _CONFIDENCES[confidence],
        tolerance,
        made=interleave is not None,
        anyway=anyway,
        notes=notes,
        code=cut.exit_code if cut else None,
    )
    _show(found, folder, as_json=as_json)
    raise click.exceptions.Exit(found.exit_code)


def _two_lists(before: Sequence[str], after: Sequence[str] | None) -> tuple[Sequence[str], Sequence[str]]:
    if after is not None:
        if not after:
            raise UsageError("nothing stands after --", hint="celery-harness compare A1 A2 -- B1 B2")
        return before, after
    if len(before) != 2:
        raise UsageError(f"{len(before)} runs are given, and compare takes two", hint="for several of each side: A1 A2 -- B1 B2")
    return before[:1], before[1:]


def _in_turn(
    runs: Sequence[str], after: Sequence[str] | None, sides: tuple[SidePlan, SidePlan], number: int, options: Any, folder: Path
) -> Interrupted | None:
    """Makes the runs; the signal that cut them short, if a pair was complete by then."""
    from harness.cli.compare_runs import PairedRuns
    from harness.cli.look import scenario_files

    if after is not None or len(runs) != 1:
        raise UsageError("--interleave takes one scenario file")
    (path, *others) = scenario_files(tuple(runs))
    if others:
        raise UsageError(f"{runs[0]} holds {len(others) + 1} scenarios", hint="--interleave takes one scenario file")
    try:
        PairedRuns(path, sides, options, folder, quiet=options.as_json).go(number)
    except Interrupted as exc:
        if not sides[0].runs:
            raise
        return exc
    return None


def _show(found: Comparison, folder: Path, *, as_json: bool) -> None:
    import sys

    from harness.reporting.compare_console import comparison_lines
    from harness.reporting.compare_files import write_comparison
    from harness.reporting.ink import Ink

    files = write_comparison(found, folder)
    if as_json:
        click.echo(found.model_dump_json())
    else:
        Ink(sys.stdout).write(comparison_lines(found, files))
