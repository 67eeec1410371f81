"""A search in words: figures with their units, and the parts of its page that the terminal shows as well."""

from __future__ import annotations

from harness.model.quantities import format_duration, format_rate
from harness.model.searching import Drift, SearchResult, Trial

__all__ = ["drift_figures", "outcome_text", "rate", "seconds", "state_of", "trial_figures"]

_STATES = {
    "capacity": {0: "FOUND", 1: "BELOW", 4: "INCONCLUSIVE"},
    "stress": {0: "RECOVERS", 1: "DOES NOT RECOVER", 4: "INCONCLUSIVE"},
    "soak": {0: "STEADY", 1: "FAILED", 4: "INCONCLUSIVE"},
}
_OUTCOMES = {"kept": "kept", "missed": "missed", "generator": "generator short", "uncounted": "does not count"}


def rate(value: float | None) -> str:
    """``17.2/s``; – where it is not known."""
    if value is None:
        return "–"
    return format_rate(value)


def seconds(value: float | None) -> str:
    """``12 ms``; never where it is infinite."""
    return "never" if value is None else f"{value * 1000:.2g} ms" if 0 < value < 0.0095 else format_duration(value)


def outcome_text(trial: Trial) -> str:
    """``kept``, ``missed``, …"""
    return _OUTCOMES[trial.outcome]


def trial_figures(trial: Trial) -> str:
    """``p50 110 ms  p95 1.2 s  served 17.0/s``."""
    if not trial.calls:
        return ""
    return f"p50 {seconds(trial.p50)}  p95 {seconds(trial.p95)}  served {rate(trial.served)}"


def drift_figures(found: Drift) -> tuple[str, str, str]:
    """(level, slope per hour, its interval)."""
    return (
        _figure(found.level, found),
        _slope(found.slope, found),
        f"{_slope(found.low, found)} to {_slope(found.high, found)}" if found.low is not None else "",
    )


def _figure(value: float | None, found: Drift) -> str:
    if value is None:
        return "–"
    return f"{value / 1e6:,.1f} MB" if found.unit == "bytes" else seconds(value)


def _slope(value: float | None, found: Drift) -> str:
    if value is None:
        return "–"
    if found.unit == "bytes":
        return f"{value / 1e6:+,.1f} MB/h" if abs(value) < 1e8 else f"{value / 1e6:+,.0f} MB/h"
    return f"{value:+,.1f} s/h" if abs(value) >= 1 else f"{value * 1000:+.0f} ms/h"


def state_of(result: SearchResult) -> str:
    """One or two words in capitals."""
    return _STATES[result.kind].get(result.exit_code, "INTERRUPTED" if result.interrupted else "ENDED EARLY")
