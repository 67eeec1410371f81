"""What a result is called and how figures are written: one wording for the terminal, the page, JUnit and Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from harness.model.finding import CheckResult, Finding
from harness.model.masks import priorities_told
from harness.model.quantities import format_duration
from harness.model.result import FaultResult, RunResult
from harness.model.undeclared import undeclared_services
from harness.model.verdict import Verdict

__all__ = [
    "cell_text",
    "counted",
    "doubts",
    "exit_meaning",
    "fates_text",
    "headline",
    "lead_finding",
    "number",
    "opened",
    "place",
    "plural",
    "printable",
    "sentence",
    "shortened",
    "state_word",
    "tally",
    "visible",
]

#: C0 and C1 controls but tab and newline, and the characters that reorder or hide text.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """The text with terminal escapes, other controls and reordering characters replaced by U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", priorities_told(text))


def visible(page: Mapping[str, Any]) -> dict[str, Any]:
    """What a page is made of with every text in it `printable`, at any depth; tuples become lists."""
    return {printable(str(key)): _visible(item) for key, item in page.items()}


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return visible(value)
    return [_visible(item) for item in value] if isinstance(value, (list, tuple)) else value


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: max(0, limit - 1)].rstrip() + "…"


def number(value: float) -> str:
    """``1500`` -> ``'1,500'``; at most two decimals, none where they are zero."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def plural(count: int, noun: str, many: str = "") -> str:
    """``plural(1, 'task')`` -> ``'1 task'``."""
    return f"{number(count)} {noun if count == 1 else many or noun + 's'}"


def place(item: Finding | FaultResult) -> str:
    """``file:line`` in full, or the file, or nothing."""
    if not item.file:
        return ""
    return f"{item.file}:{item.line}" if item.line is not None else item.file


def cell_text(result: RunResult) -> str:
    """The matrix values of this run: ``broker=redis, pool=prefork``."""
    return ", ".join(f"{name}={value}" for name, value in result.cell.items())


def counted(verdicts: Iterable[Verdict]) -> str:
    """``4 passed, 1 failed, 1 inconclusive``; of nothing ''."""
    found = list(verdicts)
    words = {Verdict.PASS: "passed", Verdict.FAIL: "failed", Verdict.INCONCLUSIVE: "inconclusive", Verdict.ENVIRONMENT: "not judged"}
    return ", ".join(f"{number(found.count(verdict))} {word}" for verdict, word in words.items() if verdict in found)


def tally(checks: Iterable[CheckResult]) -> str:
    """The checks `counted`; an empty run says so."""
    return counted(c.verdict for c in checks) or "no check was judged"


def lead_finding(result: RunResult) -> Finding | None:
    """The finding that the report opens with: of a failing check, one with a story before one without."""
    found = [f for c in result.checks if c.verdict is Verdict.FAIL for f in c.findings]
    return next((f for f in found if f.story), found[0] if found else None)


def doubts(result: RunResult) -> list[str]:
    """Why passing checks are not enough in this run; empty where they are."""
    reasons = []
    if result.interrupted:
        reasons.append(result.interrupted)
    for fault in result.faults:
        if fault.bit is not True:
            how = "did not bite" if fault.bit is False else "may not have bitten"
            reasons.append(f"{fault.name} {how}: {fault.evidence}")
        if not fault.healed:
            reasons.append(f"{fault.name} did not heal" + (f": {fault.note}" if fault.note else ""))
    reasons += [f"worker {death}" for death in result.deaths]
    if result.unmade:
        reasons.append(result.unmade)
    if result.generator is not None and result.generator.undoes:
        reasons.append(result.generator.undoes)
    reasons += undeclared_services(result.undeclared)
    if not result.checks and not result.error and not result.interrupted:
        reasons.append("no check was judged")
    return reasons


def state_word(result: RunResult) -> str:
    """The verdict in capitals, but for an interrupted run without a failure."""
    if result.interrupted and result.verdict is not Verdict.FAIL:
        return "INTERRUPTED"
    return result.verdict.value.upper()


def exit_meaning(code: int) -> str:
    """What an exit status says, in words."""
    words = {
        0: "everything passed",
        1: "a check failed",
        2: "the scenario or the command line is wrong",
        3: "the environment failed",
        4: "inconclusive",
        130: "interrupted by SIGINT",
        143: "interrupted by SIGTERM",
    }
    return words.get(code, "see the message above")


def headline(result: RunResult) -> str:
    """One line: what is the matter."""
    if result.verdict is Verdict.FAIL:
        finding = lead_finding(result)
        if finding:
            return finding.headline
        failed = [c.name for c in result.checks if c.verdict is Verdict.FAIL]
        return f"{_enumeration(failed) or 'A check'} failed."
    if result.interrupted:
        return "Interrupted before a verdict."
    if result.verdict is Verdict.ENVIRONMENT:
        return "The environment failed, so nothing was judged."
    if result.verdict is Verdict.PASS:
        return "The check passed." if len(result.checks) == 1 else f"All {len(result.checks)} checks passed."
    return _undecided(result)


def _undecided(result: RunResult) -> str:
    idle = [f.name for f in result.faults if f.bit is not True]
    if idle:
        return f"{_enumeration(idle)} did not bite, so this is not a pass."
    unhealed = [f.name for f in result.faults if not f.healed]
    if unhealed:
        return f"{_enumeration(unhealed)} did not heal, so this is not a pass."
    if result.deaths:
        return "A worker died that no fault had killed, so this is not a pass."
    if result.unmade:
        return "Not all calls of the load were made, so this is not a pass."
    if result.generator is not None and result.generator.undoes:
        what = "The load generator was the bottleneck" if result.generator.bottleneck else "Locust calls its own load failed"
        return f"{what}, so this is not a pass."
    names = [c.name for c in result.checks if c.verdict is Verdict.INCONCLUSIVE]
    if names:
        return f"{_enumeration(names)} could not be decided."
    return "The app reached for an undeclared service." if result.undeclared else "No check was judged."


def sentence(result: RunResult) -> str:
    """One or two sentences below the headline: how it came about, or what the verdict rests on."""
    if result.verdict is Verdict.FAIL:
        finding = lead_finding(result)
        if finding and finding.sentence:
            return finding.sentence
        return next((c.summary for c in result.checks if c.verdict is Verdict.FAIL), "")
    if result.interrupted:
        return opened(result.interrupted)
    if result.verdict is Verdict.ENVIRONMENT:
        return result.error or next((c.summary for c in result.checks if c.verdict is Verdict.ENVIRONMENT), "")
    if result.verdict is Verdict.PASS:
        return _basis(result)
    reasons = doubts(result)
    reasons += [f"{c.name}: {c.summary}" for c in result.checks if c.verdict is Verdict.INCONCLUSIVE]
    return _sentences(reasons[:2])


def _basis(result: RunResult) -> str:
    parts = [f"{plural(result.calls, 'call')} in {format_duration(result.load_seconds)} of load"]
    if result.faults:
        parts.append("the fault bit" if len(result.faults) == 1 else f"all {len(result.faults)} faults bit")
    slowest = max((f.recovery for f in result.faults if f.recovery is not None), default=None)
    if slowest is not None:
        parts.append(f"slowest recovery {format_duration(slowest)}")
    return "; ".join(parts) + "."


def fates_text(result: RunResult) -> str:
    """``1,500 tasks = 1,497 succeeded + 3 failed``."""
    counts = {fate: n for fate, n in result.fates.items() if n}
    total = sum(counts.values())
    if not counts:
        return "no task was seen"
    return f"{plural(total, 'task')} = " + " + ".join(f"{number(n)} {fate}" for fate, n in counts.items())


def _sentences(parts: list[str]) -> str:
    return " ".join(text if text.endswith((".", "!", "?")) else text + "." for text in (opened(p) for p in parts if p))


def opened(text: str) -> str:
    """With a capital at its start, unless it starts with a name of something (`worker.kill`, `no_loss`)."""
    first = text.split(" ", 1)[0]
    return text if re.search(r"[._:/=]\w", first) or any(c.isupper() for c in first) or "_" in first else text[:1].upper() + text[1:]


def _enumeration(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    if len(unique) < 2:
        return "".join(unique)
    return ", ".join(unique[:-1]) + " and " + unique[-1]
