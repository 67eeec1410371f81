"""`gate.sarif`: findings as SARIF 2.1.0, so that code scanning shows them on the lines of a pull request.

Written for what GitHub reads of SARIF ("SARIF support for code scanning"): one run, a location for each result, relative paths from
the root of the repository, at most 5,000 results shown. What has no place in the repository becomes a notification of the run
(SARIF §3.20.21): one result without a location would make GitHub refuse the whole file.
"""

from __future__ import annotations

import json
import re
from typing import Any

from harness import __version__
from harness.model.finding import EXPLANATIONS
from harness.model.gate import GateResult
from harness.model.verdict import Verdict
from harness.reporting.gate_places import Places
from harness.reporting.gate_remarks import CERTIFICATE, ENVIRONMENT, FAILED, REFUSED, REGRESSION, UNDECIDED, Remark
from harness.reporting.words import plural, printable

__all__ = ["MOST_RESULTS", "sarif_text"]

#: GitHub shows no more of one run, by severity; the rest is said to be missing.
MOST_RESULTS = 5000

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

#: Our own key: GitHub computes its `primaryLocationLineHash` at upload, from the line's text, and complains about any other.
_FINGERPRINT = "celeryHarness/v1"

#: id -> (name, what it means, why and what helps), for remarks that are no finding's word.
_MORE_RULES = {
    FAILED: ("CheckFailed", "A check failed.", "The run's report says which, and how it came about."),
    UNDECIDED: (
        "Inconclusive",
        "There is not enough evidence for a verdict.",
        "A fault that did not bite, too few samples, or a check that could not judge. No evidence is not a pass: the gate exits with 4.",
    ),
    REFUSED: (
        "ScenarioRefused",
        "The scenario, or what it names in the app, is wrong.",
        "It was not run, so nothing was judged. `celery-harness validate` says more.",
    ),
    REGRESSION: (
        "Regression",
        "Slower than the committed baseline.",
        "Both commits were run in turn on the same machine. If the change is meant, accept a new baseline.",
    ),
    CERTIFICATE: (
        "CertificateDoesNotHold",
        "The certificate that no crash breaks this task is missing, or of another state of the code.",
        "Nothing is known of the task as it is now. `celery-harness certify` explores it and writes the certificate anew; commit that.",
    ),
}


def sarif_text(result: GateResult, remarks: list[Remark], places: Places) -> str:
    """The document; ends with a newline."""
    return json.dumps(sarif_document(result, remarks, places), indent=1, ensure_ascii=True) + "\n"


def sarif_document(result: GateResult, remarks: list[Remark], places: Places) -> dict[str, Any]:
    """As plain JSON values. Results are in the order of the remarks: errors first, so that what is cut off is the least."""
    rules = _rules()
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    placed = [r for r in remarks if r.place is not None and r.rule != ENVIRONMENT]
    shown = placed[:MOST_RESULTS]
    other = [r for r in remarks if r.place is None or r.rule == ENVIRONMENT]
    run = {
        "tool": {"driver": {"name": "celery-harness", "version": __version__, "semanticVersion": __version__, "rules": rules}},
        "automationDetails": {"id": _category(result, places)},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The root of the repository."}}},
        "invocations": [
            {
                "executionSuccessful": result.verdict is not Verdict.ENVIRONMENT,
                "exitCode": result.exit_code,
                "toolExecutionNotifications": _notifications(result, other, len(placed) - len(shown)),
            }
        ],
        "results": [_result(remark, index) for remark in shown],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _category(result: GateResult, places: Places) -> str:
    """GitHub replaces what was uploaded under the same id: so each project of a repository, each runtime and each shard has its own."""
    shard = f"shard-{result.shard.index}-of-{result.shard.count}" if result.shard else ""
    parts = ("celery-harness", places.folder, result.runtime, shard)
    return "".join(re.sub("[^A-Za-z0-9._-]+", "-", part) + "/" for part in parts if part)


def _rules() -> list[dict[str, Any]]:
    words = {word.value: (word.value.title(), *texts) for word, texts in EXPLANATIONS.items()}
    rules = [_rule(key, name, short, f"How it comes about: {how}", f"What helps: {fix}") for key, (name, short, how, fix) in words.items()]
    return rules + [_rule(key, *texts) for key, texts in _MORE_RULES.items()]


def _rule(key: str, name: str, short: str, *more: str) -> dict[str, Any]:
    return {
        "id": key,
        "name": name,
        "shortDescription": {"text": short},
        "fullDescription": {"text": " ".join((short, *more))},
        "help": {"text": "\n\n".join((short, *more)), "markdown": "\n\n".join((f"**{short}**", *map(_markdown, more)))},
        "defaultConfiguration": {"level": "warning" if key == UNDECIDED else "error"},
        "properties": {"tags": ["celery", "reliability"], "precision": "very-high", "problem.severity": "error"},
    }


def _markdown(text: str) -> str:
    """Our own words, in which names have underscores and asterisks that are not meant as markup."""
    return re.sub(r"([\\*_<>\[\]{}])", r"\\\1", text)


def _result(remark: Remark, index: dict[str, int]) -> dict[str, Any]:
    assert remark.place is not None
    return {
        "ruleId": remark.rule,
        "ruleIndex": index[remark.rule],
        "level": remark.level,
        "message": {"text": _plain(remark.text)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": remark.place.uri, "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": remark.place.line},
                }
            }
        ],
        "partialFingerprints": {_FINGERPRINT: remark.identity},
    }


def _notifications(result: GateResult, other: list[Remark], cut: int) -> list[dict[str, Any]]:
    said = [_notification(remark.level, remark.text) for remark in other]
    said += [_notification("note", f"Left out, so without a verdict: {left.title}: {left.why}") for left in result.left_out]
    if cut:
        rest = f"{plural(cut, 'more result')} not in this file: code scanning shows {MOST_RESULTS:,} at most."
        said.append(_notification("warning", rest))
    return said


def _notification(level: str, text: str) -> dict[str, Any]:
    return {"level": level, "message": {"text": _plain(text)}}


def _plain(text: str) -> str:
    """Text that is no embedded link (SARIF §3.11.6). Braces stay single although §3.11.5 would double them for placeholders: there are no
    arguments to fill in, and viewers show the text as it is, so a doubled brace would falsify code that is to be copied."""
    return re.sub(r"\[(?=[^\[\]]*\]\()", r"\\[", printable(text))
