"""What stores saw happen while a task ran, as steps of its story.

A store knows when an effect happened and what it was, not which task caused it. It is told as a task's only where that
is certain: no other task ran at that moment, or its content names this call's arguments better than any other's.
"""

from __future__ import annotations

import json
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
    steps = []
    for event in history.events:
        if event.kind != "effect":
            continue
        delivery = _cause(history, event)
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


def _cause(history: History, event: SideEvent) -> Delivery | None:
    """The delivery that was running and whose call the content names best; None where that is not one alone."""
    running = [d for d in history.deliveries.values() if _ran_at(d, event.at)]
    if len(running) <= 1:
        return running[0] if running else None
    content = Counter(_leaves(event.detail.get("row")))
    named = sorted(((_named(history, d, content), d.id) for d in running), reverse=True)
    return history.deliveries[named[0][1]] if named[0][0] > named[1][0] else None


def _ran_at(delivery: Delivery, at: float) -> bool:
    if delivery.start is None or delivery.start > at:
        return False
    ends = [t for t in (delivery.end, delivery.died) if t is not None]
    return not ends or at <= min(ends)


def _named(history: History, delivery: Delivery, content: Counter[Any]) -> int:
    """How many of the call's arguments the content holds."""
    call = history.calls.get(delivery.message.call)
    if call is None:
        return 0
    try:
        arguments = json.loads(call.args)
    except ValueError:  # cut, because it is long
        return 0
    return sum((Counter(_leaves(arguments)) & content).values())


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
