"""Layers of retries, one inside the other: the attempts multiply (F60)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from harness.model.history import History

__all__ = ["asked_more_often", "nested_tasks"]

#: So many requests more than before for each start show that the task, or its HTTP client, repeats them.
_MORE = 1.5


def nested_tasks(history: History) -> list[str]:
    """Tasks that retry inside a task that retries too."""
    retried: dict[str, str] = {m.task_id: m.task for m in history.messages.values() if m.is_retry}
    if not retried:
        return []
    found = set()
    for message in history.messages.values():
        if message.is_retry and message.parent_id in retried and message.parent_id != message.task_id:
            found.add(f"{message.task} inside {retried[message.parent_id]}")
    return sorted(found)


def asked_more_often(history: History, before: tuple[float, float], after: tuple[float, float]) -> list[str]:
    """Services that each start made more requests to in the second span than in the first: a layer of retries within the task.

    For services that see their requests (`LogsEffects`); in words, such as 'partner: 3.0 requests for each start, 1.0 before'.
    """
    usual, then = _per_start(history, before), _per_start(history, after)
    return [
        f"{service}: {then[service]:.1f} requests for each start, {usual[service]:.1f} before"
        for service in sorted(usual)
        if usual[service] and then.get(service, 0.0) >= _MORE * usual[service]
    ]


def _per_start(history: History, span: Collection[float]) -> dict[str, float]:
    first, last = min(span), max(span)
    starts = sum(d.start is not None and first <= d.start < last for d in history.deliveries.values())
    seen = Counter(event.process for event in history.events if event.kind == "effect" and first <= event.at < last)
    return {service: number / starts for service, number in seen.items()} if starts else {}
