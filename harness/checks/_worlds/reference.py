"""Is a clean pass a reference of one clean execution, and of which calls?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.checks._common import count, visibility_timeout
from harness.checks._worlds.callfates import Allow, allowances, cut_short
from harness.model.history import Call, History, Message
from harness.model.quantities import format_duration
from harness.ports.check import CleanPass, Recorded

__all__ = ["some", "unreferenced", "unusable"]

#: Letters of an exception's text.
_TEXT = 120
_RETRIED = "was retried"
_AGAIN = "was delivered more than once"
_CUT = "was cut short"


def unusable(clean: CleanPass, recorded: Recorded, number: int) -> tuple[str, str] | None:
    """(why the pass says nothing of any call, what would help), or None. ``number``: 1 or 2, as the report counts them."""
    history = clean.history
    which = f"clean pass {number}"
    differing = [n for n, c in recorded.history.calls.items() if n in history.calls and history.calls[n].args != c.args]
    if differing:
        return f"call {some(differing)} had other arguments in {which}", "draw arguments from the seeded source alone"
    absent = sorted(set(recorded.history.calls) - set(history.calls))
    if absent:
        return f"{which} lacks call {some(absent)}", "let the run finish its clean passes"
    if any(p.unexpected for p in history.processes):
        return f"{which} was disturbed: a process died", "look at the logs of the run; then run it again"
    states = allowances(history, recorded.semantics, (history,), {})
    failed = [n for n, (allow, _) in states.items() if allow is not Allow.ALL]
    if failed:
        advice = "make the calls of the load succeed without faults; without that nobody knows what one clean execution leaves"
        return f"call {some(failed)} did not succeed in {which} ({states[failed[0]][1]}{_raised(history, failed[0])})", advice
    return None


def _raised(history: History, call: int) -> str:
    """': OverflowError: Python int too large', of the last execution of the call that says what it met; '' where none does."""
    told = [d for message in history.calls[call].messages for d in message.deliveries if d.exception]
    if not told:
        return ""
    last = max(told, key=lambda delivery: delivery.at)
    text = last.text.strip().splitlines()[0][:_TEXT] if last.text.strip() else ""
    return f": {last.exception}{f': {text}' if text else ''}"


def unreferenced(passes: Iterable[CleanPass], recorded: Recorded) -> tuple[frozenset[int], str, str]:
    """(calls that were executed more than once in a clean pass, that in words, what would help); (none, '', '') where all is well.

    What such a call left there may hold an effect twice, so it says nothing of one clean execution.
    """
    calls: set[int] = set()
    words, advice = [], ""
    for number, clean in enumerate(passes, 1):
        found = {c.number: why for c in clean.history.calls.values() if (why := _more_than_once(c, clean.history))}
        if not found:
            continue
        calls.update(found)
        what = "; ".join(f"call {some([n for n, w in found.items() if w == why])} {why}" for why in dict.fromkeys(found.values()))
        cause, help_ = _why(clean.history, recorded, found)
        words.append(f"clean pass {number} was disturbed: {what}{cause}, so it does not show what one clean execution leaves")
        advice = advice or help_
    return frozenset(calls), "; ".join(words), advice


def _more_than_once(call: Call, history: History) -> str:
    deliveries = [d for m in call.messages for d in m.deliveries]
    if any(cut_short(d, history.stopped_at) for d in deliveries):
        return _CUT
    if any(d.copy or d.redelivered or len(d.message.deliveries) > 1 for d in deliveries):
        return _AGAIN
    return _RETRIED if any(m.is_retry or m.retries for m in call.messages) or any(d.state == "RETRY" for d in deliveries) else ""


def _why(history: History, recorded: Recorded, found: Mapping[int, str]) -> tuple[str, str]:
    """(the cause as far as the pass shows it, what would help)."""
    again = [m for n, why in found.items() if why == _AGAIN for m in history.calls[n].messages if len(m.deliveries) > 1]
    returned = _returned_by_timeout(again, visibility_timeout(recorded))
    if returned is not None:
        return returned
    if _CUT in found.values() or _AGAIN in found.values():
        return "", "run it again; if it stays so, look at what the workers' logs say of the clean pass"
    advice = "let what the tasks need be there without faults: a clean execution retries nothing (an http service's `fail_first`, "
    return "", advice + "`fail: once` and `drop` are off in clean passes)"


def _returned_by_timeout(messages: Iterable[Message], timeout: Any) -> tuple[str, str] | None:
    """Messages that a worker held for longer than the broker waits: while they waited for their time, or ran."""
    if not isinstance(timeout, (int, float)):
        return None
    for message in messages:
        first, second = message.deliveries[:2]
        if second.at - first.at < timeout:
            continue
        start = first.start if first.start is not None else float("inf")
        waited = start >= second.at or (message.eta is not None and message.eta - first.at >= timeout)
        what = "waited for the time of its retry" if message.is_retry else "waited for its time"
        held = min(start, message.eta or start) - first.at if waited else (first.end or second.at) - start
        longest = f" of {format_duration(held)}" if 0 < held < float("inf") else ""
        doing = f"{what}, a delay{longest}" if waited else f"ran, a time{longest}"
        words = f" ({message.task} {doing}, and `redelivery` gives it to another worker after {format_duration(float(timeout))})"
        return words, "set system.redelivery to more than the longest countdown and run of a task, or shorten retries: time: {retries: /10}"
    return None


def some(numbers: Iterable[int]) -> str:
    """The first few of these calls."""
    ranked = sorted(numbers)
    shown = ", ".join(str(n) for n in ranked[:5])
    return shown + (f" and {count(len(ranked) - 5, 'more', 'more')}" if len(ranked) > 5 else "")
