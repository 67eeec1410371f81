"""Is it slower than the baseline? First against the baseline's own samples; what looks worse is then decided by runs in turn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from harness.gate.measures import MEASURES
from harness.gate.statistics import effect
from harness.model.gate import Baseline, BaselineCell, Comparison, Measure, Measures
from harness.model.quantities import format_duration
from harness.model.verdict import Verdict

__all__ = [
    "CONFIDENCE",
    "FEWEST_PAIRS",
    "MOST_PAIRS",
    "against_samples",
    "allowed_error",
    "from_pairs",
    "not_compared",
    "shown",
    "undecided",
]

#: Both looks at the pairs together err in at most one of a hundred cases.
CONFIDENCE = 0.99
#: Eight pairs are the fewest whose interval can have 99 % (2/2⁸ = 0.8 %): the first look. The second and last one gets the rest.
FEWEST_PAIRS = 8
MOST_PAIRS = 16
_FIRST_LOOK = 2.0 ** (1 - FEWEST_PAIRS)
_LAST_LOOK = (1 - CONFIDENCE) - _FIRST_LOOK

#: Of these, less is worse.
_RATES: tuple[Measure, ...] = ("throughput",)


def not_compared(baseline: Baseline, expected: BaselineCell, *, runtime: str, machine: str, digest: str, verdict: Verdict) -> str:
    """Why the figures of a cell cannot be held against the baseline's, in words; '' where they can."""
    if not expected.samples:
        return "the baseline has no figures of it"
    if baseline.runtime != runtime:
        return f"the baseline was made with the runtime {baseline.runtime}"
    if baseline.machine != machine:
        return f"the baseline was made on another machine: {baseline.machine}"
    if expected.digest != digest:
        return "the scenario has changed since the baseline"
    return "" if verdict is Verdict.PASS else "it did not pass"


def against_samples(now: Measures, samples: Sequence[Measures], tolerance: float) -> tuple[Comparison, ...]:
    """One per measure. Worse than every sample by more than ``tolerance`` (a share): suspected, until pairs decide."""
    return tuple(_against(measure, getattr(now, measure), [getattr(one, measure) for one in samples], tolerance) for measure in MEASURES)


def _against(measure: Measure, after: float | None, expected: Sequence[float | None], tolerance: float) -> Comparison:
    before = [value for value in expected if value is not None]
    if after is None and before and len(before) == len(expected):
        # Slower tasks are what leaves fewer of them beyond the recovery from a fault: a figure that is gone may be a worse one.
        why = "every sample of the baseline has it, and this run has too few tasks outside of faults for it"
        return Comparison(measure=measure, outcome="suspected", before=statistics.median(before), why=why)
    if after is None or not before:
        whose = "this run" if after is None else "the baseline"
        known = statistics.median(before) if before else None
        return Comparison(measure=measure, outcome="not compared", before=known, after=after, why=f"too few samples in {whose}")
    middle = statistics.median(before)
    found = Comparison(measure=measure, outcome="same", before=middle, after=after, ratio=_ratio(middle, after))
    worst, best = (min(before), max(before)) if measure in _RATES else (max(before), min(before))
    if _worse(measure, worst, after, tolerance):
        return found.model_copy(
            update={"outcome": "suspected", "why": "worse than every sample of the baseline by more than the tolerance"}
        )
    if _worse(measure, after, best, tolerance):
        return found.model_copy(update={"outcome": "better", "why": "better than every sample of the baseline by more than the tolerance"})
    return found.model_copy(update={"why": "within the baseline's samples and the tolerance"})


def _ratio(before: float, after: float) -> float | None:
    return after / before if before > 0 else None


def _worse(measure: Measure, than: float, value: float, tolerance: float) -> bool:
    return value < than * (1 - tolerance) if measure in _RATES else value > than * (1 + tolerance)


def allowed_error(pairs: int) -> float:
    """The share of errors that the interval of this look may have: the first look is at `FEWEST_PAIRS`, any later one is the last."""
    return _FIRST_LOOK if pairs <= FEWEST_PAIRS else _LAST_LOOK


def from_pairs(measure: Measure, pairs: Sequence[tuple[float, float]], tolerance: float) -> Comparison | None:
    """What pairs (baseline's commit, this one) say; None: they do not decide.

    Regression only if the whole interval of the ratio is beyond the tolerance, the same only if the whole of it is within.
    """
    usable = [(before, after) for before, after in pairs if before > 0 and after > 0]
    if len(usable) < FEWEST_PAIRS:
        return None
    found = effect(usable, error=allowed_error(len(usable)))
    limit = 1 - tolerance if measure in _RATES else 1 + tolerance
    beyond = found.high < limit if measure in _RATES else found.low > limit
    within = found.low >= limit if measure in _RATES else found.high <= limit
    if not beyond and not within:
        return None
    bound = f"{'more' if beyond else 'not more'} than {tolerance:.0%} {'lower' if measure in _RATES else 'higher'}"
    why = f"{bound}: ×{found.ratio:.2f}, between {found.low:.2f} and {found.high:.2f} with {CONFIDENCE:.0%} confidence"
    return _paired(measure, usable).model_copy(
        update={"outcome": "regression" if beyond else "same", "why": f"{why}, by {found.pairs} runs in turn of both commits"}
    )


def undecided(measure: Measure, pairs: Sequence[tuple[float, float]], why: str, first: Comparison) -> Comparison:
    """Suspected, with what the pairs say so far; ``first``: what the baseline's samples said, where there are no pairs."""
    usable = [(before, after) for before, after in pairs if before > 0 and after > 0]
    if not usable:
        return first.model_copy(update={"outcome": "suspected", "why": why})
    return _paired(measure, usable).model_copy(update={"outcome": "suspected", "why": why})


def _paired(measure: Measure, pairs: Sequence[tuple[float, float]]) -> Comparison:
    found = effect(pairs, error=allowed_error(len(pairs)))
    bounded = math.isfinite(found.high)
    return Comparison(
        measure=measure,
        outcome="suspected",
        before=statistics.median(before for before, _ in pairs),
        after=statistics.median(after for _, after in pairs),
        ratio=found.ratio,
        low=found.low if bounded else None,
        high=found.high if bounded else None,
        confidence=CONFIDENCE if bounded else None,
        pairs=found.pairs,
    )


def shown(comparison: Comparison) -> str:
    """``p95 120 ms -> 182 ms, x 1.52 (1.40 to 1.66 with 99 %, 8 pairs)``."""

    def figure(value: float | None) -> str:
        if value is None:
            return "unknown"
        return f"{value:.1f}/s" if comparison.measure in _RATES else format_duration(value)

    text = f"{comparison.measure} {figure(comparison.before)} → {figure(comparison.after)}"
    if comparison.ratio is not None:
        text += f", ×{comparison.ratio:.2f}"
    if comparison.low is not None and comparison.high is not None and comparison.confidence is not None:
        text += f" ({comparison.low:.2f} to {comparison.high:.2f} with {comparison.confidence:.0%}, {comparison.pairs} pairs)"
    return text
