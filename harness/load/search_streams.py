"""The streams of a scenario as one load that can be made at any rate: every stream keeps its share."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.scenario import LoadItem

__all__ = ["constant_load", "share_texts", "stepped_load", "total_rate", "unfit"]

_SHAPES = {
    "ramp": "its rate is a ramp",
    "step": "its rate goes in steps",
    "spike": "its rate has a spike",
    "diurnal": "its rate follows the day",
    "burst": "its calls come in bursts",
    "trace": "its calls are recorded ones",
}


def unfit(item: LoadItem) -> str:
    """Why a stream has no rate that could be raised, in words; '' if it has one."""
    if item.arrival in _SHAPES:
        return _SHAPES[item.arrival]
    return "" if item.rate is not None else "its calls come all at once"


def total_rate(load: Sequence[LoadItem]) -> float:
    """Calls per second of all streams together, each as if it went on all the time."""
    return sum(item.rate or 0.0 for item in load)


def constant_load(load: Sequence[LoadItem], rate: float, seconds: float) -> tuple[LoadItem, ...]:
    """All streams at once from the beginning, together at this rate, for so long. Poisson arrivals stay Poisson."""
    whole = total_rate(load)
    return tuple(
        item.model_copy(update={"rate": (item.rate or 0.0) / whole * rate, "count": None, "duration": seconds, "at": 0.0}) for item in load
    )


def stepped_load(load: Sequence[LoadItem], rates: Sequence[float], seconds: float) -> tuple[LoadItem, ...]:
    """The same through these rates, one after the other, for so long each."""
    whole = total_rate(load)
    return tuple(
        item.model_copy(
            update={
                "arrival": "step",
                "rates": tuple((item.rate or 0.0) / whole * rate for rate in rates),
                "rate": None,
                "count": None,
                "duration": seconds * len(rates),
                "at": 0.0,
            }
        )
        for item in load
    )


def share_texts(load: Sequence[LoadItem]) -> list[str]:
    """``orders.charge, 75 %, poisson``."""
    whole = total_rate(load)
    return [
        ", ".join(
            filter(
                None,
                (
                    _name(item),
                    f"{(item.rate or 0.0) / whole:.0%} of the rate".replace("%", " %") if len(load) > 1 else "",
                    item.arrival if item.arrival != "constant" else "",
                ),
            )
        )
        for item in load
    ]


def _name(item: LoadItem) -> str:
    if item.send:
        return item.send
    if item.chord is not None:
        return f"chord of {len(item.chord.header)} with {item.chord.body.send}"
    parts = item.chain or item.group
    return f"{'chain' if item.chain else 'group'} of {', '.join(dict.fromkeys(call.send for call in parts))}"
