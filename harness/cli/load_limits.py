"""What a rate has to keep in a search: latency thresholds of the scenario, or the command line's, and a backlog that does not grow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.checks._threshold import Threshold, enough, parse_selector, parse_threshold
from harness.checks.thresholds import ThresholdParameters
from harness.errors import UsageError
from harness.load.search_backlog import Kept

__all__ = ["Limits", "limits_of"]

_MANY = 30  # calls, so that the slope of their backlog says something


@dataclass(frozen=True)
class Limits:
    """``thresholds``: as a scenario has them. ``notes``: what was left out, and why."""

    thresholds: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> ThresholdParameters:
        """For the check."""
        return ThresholdParameters(dict(self.thresholds))

    @property
    def parsed(self) -> list[tuple[str, Threshold]]:
        """(key, threshold)."""
        return [(key, parse_threshold(text, parse_selector(key).metric)) for key, texts in self.thresholds.items() for text in texts]

    @property
    def words(self) -> tuple[str, ...]:
        """The thresholds, for people."""
        return tuple(f"{key} {threshold.text}" for key, threshold in self.parsed)

    @property
    def calls(self) -> int:
        """Calls of a trial without which it says nothing."""
        return max([_MANY, *(enough(threshold) + 2 for _, threshold in self.parsed)])

    @property
    def slowest(self) -> float:
        """The longest latency in seconds that any of them allows."""
        return max((threshold.value for _, threshold in self.parsed), default=0.0)

    @property
    def end_to_end(self) -> Kept | None:
        """The strictest percentile of the whole load's end-to-end latency; None: no threshold is about that."""
        found = [t for key, t in self.parsed if key.strip() == "end_to_end_latency" and t.statistic in ("p", "max")]
        strict = min(found, key=lambda threshold: threshold.value, default=None)
        return None if strict is None else Kept(strict.quantile or 100.0, strict.value)


def limits_of(thresholds: Mapping[str, tuple[str, ...]], p95: str, *, needed: bool = True) -> Limits:
    """Those that a higher rate can only miss.

    UsageError where none is left and one is ``needed``, and for a ``p95`` that is no duration.
    """
    kept: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    for key, texts in thresholds.items():
        usable = []
        for text in texts:
            if why := _unfit(key, text):
                notes.append(f"the threshold {key} {text} is left out: {why}")
            else:
                usable.append(text)
        if usable:
            kept[_whole(key)] = (*kept.get(_whole(key), ()), *usable)
    if p95:
        given = f"p(95) < {p95.strip()}"
        try:
            parse_threshold(given, "end_to_end_latency")
        except ValueError:
            raise UsageError(f"--p95 {p95} is not a duration", hint="write it with its unit, such as --p95 500ms") from None
        kept["end_to_end_latency"] = (*kept.get("end_to_end_latency", ()), given)
    if not kept and needed:
        raise UsageError(
            "nothing says what a rate has to keep: the scenario has no latency threshold that can be judged in a trial",
            hint='name a limit with --p95 500ms, or write `thresholds: {end_to_end_latency: ["p(95) < 500ms"]}`',
        )
    return Limits(kept, tuple(notes))


def _unfit(key: str, text: str) -> str:
    """Why a threshold says nothing about how high the rate may be, in words; '' if it does."""
    selector = parse_selector(key)
    threshold = parse_threshold(text, selector.metric)
    if selector.phase in ("faulty", "recovery"):
        return "no fault is on in a trial"
    if selector.metric == "throughput" or threshold.statistic in ("rate", "count"):
        return "it hangs on how many calls are made"
    return "a higher rate does not miss it" if threshold.operator in (">", ">=") else ""


def _whole(key: str) -> str:
    """Without a phase: all of a trial is healthy."""
    selector = parse_selector(key)
    chosen = [f"{name}:{value}" for name in ("task", "queue") if (value := getattr(selector, name))]
    return f"{selector.metric}{{{','.join(chosen)}}}" if chosen else selector.metric
