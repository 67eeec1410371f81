"""What pushed a system out of its usual state: its faults, and the times at which more was asked of it than before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.history import History
from harness.model.recovering import healing
from harness.model.scenario import LoadItem, Scenario
from harness.scenario.extent import bursts, levels

__all__ = ["Trigger", "trigger_of"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """From when the first one began until the last one was over, in seconds of the load. ``faults``: their indices."""

    begun: float
    over: float
    words: str
    faults: tuple[int, ...] = ()


def trigger_of(scenario: Scenario, history: History) -> Trigger | None:
    """All faults that are not known to have missed, and all peaks of the load, as one; None: nothing happened."""
    peaks = [(item, list(_peaks(item))) for item in scenario.load]
    spans = [span for _, own in peaks for span in own]
    names = list(dict.fromkeys("the spike" if item.arrival in ("spike", "step") else "the burst" for item, own in peaks if own))
    hits = []
    for fault in history.faults:
        healed = healing(fault)
        if fault.begun is not None and healed is not None and fault.evidence.bit is not False:
            hits.append(fault)
            spans.append((fault.begun, healed if fault.ended is not None or fault.healed else max(healed, history.healed_at or healed)))
    if not spans:
        return None
    names += dict.fromkeys(fault.name for fault in hits)
    return Trigger(min(begun for begun, _ in spans), max(over for _, over in spans), " and ".join(names), tuple(f.index for f in hits))


def _peaks(item: LoadItem) -> Iterator[tuple[float, float]]:
    """(begin, end) of a stream's time at more than its first rate, and of a burst that comes while others run already."""
    if item.arrival in ("spike", "step"):
        at, (_, usual) = item.at, levels(item)[0]
        for seconds, rate in levels(item):
            if rate > usual and seconds > 0:
                yield at, at + seconds
            at += seconds
    elif item.rate is None and item.arrival in ("burst", "constant") and item.at > 0:
        yield item.at, item.at + (item.every or 0.0) * (bursts(item) - 1)
