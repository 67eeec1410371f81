"""What can be concluded only when every journal is read: who published what, which process took which delivery along."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model.history import Delivery, FaultRecord, Held, History, Message

__all__ = ["Loose", "link"]

_KILLING = ("kill_group", "kill_child")
_NOTED_EARLY = 1.0  # seconds


def _nobody() -> Message:
    return Message(id="", task_id="", task="", retries=0, call=0, foreign=True)


@dataclass(slots=True)
class Loose:
    """Ends that the fold leaves loose. ``nobody``: stands in for the message of a delivery whose record is yet to come."""

    nobody: Message = field(default_factory=_nobody)
    undelivered: dict[str, str] = field(default_factory=dict)  # delivery id -> task id
    failed: list[tuple[str, int, float, str, str]] = field(default_factory=list)  # task id, pid, at, exception, text
    strikes: list[tuple[dict[str, Any], float, int]] = field(default_factory=list)
    parents: dict[int, int] = field(default_factory=dict)  # pool child -> its worker
    late: int = 0
    load_done: bool = False


def link(history: History, loose: Loose, deaths: Mapping[int, float]) -> None:
    """Tie up the loose ends. ``deaths``: pid -> seconds on the history's clock."""
    if not loose.load_done:
        history.late_arrivals = loose.late
    _adopt_undelivered(history, loose)
    _drop_nameless(history)
    for message in history.messages.values():
        if len(message.deliveries) > 1:
            message.deliveries.sort(key=_by_time)
    _number_calls(history)
    _measure_retries(history)
    _attach_failures(history, loose)
    _bury(history, loose, deaths)
    _attach_held(history)
    history.events.sort(key=lambda event: event.at)
    history.processes.sort(key=lambda life: (life.up, life.pid))


def _by_time(delivery: Delivery) -> float:
    return delivery.at


def _adopt_undelivered(history: History, loose: Loose) -> None:
    """Deliveries that ran although the record of their receipt is torn: they belong to the task's latest message."""
    if not loose.undelivered:
        return
    latest = _messages_by_task(history, set(loose.undelivered.values()))
    for id, task_id in loose.undelivered.items():
        delivery = history.deliveries[id]
        if not task_id:
            del history.deliveries[id]  # an ack of something that was never a task
            continue
        known = latest.get(task_id)
        if not known:
            message = Message(id=f"foreign:{task_id}:0", task_id=task_id, task="", retries=0, call=0, foreign=True)
            history.messages[message.id] = message
            latest[task_id] = known = [message]
        delivery.message = known[-1]
        delivery.pid = loose.parents.get(delivery.pid, delivery.pid)
        delivery.worker = next((life.name for life in history.processes if life.pid == delivery.pid), "")
        times = (delivery.at, delivery.start, delivery.end, delivery.ack, delivery.reject)
        delivery.at = min(t for t in times if t is not None)
        known[-1].deliveries.append(delivery)


def _messages_by_task(history: History, wanted: set[str]) -> dict[str, list[Message]]:
    """Messages of these tasks, in the order of their publishing."""
    found: dict[str, list[Message]] = defaultdict(list)
    for message in history.messages.values():
        if message.task_id in wanted:
            found[message.task_id].append(message)
    for messages in found.values():
        messages.sort(key=lambda m: (m.retries, m.begun or 0.0))
    return found


def _drop_nameless(history: History) -> None:
    """A `published` whose `publish` is torn says nothing that can be used."""
    for id in [m.id for m in history.messages.values() if not m.task_id and not m.deliveries]:
        del history.messages[id]
        history.torn += 1


def _number_calls(history: History) -> None:
    """Every message belongs to the call that it goes back to, over any number of retries and nested publishes."""
    deliveries, calls = history.deliveries, history.calls
    for message in history.messages.values():
        if not message.call and message.cause:
            message.call = _call_of(message, deliveries)
        call = calls.get(message.call)
        if call is not None:
            call.messages.append(message)
    for call in calls.values():
        if len(call.messages) > 1:
            call.messages.sort(key=lambda m: m.begun if m.begun is not None else m.deliveries[0].at if m.deliveries else 0.0)
        if not call.root_task_id and call.messages:
            call.root_task_id = call.messages[0].root_id or call.messages[0].task_id
        if call.publish == "failed":
            for message in call.messages:
                if message.ok is None and not message.cause:
                    message.failed = call.error


def _call_of(message: Message, deliveries: Mapping[str, Delivery]) -> int:
    seen = set()
    while not message.call and message.cause and message.id not in seen:
        seen.add(message.id)
        cause = deliveries.get(message.cause)
        if cause is None:
            return 0
        message = cause.message
    return message.call


def _measure_retries(history: History) -> None:
    """Where an ETA was asked for instead of a countdown, the delay is that ETA minus the moment of the publish."""
    for message in history.messages.values():
        if message.is_retry and message.eta_asked is not None and message.begun is not None:
            cause = history.deliveries.get(message.cause)
            if cause is not None and cause.state == "RETRY" and cause.retry_delay is None:
                cause.retry_delay = message.eta_asked - message.begun


def _attach_failures(history: History, loose: Loose) -> None:
    """`failed` names the task and the worker: it speaks of that worker's delivery that was open at the time."""
    if not loose.failed:
        return
    by_task = _messages_by_task(history, {task_id for task_id, *_ in loose.failed})
    for task_id, pid, at, exception, text in sorted(loose.failed, key=lambda f: f[2]):
        candidates = [
            d
            for m in by_task.get(task_id, ())
            for d in m.deliveries
            if pid in (d.pid, d.pid_run) and d.at <= at and not d.outcome and d.state not in ("REJECTED", "IGNORED", "RETRY")
        ]
        if not candidates:
            continue
        delivery = max(candidates, key=lambda d: (d.end is None, d.at))
        delivery.outcome = f"failed:{exception}"
        if not delivery.exception:
            delivery.exception, delivery.text = exception, text
        if exception.endswith("WorkerLostError") and delivery.end is None and delivery.start is not None:
            delivery.died = at


def _bury(history: History, loose: Loose, deaths: Mapping[int, float]) -> None:
    """Open deliveries of processes that died: when, and by which fault."""
    died = dict(deaths)
    killer = _killers(history.faults, loose)
    for pid, (at, _) in killer.items():
        if at is not None:
            died.setdefault(pid, at)
    for life in history.processes:
        if life.down is not None:
            died.setdefault(life.pid, life.down)
    _close_lives(history, died, killer)
    for delivery in history.deliveries.values():
        closed = delivery.ack is not None or delivery.reject is not None
        # A lost pool child is rejected by the main process, with requeue or without: it died all the same, and then.
        if delivery.reject is not None and delivery.start is not None and delivery.end is None and delivery.pid_run != delivery.pid:
            delivery.died = delivery.reject
        if closed and (delivery.end is not None or delivery.revoked or delivery.outcome or delivery.reject is not None):
            if delivery.died is not None and (known := killer.get(delivery.pid_run)):
                delivery.died = _blow(delivery, known[0])
                delivery.died_by = known[1]
            continue
        _bury_one(delivery, died, killer)


def _blow(delivery: Delivery, at: float | None) -> float | None:
    """When the fault struck, which is when it died: Celery notices a lost pool child seconds later.

    A beginning is noted before the blow falls, so the task may have started in between.
    """
    begun = max(delivery.at, delivery.start or delivery.at)
    if at is None or delivery.died is None or at < begun - _NOTED_EARLY:
        return delivery.died
    return min(delivery.died, max(at, begun))


def _bury_one(delivery: Delivery, died: Mapping[int, float], killer: Mapping[int, tuple[float | None, int]]) -> None:
    """A pool child takes along what it was running; a main process everything that it had not acknowledged."""
    pids = [delivery.pid] if delivery.end is not None or not delivery.pid_run else [delivery.pid, delivery.pid_run]
    latest = max(delivery.at, delivery.start or delivery.at, delivery.end or delivery.at)
    # A fault's beginning is noted before its blow falls, and a number may be another process's by then: hence the margin.
    ends = [(max(died[pid], latest), pid) for pid in pids if pid in died and died[pid] >= latest - _NOTED_EARLY]
    if ends:
        at = min(ends)[0]
        delivery.died = at if delivery.died is None else min(at, delivery.died)
    if delivery.died is None:
        return
    for pid in (delivery.pid_run, delivery.pid):
        known = killer.get(pid)
        if known is not None and pid in (delivery.pid_run, *(p for _, p in ends)):
            delivery.died_by = known[1]
            return


def _killers(faults: Iterable[FaultRecord], loose: Loose) -> dict[int, tuple[float | None, int]]:
    """pid -> (when, index of the fault that killed it)."""
    killer: dict[int, tuple[float | None, int]] = {}
    by_index = {fault.index: fault for fault in faults}
    for record, at, pid in loose.strikes:
        fault = by_index.get(record.get("fault", -1))
        if fault is not None and record.get("line") and fault.line is None:
            fault.file, fault.line = record.get("file") or "", record["line"]
            fault.task_id = fault.task_id or record.get("id") or ""
        if record.get("action") in _KILLING:
            for victim in _victims(record["action"], pid, loose.parents):
                killer[victim] = (at, record.get("fault", -1))
    for fault in by_index.values():
        for pid in fault.killed_pids:
            killer.setdefault(pid, (fault.begun, fault.index))
    return killer


def _victims(action: str, pid: int, parents: Mapping[int, int]) -> set[int]:
    if action == "kill_child":
        return {pid}
    main = parents.get(pid, pid)
    return {main, *(child for child, parent in parents.items() if parent == main)}


def _close_lives(history: History, died: Mapping[int, float], killer: Mapping[int, tuple[float | None, int]]) -> None:
    for life in history.processes:
        at = died.get(life.pid)
        if at is None or at < life.up:
            continue
        life.down = at if life.down is None else min(at, life.down)
        if life.pid in killer:
            life.how = f"SIGKILL by fault {killer[life.pid][1] + 1}"


def _attach_held(history: History) -> None:
    """What the broker still holds belongs to a message of ours, or to one that is known from nowhere else.

    What it holds and does not show (no ids, no tag) belongs to nobody: it might be any of those that are missing.
    """
    shown = [held for held in history.held if held.message_id or held.task_id or held.tag]
    loose = [held for held in shown if held.message_id not in history.messages]
    by_task = _messages_by_task(history, {held.task_id for held in loose}) if loose else {}
    for held in shown:
        message = history.messages.get(held.message_id) or _same_attempt(by_task.get(held.task_id, ()), held)
        if message is None and held.place == "resting" and not held.task:
            continue  # no task, and nobody's who works here: whatever an app keeps in a queue of its own
        if message is None:
            id = held.message_id or f"foreign:{held.task_id}:{held.retries}"
            message = Message(id, held.task_id, held.task, held.retries, 0, queue=held.queue, eta=held.eta, foreign=True)
            history.messages[id] = message
            by_task.setdefault(held.task_id, []).append(message)
        if message.held is None or _weight(held) > _weight(message.held):
            message.held = held


def _weight(held: Held) -> int:
    """Of several copies the one that says most about what comes next."""
    return {"resting": 0, "dead_letter": 1, "delayed": 2, "ready": 3, "unacked": 4}.get(held.place, 0)


def _same_attempt(messages: Iterable[Message], held: Held) -> Message | None:
    """A foreign producer's messages carry no id of ours: (task id, retries) stands in."""
    same = [m for m in messages if m.retries == held.retries]
    return next((m for m in same if all(d.end is None for d in m.deliveries)), same[-1] if same else None)
