"""The tasks of a run as columns: what became of each, how often it was started, and by whom."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from harness.model.fates import Fate, FateKind
from harness.model.finding import CheckResult
from harness.model.history import Call, Delivery, History, Message
from harness.model.result import TaskColumns
from harness.model.starts import end_of, started_again
from harness.model.verdict import Verdict

__all__ = ["storable", "task_columns"]

SUCCEEDED, WILL_RETRY, FAILED, KILLED, OPEN, DROPPED = range(6)

_OUTCOMES = {"SUCCESS": SUCCEEDED, "RETRY": WILL_RETRY, "FAILURE": FAILED, "RAISED": FAILED}
_NEVER_ENDED = frozenset({FateKind.LOST, FateKind.STRANDED, FateKind.SCHEDULED, FateKind.UNKNOWN, FateKind.UNPUBLISHED})
_LABEL = 40
_ERROR = 200


def task_columns(history: History, fates: Mapping[str, Fate], checks: Sequence[CheckResult]) -> TaskColumns:
    """One entry per task id, by the moment at which it was due."""
    named = _named(checks)
    labels = {number: storable(_label(call)) for number, call in history.calls.items()}
    rows = [_row(history, task_id, messages, fates.get(task_id), named, labels) for task_id, messages in _by_task(history).items()]
    rows.sort(key=lambda row: (row[4], row[2]))
    columns = list(zip(*rows, strict=True)) or [()] * len(TaskColumns.model_fields)
    return TaskColumns(**dict(zip(TaskColumns.model_fields, columns, strict=True)))


def storable(text: str) -> str:
    """The text without lone surrogates, which neither JSON documents nor models can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _by_task(history: History) -> dict[str, list[Message]]:
    tasks: dict[str, list[Message]] = {}
    for message in history.messages.values():
        tasks.setdefault(message.task_id, []).append(message)
    return tasks


def _named(checks: Iterable[CheckResult]) -> dict[str, str]:
    """Task id -> word of the first finding of a failing check that names it."""
    named: dict[str, str] = {}
    for check in checks:
        if check.verdict is Verdict.FAIL:
            for finding in check.findings:
                for task_id in finding.task_ids:
                    named.setdefault(task_id, finding.word.value)
    return named


_Row = tuple[str, str, int, str, float, "float | None", str, str, str, "tuple[tuple[int, float, float | None, str, int], ...]"]


def _row(
    history: History, task_id: str, messages: list[Message], fate: Fate | None, named: Mapping[str, str], labels: Mapping[int, str]
) -> _Row:
    first = min(messages, key=lambda m: (m.retries, m.begun if m.begun is not None else 0.0))
    deliveries = sorted((d for m in messages for d in m.deliveries), key=lambda d: d.at)
    due = _due(history, first, deliveries)
    ends = [end for end in map(end_of, deliveries) if end is not None]
    kind = fate.kind if fate is not None else FateKind.UNKNOWN
    never = kind in _NEVER_ENDED or not ends
    return (
        storable(task_id),
        storable(first.task),
        first.call,
        labels.get(first.call, ""),
        due,
        None if never else max(0.0, max(ends) - due),
        kind.value,
        named.get(task_id, ""),
        "" if kind is FateKind.SUCCEEDED else storable(_error(deliveries)),
        tuple(_attempt(history, d) for d in deliveries),
    )


def _due(history: History, first: Message, deliveries: Sequence[Delivery]) -> float:
    """The load's own messages were due when their call was; what a task published, when it published it."""
    call = history.calls.get(first.call)
    if call is not None and not first.cause:
        return call.due
    if first.begun is not None:
        return first.begun
    return deliveries[0].at if deliveries else 0.0


def _attempt(history: History, delivery: Delivery) -> tuple[int, float, float | None, str, int]:
    start = delivery.start if delivery.start is not None else delivery.at
    outcome = _outcome(history, delivery)
    end = delivery.died if outcome == KILLED else end_of(delivery)
    if end is None and outcome == DROPPED:
        end = next((t for t in (delivery.reject, delivery.ack) if t is not None), start)
    return started_again(delivery), start, None if end is None else max(start, end), storable(delivery.worker), outcome


def _outcome(history: History, delivery: Delivery) -> int:
    if delivery.state:
        return _OUTCOMES.get(delivery.state, DROPPED)
    if delivery.outcome.startswith("failed:"):
        return FAILED
    if delivery.revoked or delivery.outcome or delivery.reject is not None:
        return DROPPED
    ours = delivery.died_by is None and history.stopped_at is not None and delivery.died is not None and delivery.died >= history.stopped_at
    return KILLED if delivery.died is not None and not ours else OPEN


def _error(deliveries: Sequence[Delivery]) -> str:
    for delivery in reversed(deliveries):
        if delivery.exception:
            return f"{delivery.exception}: {delivery.text}"[:_ERROR].rstrip(": ")
        if delivery.outcome:
            return delivery.outcome[:_ERROR]
    return ""


def _label(call: Call) -> str:
    """What the user calls it: the first argument, in short."""
    try:
        args, kwargs = json.loads(call.args)
        value = args[0] if args else next(iter(kwargs.values()), "")
    except (ValueError, TypeError, AttributeError, KeyError):
        return call.args[:_LABEL]
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:_LABEL]
