"""What stores saw happen while a task ran, as steps of its story.

A store knows when an effect happened and what it was, not which task caused it. It is told as a task's only where that
is certain: no other task ran at that moment, or its content names this call's arguments better than any other's.
"""

from __future__ import annotations

import heapq
import json
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from harness.model.finding import Step
from harness.model.history import Delivery, History, SideEvent

__all__ = ["effect_steps"]


def effect_steps(history: History, deliveries: list[Delivery]) -> list[Step]:
    """Steps of kind effect, effect_again (the same content a second time) and repeat (recognised), for one task's deliveries."""
    ours = {d.id: n for n, d in enumerate(sorted(deliveries, key=lambda d: d.at), 1)}
    seen: Counter[str] = Counter()
    running, named = _Running(history.deliveries.values()), _Named(history)
    steps = []
    for event in history.events:
        if event.kind != "effect":
            continue
        at_work = running.at(event.at)
        if not any(d.id in ours for d in at_work):
            continue
        delivery = _cause(named, at_work, event)
        if delivery is not None and delivery.id in ours:
            steps.append(_step(event, delivery, ours[delivery.id], seen))
    return steps


def _step(event: SideEvent, delivery: Delivery, number: int, seen: Counter[str]) -> Step:
    outcome, status = event.detail.get("outcome", "accepted"), event.detail.get("status")
    if outcome != "accepted":
        refused = f"refused ({status}): {event.text}" if status else f"{event.text} refused"  # first, since long paths are cut
        text = f"{event.text} recognised: no second effect" if outcome == "repeated" else refused
        return Step(at=event.at, kind="repeat", lane=delivery.worker, to=event.process, text=text, delivery=number)
    content = json.dumps([event.process, event.detail.get("row")], sort_keys=True, default=str)
    seen[content] += 1
    again = seen[content] > 1
    text = f"{event.text} accepted" + (" again" if again else "") + (", unanswered" if status == 0 else "")
    return Step(at=event.at, kind="effect_again" if again else "effect", lane=delivery.worker, to=event.process, text=text, delivery=number)


class _Running:
    """Which deliveries ran at any moment. A storm has as many events as deliveries: not each is held against each."""

    def __init__(self, deliveries: Iterable[Delivery]) -> None:
        spans = sorted(((d.start, _end(d), d) for d in deliveries if d.start is not None), key=lambda span: span[0])
        self._starts = [start for start, _, _ in spans]
        self._spans = spans
        self._longest = max((end - start for start, end, _ in spans if end < math.inf), default=0.0)
        self._endless = [(start, d) for start, end, d in spans if end == math.inf]

    def at(self, moment: float) -> list[Delivery]:
        """Those that had started and had not ended."""
        first, last = bisect_left(self._starts, moment - self._longest), bisect_right(self._starts, moment)
        ended = [d for _, end, d in self._spans[first:last] if moment <= end < math.inf]
        return ended + [d for start, d in self._endless if start <= moment]


def _end(delivery: Delivery) -> float:
    return min((t for t in (delivery.end, delivery.died) if t is not None), default=math.inf)


def _cause(named: _Named, running: list[Delivery], event: SideEvent) -> Delivery | None:
    """The delivery that was running and whose call the content names best; None where that is not one alone."""
    if len(running) <= 1:
        return running[0] if running else None
    content = Counter(_leaves(event.detail.get("row")))
    best, second = heapq.nlargest(2, ((named.within(d, content), d.id, d) for d in running))
    return best[2] if best[0] > second[0] else None


class _Named:
    """How much of a call's arguments the content of an event names."""

    def __init__(self, history: History) -> None:
        self._calls = history.calls
        self._leaves: dict[int, Counter[Any]] = {}

    def within(self, delivery: Delivery, content: Counter[Any]) -> int:
        """How many of the arguments of the delivery's call the content holds."""
        number = delivery.message.call
        if number not in self._leaves:
            self._leaves[number] = Counter(self._arguments(number))
        return sum(min(times, content[leaf]) for leaf, times in self._leaves[number].items())

    def _arguments(self, number: int) -> Iterator[Any]:
        call = self._calls.get(number)
        if call is None:
            return
        try:
            yield from _leaves(json.loads(call.args))
        except ValueError:  # cut, because it is long
            return


def _leaves(value: Any) -> Iterator[Any]:
    """Scalars at any depth, with numbers and their text as one."""
    if isinstance(value, dict):
        inner: Iterable[Any] = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        if value is not None and not isinstance(value, bool):
            yield str(value)
        return
    for part in inner:
        yield from _leaves(part)
