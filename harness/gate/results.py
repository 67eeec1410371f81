"""From runs to a gate's cells, and from these to its verdict and exit code."""

from __future__ import annotations

import os.path
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.gate.measures import measures_of, typical
from harness.gate.plan import PlannedCell
from harness.model.finding import Finding
from harness.model.gate import Comparison, GateCell, LeftOut, Measures
from harness.model.result import RunResult
from harness.model.verdict import EXIT_CODES, Verdict, combine

__all__ = ["REFUSED", "CellRun", "decide", "gate_cell", "refused_run", "relative", "run_of"]

#: The exit code of a cell whose scenario, or what that names in the app, is wrong.
REFUSED = 2


@dataclass(frozen=True)
class CellRun:
    """One run of a cell. ``folder`` None: it left no report."""

    verdict: Verdict
    exit_code: int
    took: float
    summary: str = ""
    findings: tuple[Finding, ...] = ()
    measures: Measures = field(default_factory=Measures)
    run_id: str = ""
    folder: Path | None = None


def run_of(result: RunResult, folder: Path | None, summary: str) -> CellRun:
    """``summary``: in a line, why the verdict is what it is. Findings of failing checks, without their stories."""
    found = [f.model_copy(update={"story": None}) for c in result.checks if c.verdict is Verdict.FAIL for f in c.findings]
    return CellRun(
        verdict=result.verdict,
        exit_code=EXIT_CODES[result.verdict],
        took=result.took,
        summary=summary,
        findings=tuple(found),
        measures=measures_of(result),
        run_id=result.run_id,
        folder=folder,
    )


def refused_run(why: str, took: float) -> CellRun:
    """The scenario turned out to be wrong once the app was imported: nothing was judged."""
    return CellRun(Verdict.INCONCLUSIVE, REFUSED, took, why)


def gate_cell(
    cell: PlannedCell,
    runs: Sequence[CellRun],
    *,
    folder: Path,
    replay: str,
    comparisons: Sequence[Comparison] = (),
    repetitions: Sequence[CellRun] = (),
) -> GateCell:
    """All runs of one cell together: the worst verdict counts, and the first run that had it is told. ``folder``: the gate's own.

    ``repetitions``: runs that were made to compare. One that failed counts as a failure; their figures are in the comparisons.
    """
    judged = [*runs, *(run for run in repetitions if run.verdict is Verdict.FAIL)]
    verdict = combine(run.verdict for run in judged)
    told = next(run for run in judged if run.verdict is verdict)
    measured = [run for run in runs if not cell.certificate and run.verdict is not Verdict.ENVIRONMENT and run.exit_code != REFUSED]
    return GateCell(
        key=cell.key,
        kind="certificate" if cell.certificate else "run",
        file=cell.file,
        line=cell.line,
        title=cell.title,
        digest=cell.digest,
        verdict=verdict,
        exit_code=told.exit_code,
        summary=told.summary,
        words=tuple(sorted({finding.word.value for finding in told.findings})),
        findings=told.findings,
        run_id=told.run_id,
        report=relative(told.folder, folder) if told.folder else "",
        replay=replay,
        took=round(statistics.median(run.took for run in runs), 3),
        measures=typical([run.measures for run in measured]),
        samples=tuple(run.measures for run in measured),
        before=cell.before,
        comparisons=tuple(comparisons),
    )


def relative(path: Path, start: Path) -> str:
    """Also upwards: runs lie beside the gate's folder."""
    return Path(os.path.relpath(path, start)).as_posix()


def decide(
    cells: Iterable[GateCell], left_out: Sequence[LeftOut] = (), *, require_all: bool = False, interrupted: int = 0
) -> tuple[Verdict, int]:
    """(verdict, exit code) over what ran: a failure or a regression, else the environment, else too little evidence, else a pass.

    A regression that is only suspected is inconclusive; so is a gate in which nothing ran, and with ``require_all`` one that
    left something out. A refused cell makes the exit code 2 where nothing failed. ``interrupted``: the number of the signal, or 0.
    """
    verdicts: list[Verdict] = []
    refused = False
    for cell in cells:
        verdicts.append(cell.verdict)
        refused = refused or cell.exit_code == REFUSED
        outcomes = {comparison.outcome for comparison in cell.comparisons}
        verdicts += [Verdict.FAIL] if "regression" in outcomes else [Verdict.INCONCLUSIVE] if "suspected" in outcomes else []
    if interrupted or (require_all and left_out):
        verdicts.append(Verdict.INCONCLUSIVE)
    verdict = combine(verdicts)
    if interrupted:
        return verdict, 128 + interrupted
    return verdict, REFUSED if refused and verdict is not Verdict.FAIL else EXIT_CODES[verdict]
