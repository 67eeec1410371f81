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

__all__ = ["JunitWriter", "junit_text"]

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
    suites = ET.Element("testsuites")
    for result in results:
        suites.append(_suite(result))
    for key in ("tests", "failures", "errors"):
        suites.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _suite(result: RunResult) -> ET.Element:
    cell = cell_text(result)
    name = f"{result.scenario} [{cell}]" if cell else result.scenario
    suite = ET.Element("testsuite", name=_legal(name), timestamp=_legal(result.started[:19]), time=f"{result.took:.3f}")
    properties = ET.SubElement(suite, "properties")
    facts = {
        "run": result.run_id,
        "seed": str(result.seed),
        "file": result.file,
        "runtime": result.runtime,
        "verdict": result.verdict.value,
    }
    for key, value in facts.items():
        ET.SubElement(properties, "property", name=key, value=_legal(value))
    workers = [lane.name for lane in result.lanes]
    for check in result.checks:
        suite.append(_check(check, name, workers, result))
    for case in _other_cases(result, name):
        suite.append(case)
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    return suite


def _check(check: CheckResult, suite: str, workers: list[str], result: RunResult) -> ET.Element:
    case = _case(check.name, suite)
    where = next((f for f in check.findings if f.file), None)
    if where:
        case.set("file", _legal(where.file))
        if where.line is not None:
            case.set("line", str(where.line))
    if check.verdict is Verdict.FAIL:
        kind = ", ".join(dict.fromkeys(f.word.value for f in check.findings)) or "FAIL"
        _outcome(case, "failure", kind, check.findings[0].headline if check.findings else check.summary, _told(check, workers, result))
    elif check.verdict is Verdict.INCONCLUSIVE:
        _outcome(case, "failure", "INCONCLUSIVE", check.summary, "\n".join(filter(None, (check.summary, check.advice))))
    elif check.verdict is Verdict.ENVIRONMENT:
        _outcome(case, "error", "ENVIRONMENT", check.summary, check.advice or check.summary)
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
        case = _case("environment", suite)
        _outcome(case, "error", "ENVIRONMENT", result.error or "the environment failed", result.error or "the environment failed")
        cases.append(case)
    for number, reason in enumerate(doubts(result), 1):
        case = _case("interrupted" if reason == result.interrupted else f"evidence {number}", suite)
        _outcome(case, "error" if reason == result.interrupted else "failure", "INCONCLUSIVE", reason, reason)
        cases.append(case)
    return cases


def _case(name: str, suite: str) -> ET.Element:
    return ET.Element("testcase", name=_legal(name), classname=_legal(suite))


def _outcome(case: ET.Element, tag: str, kind: str, message: str, text: str) -> None:
    ET.SubElement(case, tag, type=_legal(kind), message=_legal(message)).text = _legal(text)


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
