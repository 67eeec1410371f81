"""What comes of two sides' runs: which of them count, held against each other as pairs or as lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Literal

from harness.cli.compare_runs import SidePlan
from harness.errors import UsageError
from harness.gate.comparable import left_out, machine_of, order_of_pairs, refusal, remarks
from harness.gate.comparing import bounded, compare, regressions, source_of, undecided
from harness.gate.figures import Figures
from harness.model.comparing import Comparison, Failure, Row, RunOf, Side
from harness.model.result import RunResult

__all__ = ["conclude"]


def conclude(
    plans: tuple[SidePlan, SidePlan],
    confidence: float,
    tolerance: float | None,
    *,
    made: bool,
    anyway: bool,
    notes: Sequence[str],
    code: int | None,
) -> Comparison:
    """The comparison of the runs that count. ``made``: in turn, here, so that those of one index are a pair. ``code``: the exit status of
    what cut them short.

    UsageError for sides that cannot be compared.
    """
    results = [[run.result for run in plan.runs] for plan in plans]
    why = refusal(*results)
    if why and not anyway:
        raise UsageError(why, hint="--anyway compares them nevertheless")
    sides = (_side(plans[0], "A", anyway), _side(plans[1], "B", anyway))
    pairs = _pairs(results, made=made)
    before, after = _counted(results, sides, pairs)
    rows: list[Row] = []
    if before and after:
        figures = [[Figures(result) for result in side] for side in (before, after)]
        rows = compare(*figures, confidence=confidence, paired=bool(pairs))
    worse = regressions(rows, tolerance) if tolerance is not None else []
    doubtful = undecided(rows) if tolerance is not None else []
    judged = [row for row in rows if tolerance is None or (not row.task and not row.phase)]
    first = results[0][0]
    return Comparison(
        scenario=first.scenario,
        runtime=first.runtime,
        machine=machine_of(first),
        started=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        confidence=confidence,
        source=source_of(len(before), len(after), paired=bool(pairs)),
        sides=sides,
        pairs=len(before) if pairs else 0,
        rows=tuple(rows),
        notes=(
            *notes,
            *([why] if why else []),
            *_do_not_count(sides),
            *(remarks(before, after, meant=made) if before and after else []),
        ),
        failure=None if tolerance is None else Failure(tolerance=tolerance, rows=tuple(worse), undecided=tuple(doubtful)),
        exit_code=code if code is not None else 1 if worse else 0 if bounded(judged) and not doubtful else 4,
    )


def _side(plan: SidePlan, label: Literal["A", "B"], anyway: bool) -> Side:
    runs = [
        RunOf(
            run_id=run.result.run_id,
            folder=str(run.folder),
            verdict=run.result.verdict,
            seed=run.result.seed,
            started=run.result.started,
            left_out=left_out(run.result, anyway=anyway),
        )
        for run in plan.runs
    ]
    return Side(label=label, changes=plan.changes, runs=tuple(runs))


def _pairs(results: Sequence[Sequence[RunResult]], *, made: bool) -> list[tuple[int, int]]:
    """(index in A, index in B); [] for lists."""
    if not made:
        return order_of_pairs(*results)
    return [(index, index) for index in range(len(results[0]))] if len(results[0]) > 1 else []


def _counted(
    results: Sequence[Sequence[RunResult]], sides: tuple[Side, Side], pairs: Sequence[tuple[int, int]]
) -> tuple[list[RunResult], list[RunResult]]:
    """Of each side those that count; of pairs those of which both do."""
    counts = [[not run.left_out for run in side.runs] for side in sides]
    if pairs:
        kept = [(i, j) for i, j in pairs if counts[0][i] and counts[1][j]]
        return [results[0][i] for i, _ in kept], [results[1][j] for _, j in kept]
    before, after = ([result for result, count in zip(*both, strict=True) if count] for both in zip(results, counts, strict=True))
    return before, after


def _do_not_count(sides: tuple[Side, Side]) -> list[str]:
    return [f"{side.label}'s run {run.run_id} does not count: {run.left_out}" for side in sides for run in side.runs if run.left_out]
