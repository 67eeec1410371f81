"""A new baseline from a gate, and what it changes, in words."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UsageError
from harness.gate.measures import MEASURES, typical
from harness.gate.results import CellRun
from harness.model.gate import Baseline, BaselineCell, GateCell, GateResult
from harness.model.quantities import format_duration
from harness.model.verdict import Verdict, combine

__all__ = ["accepted", "baseline_lines", "changes", "with_sample"]

#: Below this a figure of two baselines is called the same in the diff.
_NOTABLE = 0.05


def accepted(gate: GateResult, old: Baseline | None, *, created: str, with_failures: bool = False) -> Baseline:
    """What the gate measured becomes what is expected. ``created``: UTC, ISO 8601.

    A cell that was left out keeps what was expected of it, without figures if these are of another commit; one that is no longer
    in the plan goes. UsageError for a part of a gate, for cells that the environment failed or that were refused, and for
    failing or inconclusive ones unless ``with_failures``.
    """
    if gate.shard is not None:
        raise UsageError(
            f"this is shard {gate.shard.index} of {gate.shard.count}, not a whole gate",
            hint="merge first: celery-harness merge SHARD/gate.json…",
        )
    runs = [cell for cell in gate.cells if cell.kind == "run"]  # certificates hold or do not, whatever was before
    _check_acceptable(runs, with_failures=with_failures)
    cells = {cell.key: _expected(cell) for cell in runs}
    known = old.cells if old else {}
    for one in gate.left_out:
        if one.key in known and old is not None:
            kept = known[one.key]
            comparable = (old.commit, old.machine, old.runtime) == (gate.commit, gate.machine, gate.runtime)
            cells[one.key] = kept if comparable else kept.model_copy(update={"samples": ()})
    return Baseline(
        commit=gate.commit, runtime=gate.runtime, machine=gate.machine, created=created, cells={key: cells[key] for key in sorted(cells)}
    )


def _check_acceptable(cells: Sequence[GateCell], *, with_failures: bool) -> None:
    if not cells:
        raise UsageError("nothing ran in this gate, so there is nothing to accept", hint="give the gate a larger --budget")
    broken = [cell for cell in cells if cell.verdict is Verdict.ENVIRONMENT or cell.exit_code == 2]
    if broken:
        named = "".join(f"\n  {cell.key}: {cell.summary}" for cell in broken)
        raise UsageError(f"not judged, so there is nothing to expect of:{named}", hint="run the gate again")
    doubtful = [cell for cell in cells if cell.verdict is not Verdict.PASS]
    if doubtful and not with_failures:
        named = "".join(f"\n  {cell.verdict.value}: {cell.key}: {cell.summary}" for cell in doubtful)
        raise UsageError(f"not accepted, as these did not pass:{named}", hint="mend them, or accept them as they are: --with-failures")


def _expected(cell: GateCell) -> BaselineCell:
    return BaselineCell(digest=cell.digest, verdict=cell.verdict, words=cell.words, took=cell.took, samples=cell.samples)


def with_sample(cell: GateCell, run: CellRun) -> GateCell:
    """A cell with the figures of one more run; a run that did not pass takes the cell's verdict along."""
    samples = (*cell.samples, run.measures)
    verdict = combine((cell.verdict, run.verdict))
    told = {} if verdict is cell.verdict else {"verdict": verdict, "summary": run.summary, "exit_code": run.exit_code}
    return cell.model_copy(update={"samples": samples, "measures": typical(samples), **told})


def changes(old: Baseline | None, new: Baseline) -> list[str]:
    """A line per cell that is new, gone, or expected to end otherwise; and figures that moved by 5 % or more. [] : the same."""
    lines: list[str] = []
    before = old.cells if old else {}
    if old is not None:
        for name in ("runtime", "machine"):
            if getattr(old, name) != getattr(new, name):
                lines.append(f"{name}: {getattr(old, name)} → {getattr(new, name)}")
    for key in sorted({*before, *new.cells}):
        was, now = before.get(key), new.cells.get(key)
        if now is None:
            lines.append(f"- {key}: no longer in the plan")
        elif was is None:
            lines.append(f"+ {key}: {_described(now)}")
        else:
            changed = _changes(was, now)
            lines += [f"~ {key}: {', '.join(changed)}"] if changed else []
    return lines


def _changes(was: BaselineCell, now: BaselineCell) -> list[str]:
    found = []
    if was.verdict is not now.verdict:
        found.append(f"{was.verdict} → {now.verdict}")
    if was.words != now.words:
        found.append(f"findings {' '.join(was.words) or 'none'} → {' '.join(now.words) or 'none'}")
    if was.digest != now.digest:
        found.append("the scenario changed")
    before, after = typical(was.samples), typical(now.samples)
    for measure in MEASURES:
        first, second = getattr(before, measure), getattr(after, measure)
        if first and second and abs(second / first - 1) >= _NOTABLE:
            found.append(f"{measure} {second / first - 1:+.0%}")
        elif (first is None) != (second is None):
            found.append(f"{measure} is {'new' if first is None else 'gone'}")
    return found


def _described(cell: BaselineCell) -> str:
    """``pass, p95 120 ms, 40.0/s, 3 samples, 6.2 s``."""
    figures = typical(cell.samples)
    parts = [" ".join([cell.verdict.value, *cell.words])]
    parts += [f"p95 {format_duration(figures.p95)}"] if figures.p95 is not None else []
    parts += [f"{figures.throughput:.1f}/s"] if figures.throughput is not None else []
    parts.append(f"{len(cell.samples)} sample{'' if len(cell.samples) == 1 else 's'}")
    return ", ".join([*parts, format_duration(cell.took)])


def baseline_lines(baseline: Baseline) -> list[str]:
    """The whole of it for people."""
    head = [f"commit {baseline.commit or 'unknown (no git)'}, {baseline.runtime}, {baseline.machine}, {baseline.created}"]
    return head + [f"  {key}: {_described(cell)}" for key, cell in baseline.cells.items()]
