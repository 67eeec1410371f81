"""What a search comes down to: verdict, one line for people, exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.cli.load_stress import lasting, word_of
from harness.errors import HarnessError, Interrupted
from harness.model.quantities import format_duration, format_rate
from harness.model.searching import Capacity, Drift, Recovery, SearchKind
from harness.model.verdict import EXIT_CODES, Verdict, combine

__all__ = ["concluded"]

#: An interval that is cut short says nothing if its ends are so many times apart.
_VAGUE = 2.0

_Said = tuple[Verdict, str]


def concluded(
    kind: SearchKind, found: Mapping[str, Any], stop: HarnessError | None, checks: Verdict | None, doubts: Sequence[str] = ()
) -> tuple[Verdict, str, int]:
    """``found``: fields of `SearchResult`. ``stop``: what ended it early.

    ``checks``: what the checks of a soak say; None: there are none. ``doubts``: of the run that a stress or a soak comes down to; with
    one a pass is inconclusive, and a failure stays one.
    """
    if isinstance(stop, Interrupted):
        so_far = "what was seen until then" if kind == "soak" else "what the trials so far say"
        return Verdict.INCONCLUSIVE, f"Interrupted: this is {so_far}.", stop.exit_code
    if stop is not None:
        verdict = Verdict.ENVIRONMENT if stop.exit_code == EXIT_CODES[Verdict.ENVIRONMENT] else Verdict.INCONCLUSIVE
        return verdict, f"It ended early: {str(stop).partition(chr(10))[0]}", stop.exit_code
    if kind == "capacity":
        verdict, text = of_capacity(found["capacity"])
    elif kind == "stress":
        verdict, text = of_stress(found.get("recovery"), found.get("capacity"))
    else:
        verdict, text = of_soak(found.get("drifts", ()), checks)
    if doubts and kind == "stress" and "recovery" not in found:
        text = f"Whether it recovers cannot be told: {doubts[0]}."
    elif doubts and verdict is Verdict.PASS:
        verdict, text = Verdict.INCONCLUSIVE, f"{text.removesuffix('.')}, but this is not a pass: {doubts[0]}."
    return verdict, text, EXIT_CODES[verdict]


def of_capacity(found: Capacity) -> _Said:
    """Pass: found, and at least what was asked for. Fail: less, or no rate was kept. Inconclusive: it cannot be told."""
    text = _capacity_text(found)
    wanted = found.at_least
    if wanted is not None:
        if found.low is not None and found.low >= wanted:
            return Verdict.PASS, f"{format_rate(wanted)} is reached: {text}."
        if found.high is not None and found.high < wanted:
            return Verdict.FAIL, f"{format_rate(wanted)} is not reached: {text}."
        return Verdict.INCONCLUSIVE, f"Whether {format_rate(wanted)} is reached cannot be told: {text}."
    if found.estimate is not None and found.low is not None and found.high is not None:
        if found.high > _VAGUE * found.low:
            return Verdict.INCONCLUSIVE, f"{text[0].upper()}{text[1:]}, which is too vague: {found.bound}."
        return Verdict.PASS, f"{text[0].upper()}{text[1:]}."
    if found.ended == "lowest":
        return Verdict.FAIL, f"No rate is kept: {found.bound}."
    if found.ended == "highest":
        return Verdict.PASS, f"{text[0].upper()}{text[1:]}."
    return Verdict.INCONCLUSIVE, f"{text[0].upper()}{text[1:]}."


def _capacity_text(found: Capacity) -> str:
    if found.estimate is not None and found.low is not None and found.high is not None:
        between = f"between {format_rate(found.low)} and {format_rate(found.high)}"
        return f"the capacity is {format_rate(found.estimate)}, {between} ({100 * found.confidence:g} %)"
    why = f" ({found.bound})" if found.bound else ""
    if found.low is not None:
        return f"the capacity is at least {format_rate(found.low)}{why}"
    return f"the capacity is below {format_rate(found.high)}{why}" if found.high is not None else f"nothing was found{why}"


def of_stress(found: Recovery | None, capacity: Capacity | None) -> _Said:
    """Fail: it does not recover."""
    if found is None:
        if capacity is not None and capacity.low is not None and capacity.ended == "highest":
            return Verdict.PASS, f"It does not break up to {format_rate(capacity.low)}."
        return Verdict.INCONCLUSIVE, f"It could not be broken: {_capacity_text(capacity) if capacity else 'nothing was found'}."
    if found.why:
        return Verdict.INCONCLUSIVE, f"Whether it recovers cannot be told: {found.why}."
    up = f"up to {format_rate(found.peak)}"
    if found.seconds is None:
        return (
            Verdict.FAIL,
            f"{word_of(found).value}: {up} it breaks, and does not recover within {format_duration(found.within)}: {lasting(found)}.",
        )
    if found.broke is None:
        return Verdict.INCONCLUSIVE, f"It did not break {up} this time, so nothing is known of how it recovers."
    return (
        Verdict.PASS,
        f"It breaks at {format_rate(found.broke)} and recovers in {format_duration(found.seconds)} at {format_rate(found.low)}.",
    )


def of_soak(found: Sequence[Drift], checks: Verdict | None) -> _Said:
    """Fail: something grows. Inconclusive: of something it cannot be told."""
    grows = [one.name for one in found if one.outcome == "grows"]
    open_ = [one.name for one in found if one.outcome == "cannot tell"]
    verdicts = [Verdict.FAIL if grows else Verdict.INCONCLUSIVE if open_ or not found else Verdict.PASS]
    verdict = combine([*verdicts, *([checks] if checks is not None else [])])
    if grows:
        return verdict, f"{', '.join(grows)} {'grows' if len(grows) == 1 else 'grow'}."
    if checks is Verdict.FAIL:
        return verdict, "A check of the scenario failed."
    if open_:
        return verdict, f"Nothing is seen to grow, and of {', '.join(open_)} it cannot be told."
    if not found:
        return verdict, "Nothing was measured."
    if checks is Verdict.INCONCLUSIVE:
        return verdict, "Everything is steady, but a check of the scenario could not be decided."
    return verdict, "Everything is steady."
