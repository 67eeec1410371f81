"""The story of one offender: who did what to its messages, in order, beside the user's source."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from harness.checks._common import visibility_timeout
from harness.checks.effects_seen import effect_steps
from harness.model.fates import Fate, FateKind
from harness.model.finding import SourceLine, Step, Story, WorldCell
from harness.model.history import Call, Delivery, History, Message
from harness.model.quantities import format_duration
from harness.ports.check import Recorded

__all__ = ["build_story", "source_around"]

CALLER = "caller"
BROKER = "broker"
#: A wait shorter than this needs no row of its own, seconds.
_WORTH_A_ROW = 0.5
_AROUND = 4


def build_story(
    recorded: Recorded,
    task_id: str,
    *,
    title: str,
    file: str = "",
    line: int | None = None,
    effects: Sequence[Step] = (),
    world: Sequence[WorldCell] = (),
    fate: Fate | None = None,
) -> Story | None:
    """Publish, deliver, start, crash, wait, redelivery, effects, end, ack of one task; None if nothing was recorded of it.

    ``effects``: steps of stores with their times, where a check knows them; else those that stores saw themselves.
    ``file`` and ``line``: the guilty line; without them the line that was running at the first crash, or that raised.
    """
    history = recorded.history
    messages = _messages(history, task_id)
    if not messages:
        return None
    deliveries = sorted((d for m in messages for d in m.deliveries), key=lambda d: d.at)
    numbers = {d.id: n for n, d in enumerate(deliveries, 1)}
    if line is None:
        file, line = _telling_line(history, deliveries)
    steps = [step for m in messages for step in _message_steps(history, m)]
    steps += [step for d in deliveries for step in _delivery_steps(history, d, numbers[d.id])]
    steps += effects or effect_steps(history, deliveries)
    steps += _waits(recorded, deliveries)
    steps += _ending(history, messages[-1], fate)
    steps.sort(key=lambda s: s.at)  # stable: equal times stay in causal order
    return Story(
        title=title,
        task_id=task_id,
        task=messages[0].task,
        steps=tuple(steps),
        world=tuple(world),
        file=file,
        line=line,
        source=source_around(recorded, file, line),
    )


def source_around(recorded: Recorded, file: str, line: int | None) -> tuple[SourceLine, ...]:
    """The user's lines around one, as they were on disk during the run; () if they cannot be read."""
    if not file or line is None:
        return ()
    lines = recorded.source(file)
    first, last = max(1, line - _AROUND), min(len(lines), line + _AROUND)
    return tuple(SourceLine(number=n, code=lines[n - 1].rstrip("\n")) for n in range(first, last + 1))


def _messages(history: History, task_id: str) -> list[Message]:
    found = [m for m in history.messages.values() if m.task_id == task_id]
    found.sort(key=lambda m: (m.retries, m.begun if m.begun is not None else 0.0))
    return found


def _telling_line(history: History, deliveries: Iterable[Delivery]) -> tuple[str, int | None]:
    for delivery in deliveries:
        if delivery.last_line:
            file, _, number = delivery.last_line.rpartition(":")
            return file, int(number) if number.isdigit() else None
    for delivery in deliveries:
        fault = next((f for f in history.faults if f.index == delivery.died_by and f.task_id == delivery.message.task_id), None)
        if fault is not None and fault.line is not None:
            return fault.file, fault.line
    return next(((d.file, d.line) for d in deliveries if d.line is not None), ("", None))


def _message_steps(history: History, message: Message) -> list[Step]:
    if message.begun is None:
        return []
    call = history.calls.get(message.call)
    cause = history.deliveries.get(message.cause)
    lane = cause.worker if cause is not None else CALLER
    text = f"retry {message.retries} is published" if message.is_retry else "the task is published"
    note = "" if message.ok is not None else message.failed or "not confirmed"
    if message.is_retry and cause is not None and cause.retry_delay is not None:
        note = note or f"due in {format_duration(max(0.0, cause.retry_delay))}"
    elif not message.is_retry and call is not None and cause is None:
        note = note or _short(call)
    return [Step(at=message.begun, kind="retry" if message.is_retry else "publish", lane=lane, to=BROKER, text=text, note=note)]


def _short(call: Call) -> str:
    return f"call {call.number}: {call.args}" if len(call.args) <= 60 else f"call {call.number}: {call.args[:59]}…"


def _delivery_steps(history: History, delivery: Delivery, number: int) -> list[Step]:
    lane = delivery.worker or "a worker"
    again = "delivered again" if number > 1 and not delivery.message.is_retry else "delivered"
    text = f"{again}: injected copy {delivery.copy}" if delivery.copy else again
    steps = [Step(at=delivery.at, kind="deliver", lane=BROKER, to=lane, text=text, delivery=number)]

    def add(at: float | None, kind: str, text: str, *, to: str = "", note: str = "", line: int | None = None) -> None:
        if at is not None:
            steps.append(Step(at=max(at, delivery.at), kind=kind, lane=lane, to=to, text=text, note=note, line=line, delivery=number))

    add(delivery.start, "start", "starts")
    if delivery.end is not None:
        where = f"{PurePath(delivery.file).name}:{delivery.line}" if delivery.line is not None else ""
        words = {"SUCCESS": "succeeded", "FAILURE": "failed", "RETRY": "will retry", "REJECTED": "rejected", "IGNORED": "ignored"}
        error = delivery.exception.rpartition(".")[2]
        text = words.get(delivery.state, delivery.state.lower())
        add(delivery.end, "end", text, note=" ".join(filter(None, (error, where))), line=delivery.line)
    elif delivery.revoked:
        add(delivery.ack or delivery.at, "end", delivery.revoked)
    add(delivery.ack, "ack", "acknowledged", to=BROKER, note="before it ended" if _acked_early(delivery) else "")
    add(delivery.reject, "reject", "rejected, requeued" if delivery.requeue else "rejected", to=BROKER, note=delivery.outcome)
    if delivery.died is not None and not _stopped_by_us(history, delivery):
        add(delivery.died, "crash", _crash(history, delivery), note=delivery.last_line, line=_number(delivery.last_line))
    return steps


def _stopped_by_us(history: History, delivery: Delivery) -> bool:
    """Its worker lived until the run was over."""
    return delivery.died_by is None and history.stopped_at is not None and (delivery.died or 0.0) >= history.stopped_at


def _acked_early(delivery: Delivery) -> bool:
    return delivery.ack is not None and (delivery.end is None or delivery.ack < delivery.end)


def _number(place: str) -> int | None:
    tail = place.rpartition(":")[2]
    return int(tail) if tail.isdigit() else None


def _crash(history: History, delivery: Delivery) -> str:
    fault = next((f for f in history.faults if f.index == delivery.died_by), None)
    waiting = "holding the message" if delivery.end is None else "before the acknowledgement"
    state = "while running" if delivery.running_at_death else waiting
    return f"killed {state}" + (f" by {fault.name}" if fault else "")


def _waits(recorded: Recorded, deliveries: Sequence[Delivery]) -> list[Step]:
    """Between the death of one delivery and the next: how long the broker held the message."""
    steps = []
    for earlier, later in itertools.pairwise(deliveries):
        if earlier.message is later.message and earlier.died is not None and later.at - earlier.died >= _WORTH_A_ROW:
            gap = format_duration(later.at - earlier.died)
            timeout = visibility_timeout(recorded)
            note = f"visibility timeout {timeout} s" if timeout is not None else ""
            steps.append(Step(at=earlier.died, kind="wait", lane=BROKER, text=f"held {gap}", note=note))
    return steps


def _ending(history: History, last: Message, fate: Fate | None) -> list[Step]:
    at = max(t for t in (history.ended, history.quiet_at, last.begun, 0.0) if t is not None)
    for delivery in last.deliveries:
        at = max(at, *(t for t in (delivery.at, delivery.end, delivery.ack, delivery.died) if t is not None))
    if last.held is not None:
        return [Step(at=at, kind="held", lane=BROKER, text=f"still held ({last.held.place})", note=last.held.timeout)]
    if fate is not None and fate.kind in (FateKind.LOST, FateKind.DISCARDED, FateKind.REJECTED):
        return [Step(at=at, kind="lost", lane=BROKER, text="gone", note=fate.cause)]
    return []
