"""`junit.xml`: a suite per scenario cell, a case per check, so that any CI shows what broke.

JUnit has no third value: an inconclusive check is a failure of type INCONCLUSIVE, because a CI job must not turn green on it.
What keeps a run of passing checks from being a pass (a fault that did not bite, an interruption) is a case of its own for the same reason.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from harness.model.finding import CheckResult, Finding
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.reporting.files import write_text
from harness.reporting.ink import Line
from harness.reporting.outline import finding_lines
from harness.reporting.words import cell_text, doubts, place, printable

__all__ = ["JunitWriter", "add_outcome", "counted", "document", "junit_text", "legal", "new_case", "run_suite"]

#: What XML 1.0 cannot hold at all, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class JunitWriter:
    """The result for CI servers."""

    name: ClassVar[str] = "junit"
    filename: ClassVar[str] = "junit.xml"

    def write(self, result: RunResult, folder: Path) -> Path:
        """Write `junit.xml` into the run's folder."""
        return write_text(folder / self.filename, junit_text([result]))


def junit_text(results: Iterable[RunResult]) -> str:
    """One document for any number of runs: a suite each."""
    return document(run_suite(result) for result in results)


def document(parts: Iterable[ET.Element]) -> str:
    """Suites as one document, with their sums."""
    suites = ET.Element("testsuites")
    suites.extend(parts)
    for key in ("tests", "failures", "errors", "skipped"):
        suites.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def run_suite(result: RunResult, name: str = "") -> ET.Element:
    """A run's suite: a case per check, and one for each thing that keeps it from being a pass. ``name``: instead of the scenario's own."""
    cell = cell_text(result)
    name = name or (f"{result.scenario} [{cell}]" if cell else result.scenario)
    element = ET.Element("testsuite", name=legal(name), timestamp=legal(result.started[:19]), time=f"{result.took:.3f}")
    properties = ET.SubElement(element, "properties")
    facts = {
        "run": result.run_id,
        "seed": str(result.seed),
        "file": result.file,
        "runtime": result.runtime,
        "verdict": result.verdict.value,
    }
    for key, value in facts.items():
        ET.SubElement(properties, "property", name=key, value=legal(value))
    workers = [lane.name for lane in result.lanes]
    element.extend(_check(check, name, workers, result) for check in result.checks)
    element.extend(_other_cases(result, name))
    return counted(element)


def counted(element: ET.Element) -> ET.Element:
    """The suite with the numbers of its cases, as its attributes."""
    element.set("tests", str(len(element.findall("testcase"))))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(key, str(len(element.findall(f"testcase/{tag}"))))
    return element


def _check(check: CheckResult, suite: str, workers: list[str], result: RunResult) -> ET.Element:
    case = new_case(check.name, suite)
    where = next((f for f in check.findings if f.file), None)
    if where:
        case.set("file", legal(where.file))
        if where.line is not None:
            case.set("line", str(where.line))
    if check.verdict is Verdict.FAIL:
        kind = ", ".join(dict.fromkeys(f.word.value for f in check.findings)) or "FAIL"
        add_outcome(case, "failure", kind, check.findings[0].headline if check.findings else check.summary, _told(check, workers, result))
    elif check.verdict is Verdict.INCONCLUSIVE:
        add_outcome(case, "failure", "INCONCLUSIVE", check.summary, "\n".join(filter(None, (check.summary, check.advice))))
    elif check.verdict is Verdict.ENVIRONMENT:
        add_outcome(case, "error", "ENVIRONMENT", check.summary, check.advice or check.summary)
    return case


def _told(check: CheckResult, workers: list[str], result: RunResult) -> str:
    parts = [check.summary]
    for finding in check.findings:
        parts.append(_plain(finding, workers))
    parts += [f"{r.title}: {r.command}" for r in result.reproduce[:1]]
    return "\n\n".join(parts)


def _plain(finding: Finding, workers: list[str]) -> str:
    lines: list[Line] = finding_lines(finding, workers)
    text = "\n".join("".join(printable(t) for _, t in line).rstrip() for line in lines)
    where = place(finding)
    return text if not where or where in text else f"{text}\n{where}"


def _other_cases(result: RunResult, suite: str) -> list[ET.Element]:
    cases = []
    if result.verdict is Verdict.ENVIRONMENT or result.error:
        case = new_case("environment", suite)
        add_outcome(case, "error", "ENVIRONMENT", result.error or "the environment failed", result.error or "the environment failed")
        cases.append(case)
    for number, reason in enumerate(doubts(result), 1):
        case = new_case("interrupted" if reason == result.interrupted else f"evidence {number}", suite)
        add_outcome(case, "error" if reason == result.interrupted else "failure", "INCONCLUSIVE", reason, reason)
        cases.append(case)
    return cases


def new_case(name: str, suite: str) -> ET.Element:
    """A case of a suite, passed as long as it has no outcome."""
    return ET.Element("testcase", name=legal(name), classname=legal(suite))


def add_outcome(case: ET.Element, tag: str, kind: str, message: str, text: str) -> None:
    """``tag``: failure, error. ``kind``: a finding's word, or why there is no verdict."""
    ET.SubElement(case, tag, type=legal(kind), message=legal(message)).text = legal(text)


def legal(text: str) -> str:
    """The text without what XML cannot hold, and without controls and characters that reorder it."""
    return _ILLEGAL.sub("\ufffd", printable(text))
