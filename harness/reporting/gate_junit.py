"""`junit.xml` of a gate: a suite per cell; its cases are the checks where the run's own result is at hand, else the cell's verdict.

As for one run (`junit.py`): inconclusive is a failure of type INCONCLUSIVE, and the environment an error. A cell that was left out is a
skipped case of the suite "left out": it has no verdict, and the gate's own does not rest on it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from pydantic import ValidationError

from harness.model.finding import Finding
from harness.model.gate import Comparison, GateCell, GateResult, LeftOut
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.reporting.gate_remarks import CERTIFICATE, ENVIRONMENT, FAILED, REFUSED, REGRESSION, UNDECIDED
from harness.reporting.gate_words import REFUSED_EXIT, gate_headline
from harness.reporting.junit import add_outcome, counted, document, legal, new_case, run_suite
from harness.reporting.words import place

__all__ = ["gate_junit_text"]


def gate_junit_text(result: GateResult, folder: Path) -> str:
    """The document. ``folder``: the gate's, below which (or beside which) the runs' reports are looked for."""
    suites = [_cell(cell, folder) for cell in result.cells]
    if result.left_out:
        suites.append(_left_out(result.left_out))
    if result.verdict is not Verdict.PASS and all(s.get("failures") == s.get("errors") == "0" for s in suites):
        suites.append(_whole(result))
    return document(suites)


def _cell(cell: GateCell, folder: Path) -> ET.Element:
    run = _run_of(cell, folder)
    element = run_suite(run, cell.key) if run else _bare_suite(cell)
    element.extend(_comparison(comparison, cell) for comparison in cell.comparisons if comparison.outcome != "not compared")
    counted(element)
    if cell.verdict is not Verdict.PASS and element.get("failures") == element.get("errors") == "0":
        element.append(_verdict(cell))
    return counted(element)


def _run_of(cell: GateCell, folder: Path) -> RunResult | None:
    """The run's own result, if it is there, can be read and is of this very run."""
    if not cell.report:
        return None
    try:
        run = RunResult.model_validate_json((folder / cell.report / "result.json").read_bytes())
    except (OSError, ValidationError, ValueError):
        return None
    return run if run.run_id == cell.run_id else None


def _bare_suite(cell: GateCell) -> ET.Element:
    element = ET.Element("testsuite", name=legal(cell.key), time=f"{cell.took:.3f}")
    element.append(_verdict(cell))
    return element


def _verdict(cell: GateCell) -> ET.Element:
    """The cell as one case, for where its checks are not known or do not show why it is no pass."""
    case = new_case("verdict", cell.key)
    where = next((f for f in cell.findings if f.file), None)
    if where:
        case.set("file", legal(where.file))
        if where.line is not None:
            case.set("line", str(where.line))
    elif cell.line is not None:
        case.set("file", legal(cell.file))
        case.set("line", str(cell.line))
    told = [cell.summary, *map(_finding, cell.findings), cell.replay]
    text = "\n\n".join(part for part in told if part) or cell.verdict.value
    message = cell.findings[0].headline if cell.findings else cell.summary or cell.verdict.value
    if cell.exit_code == REFUSED_EXIT:
        add_outcome(case, "error", REFUSED, cell.summary or message, text)
    elif cell.verdict is Verdict.FAIL:
        add_outcome(case, "failure", ", ".join(cell.words) or (CERTIFICATE if cell.kind == "certificate" else FAILED), message, text)
    elif cell.verdict is Verdict.INCONCLUSIVE:
        add_outcome(case, "failure", UNDECIDED, cell.summary or message, text)
    elif cell.verdict is Verdict.ENVIRONMENT:
        add_outcome(case, "error", ENVIRONMENT, cell.summary or message, text)
    return case


def _finding(finding: Finding) -> str:
    fix = f"Fix: {finding.fix}" if finding.fix else ""
    return "\n".join(filter(None, (f"{finding.word}  {finding.headline}", finding.sentence, place(finding), fix)))


def _comparison(comparison: Comparison, cell: GateCell) -> ET.Element:
    case = new_case(f"{comparison.measure} against the baseline", cell.key)
    if comparison.outcome == "regression":
        add_outcome(case, "failure", REGRESSION, comparison.why or "worse than the baseline", comparison.why)
    elif comparison.outcome == "suspected":
        add_outcome(case, "failure", UNDECIDED, comparison.why or "perhaps worse than the baseline", comparison.why)
    return case


def _left_out(cells: tuple[LeftOut, ...]) -> ET.Element:
    element = ET.Element("testsuite", name="left out")
    for cell in cells:
        case = new_case(cell.key, "left out")
        ET.SubElement(case, "skipped", message=legal(cell.why or "left out"))
        element.append(case)
    return counted(element)


def _whole(result: GateResult) -> ET.Element:
    """For a gate that is no pass although no cell says so: nothing ran, or all that ran passed and more was required."""
    element = ET.Element("testsuite", name="gate")
    case = new_case("verdict", "gate")
    why = "\n".join((gate_headline(result), *result.notes))
    kind = {Verdict.FAIL: FAILED, Verdict.ENVIRONMENT: ENVIRONMENT}.get(result.verdict, UNDECIDED)
    add_outcome(case, "error" if result.verdict is Verdict.ENVIRONMENT else "failure", kind, gate_headline(result), why)
    element.append(case)
    return counted(element)
