"""The records of a call, as everybody writes them who makes calls: the producer, and Locust's users (docs/journal.md)."""

from __future__ import annotations

import json
from typing import Any

from celery_harness_agent.journal import mono, optional, quoted

__all__ = ["failed", "of_call", "of_result", "task_ids"]


def of_call(number: int, task: str, arguments: str, due: int) -> str:
    """What a `call` record says beside when it was sent, and how. ``arguments``: quoted; ``due``: ns after t0."""
    return f',"no":{number},"n":{quoted(task)},"args":{arguments},"due":{due}'


def of_result(number: int, result: Any) -> str:
    """What a `call_ok` record says beside when."""
    ids = task_ids(result)
    return f',"no":{number},"id":{optional(ids[0] if ids else None)},"ids":{json.dumps(ids)}'


def failed(number: int, exception: str, text: str, *, unknown: bool) -> str:
    """The whole `call_failed` record. ``unknown``: the broker may have it."""
    return f'{{"k":"call_failed","m":{mono()},"no":{number},"e":{quoted(exception)},"text":{quoted(text[:300])},"unknown":{unknown:d}}}\n'


def task_ids(result: Any) -> list[str]:
    """All task ids behind a result, those that were sent first in front: a chain's parts, a group's, a chord's and its body."""
    if result is None:
        return []
    before = task_ids(getattr(result, "parent", None))
    members = getattr(result, "results", None)
    if members is None:
        return [*before, str(result.id)]
    return before + [identity for member in members for identity in task_ids(member) if identity not in before]
