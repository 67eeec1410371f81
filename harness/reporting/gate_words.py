"""What a gate's result is called: one wording for its Markdown and its JUnit."""

from __future__ import annotations

from harness.model.gate import GateCell, GateResult
from harness.model.verdict import Verdict
from harness.reporting.words import plural

__all__ = ["REFUSED_EXIT", "SIGNS", "cells_by_kind", "gate_headline", "gate_state"]

#: The exit code of a cell whose scenario is wrong (docs/verdicts.md).
REFUSED_EXIT = 2

#: Kinds of cells in the order in which they are shown, and the sign of each.
SIGNS = {
    "failed": "✕",
    "refused": "∅",
    "slower": "▼",
    "not judged": "!",
    "inconclusive": "?",
    "perhaps slower": "▽",
    "left out": "·",
    "passed": "✓",
}

_KINDS = {Verdict.FAIL: "failed", Verdict.ENVIRONMENT: "not judged", Verdict.INCONCLUSIVE: "inconclusive"}


def cells_by_kind(result: GateResult) -> dict[str, list[GateCell]]:
    """What is shown together. A cell that passed its checks and is slower than the baseline is not among those that passed."""
    kinds: dict[str, list[GateCell]] = {kind: [] for kind in SIGNS}
    for cell in result.cells:
        kinds[_kind(cell)].append(cell)
    return kinds


def _kind(cell: GateCell) -> str:
    if cell.exit_code == REFUSED_EXIT:
        return "refused"
    outcomes = {comparison.outcome for comparison in cell.comparisons}
    slower = "slower" if "regression" in outcomes else "perhaps slower" if "suspected" in outcomes else "passed"
    return _KINDS.get(cell.verdict, slower)


def gate_state(result: GateResult) -> str:
    """The verdict in capitals, but for a gate that was interrupted or refused before anything failed."""
    if result.verdict is not Verdict.FAIL and result.exit_code > 128:
        return "INTERRUPTED"
    if result.verdict is not Verdict.FAIL and result.exit_code == REFUSED_EXIT:
        return "REFUSED"
    return result.verdict.value.upper()


def gate_headline(result: GateResult) -> str:
    """What the verdict rests on, in a sentence or more."""
    sentences = ["The gate was interrupted."] if result.exit_code > 128 else []
    sentences.append(_ran(result) if result.cells else "Nothing ran, so there is no verdict.")
    if result.left_out:
        required = ", although all were required" if result.require_all else ""
        has = "has" if len(result.left_out) == 1 else "have"
        sentences.append(f"{plural(len(result.left_out), 'cell was', 'cells were')} left out and {has} no verdict{required}.")
    return " ".join(sentences)


def _ran(result: GateResult) -> str:
    kinds = cells_by_kind(result)
    total = len(result.cells)
    outcomes = [comparison.outcome for cell in result.cells for comparison in cell.comparisons]
    slower, perhaps = outcomes.count("regression"), outcomes.count("suspected")
    words = {"failed": "failed", "refused": "was refused", "not judged": "could not be judged", "inconclusive": "could not be decided"}
    if total == 1:
        told = "The cell that ran " + next((word for kind, word in words.items() if kinds[kind]), "passed")
    else:
        told = ", ".join(f"{len(kinds[kind])} {word}" for kind, word in words.items() if kinds[kind])
        told = f"Of {plural(total, 'cell')} {told}" if told else f"All {total} cells that ran passed"
    told += f"; {plural(slower, 'measure is', 'measures are')} slower than the baseline" if slower else ""
    told += f"; {plural(perhaps, 'measure is', 'measures are')} perhaps slower" if perhaps else ""
    return f"{told}."
