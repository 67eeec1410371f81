"""Signs in the history that clients felt a fault: what the evidence of network and server faults is made of.

Pure functions. ``clients``: names such as pay-1 and 'producer'; None: everybody. A sign is only what can hardly have
another cause: what a second fault could have caused as well is left out (on the way to the broker: `_rivals`; elsewhere: `_alone`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.faults._rivals import Rivals
from harness.model.history import Delivery, Evidence, FaultRecord, History, Message

__all__ = [
    "Span",
    "contested",
    "cut_off",
    "evidence_of",
    "felt",
    "held_up",
    "idle",
    "late_acks",
    "over",
    "passed",
    "sent_within",
    "slowed",
    "span_of",
    "stuck_publishes",
    "touched",
    "troubled_tasks",
]

#: Seconds by which a worker may notice late that its connection is gone.
NOTICED_LATE = 5.0
#: Less than this many seconds is no waiting: two clocks are read one after the other, and machines are busy.
_CLEARLY = 0.3
#: What a fault set in motion may go on for so many seconds after its end.
_AFTERMATH = 2.0
#: A task whose worker waits at `before_ack` until the fault has begun has ended so much before it at most.
_JUST_BEFORE = 0.5
#: Executions of a task without the fault that it takes to say how long one usually lasts.
_ENOUGH = 3

_CONNECTION_TYPE = re.compile(
    r"(Connection\w*Error|ConnectionError|BrokenPipeError|TimeoutError|OperationalError|InterfaceError|RemoteDisconnected|IncompleteRead"
    r"|BusyLoadingError|AdminShutdown|BackendStoreError|BackendGetMetaError|CannotConnectNow|socket\.timeout)$"
)
_CONNECTION_TEXT = re.compile(
    r"connection (was |is )?(refused|reset|closed|aborted|lost|timed out)|timed out|broken pipe|closed the connection|"
    r"server closed|closed connection without response|could not connect",
    re.IGNORECASE,
)
_WORDS = {
    "cut": ("worker cut off", "workers cut off"),
    "waited": ("message waited though a worker was free", "messages waited though a worker was free"),
    "stuck": ("publish stuck or refused", "publishes stuck or refused"),
    "unacked": ("ack failed or came only afterwards", "acks failed or came only afterwards"),
    "troubled": ("task met a connection error", "tasks met a connection error"),
    "slowed": ("task took far longer than usual", "tasks took far longer than usual"),
    "sent": ("message or ack sent into it", "messages or acks sent into it"),
    "passed": ("message or request passed", "messages or requests passed"),
    "closed": ("connection of the app closed with it", "connections of the app closed with it"),
    "gone": ("stored result is gone", "stored results are gone"),
}


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a fault lasted; ``ended`` is infinite where it was never healed."""

    begun: float
    ended: float

    def overlaps(self, first: float | None, last: float | None) -> bool:
        """Does it share a moment with another span? None: has not begun, or has no end."""
        return first is not None and first < self.ended and (last is None or last > self.begun)


def span_of(record: FaultRecord) -> Span:
    """Of a fault that has begun."""
    assert record.begun is not None
    return Span(record.begun, record.ended if record.ended is not None else float("inf"))


def felt(record: FaultRecord, history: History, clients: Collection[str] | None, dependency: str) -> dict[str, float]:
    """Signs by name, how often each; only those that were seen. ``dependency``: what the clients could not reach."""
    span = span_of(record)
    seen: dict[str, int] = {}
    if dependency == "broker":
        rivals = Rivals(record, history)
        seen["cut"] = cut_off(record, history, clients)
        seen["stuck"] = stuck_publishes(record, history, clients)
        seen["waited"] = held_up(history, clients, span, rivals)
        seen["unacked"] = late_acks(history, clients, span, rivals)
    elif _alone(record, history):
        seen["troubled"] = troubled_tasks(history, clients, span)
        seen["slowed"] = slowed(history, clients, span)
    return {name: float(count) for name, count in seen.items() if count}


def evidence_of(seen: Mapping[str, float], *, before: str = "", quiet: bool | None, otherwise: str) -> Evidence:
    """Some sign: it bit. None: it did not where nobody could have noticed (``quiet``), else it cannot be told.

    ``before``: what to say first, e.g. for how long it was down. ``otherwise``: what to say of no sign at all.
    """
    if seen:
        texts = [f"{count:.0f} {_WORDS[name][count > 1]}" if name in _WORDS else f"{count:.0f} {name}" for name, count in seen.items()]
        return Evidence(True, before + ", ".join(texts), dict(seen))
    return Evidence(False if quiet else None, otherwise)


def cut_off(record: FaultRecord, history: History, clients: Collection[str] | None) -> int:
    """Workers that lost their connection to the broker, but for those that other faults killed and those that were told to stop."""
    rivals = Rivals(record, history)
    return len({pid for pid, name, at in _cuts(record, history, clients) if not rivals.explain(name, at, at)})


def contested(record: FaultRecord, history: History, clients: Collection[str] | None) -> bool:
    """Are there signs on the way to the broker for which there is another fault as well that explains them?"""
    span, rivals = span_of(record), Rivals(record, history)
    return (
        any(rivals.explain(name, at, at) for _, name, at in _cuts(record, history, clients))
        or any(rivals.explain(*stuck) for stuck in _stuck(record, history, clients))
        or held_up(history, clients, span) > held_up(history, clients, span, rivals)
        or late_acks(history, clients, span) > late_acks(history, clients, span, rivals)
    )


def _cuts(record: FaultRecord, history: History, clients: Collection[str] | None) -> Iterator[tuple[int, str, float]]:
    """(pid, worker, when) of each."""
    span = span_of(record)
    until = (span.ended if record.ended is not None else span.begun) + NOTICED_LATE
    until = min(until, history.stopped_at if history.stopped_at is not None else until)
    leaving = {pid for fault in history.faults if fault.index != record.index for pid in fault.killed_pids}
    for p in history.processes:
        if p.kind == "worker" and p.pid not in leaving and _among(p.name, clients):
            yield from ((p.pid, p.name, at) for at in p.disconnected if span.begun <= at < until)


def held_up(history: History, clients: Collection[str] | None, span: Span, rivals: Rivals | None = None) -> int:
    """Messages that lay in the broker while a worker had nothing to do, and that it took only once the fault was over.

    ``rivals``: without those that one of them explains.
    """
    free_from: dict[str, float] = {}  # worker -> since when it had nothing to do, until the fault ended
    for d in history.deliveries.values():
        if d.at < span.ended:
            free_from[d.worker] = max(free_from.get(d.worker, span.begun), d.at, over(d, history))
    held = (_held_up(message, history, clients, span, free_from) for message in history.messages.values())
    return sum(1 for one in held if one is not None and (rivals is None or not rivals.explain(*one, span.ended)))


def _held_up(
    message: Message, history: History, clients: Collection[str] | None, span: Span, free_from: Mapping[str, float]
) -> tuple[str, float] | None:
    """For which worker it waited, and since when; None: it did not."""
    first = min(message.deliveries, key=lambda d: d.at, default=None)
    if first is None or message.ok is None or first.at < span.ended or not _among(first.worker, clients):
        return None
    since = max(message.ok, span.begun, free_from.get(first.worker, span.begun))
    free = any(
        p.name == first.worker and p.ready is not None and p.ready <= since and (p.down is None or p.down >= span.ended)
        for p in history.processes
        if p.kind == "worker"
    )
    return (first.worker, since) if free and span.ended - since >= _CLEARLY else None


def stuck_publishes(record: FaultRecord, history: History, clients: Collection[str] | None) -> int:
    """Publishes that began while it lasted, and failed, were left without an answer, or came through only once it was over.

    And those that began a moment before, and were answered only afterwards: the answer is what it took.
    """
    rivals = Rivals(record, history)
    return sum(1 for stuck in _stuck(record, history, clients) if not rivals.explain(*stuck))


def _stuck(record: FaultRecord, history: History, clients: Collection[str] | None) -> Iterator[tuple[str, float, float]]:
    """(publisher, from when, until when) of each. When one failed is not known: while it lasted, at the latest."""
    span = span_of(record)
    unanswered = {call.number for call in history.calls.values() if call.publish in ("failed", "unknown")}
    for m in history.messages.values():
        if m.begun is None or not span.begun - _JUST_BEFORE <= m.begun < span.ended:
            continue
        publisher = _publisher(m, history)
        if m.begun < span.begun:  # when one failed is not known, so it may have failed before the fault began
            stuck = _came_late(m, span) and span.ended - span.begun >= _CLEARLY
        else:
            stuck = bool(_came_late(m, span) or m.failed or (m.ok is None and not m.cause and m.call in unanswered))
        if stuck and _among(publisher, clients):
            yield publisher, max(m.begun, span.begun), m.ok if m.ok is not None else span.ended


def _came_late(message: Message, span: Span) -> bool:
    return message.ok is not None and message.begun is not None and message.ok >= span.ended and message.ok - message.begun >= _CLEARLY


def late_acks(history: History, clients: Collection[str] | None, span: Span, rivals: Rivals | None = None) -> int:
    """Tasks with late acks that ended well, whose worker lived on, and whose ack failed or went through only afterwards.

    ``rivals``: without those that one of them explains.
    """
    return sum(
        1
        for d in history.deliveries.values()
        if d.state == "SUCCESS"
        and d.end is not None
        and span.begun - _JUST_BEFORE <= d.end <= span.ended - _CLEARLY
        and _among(d.worker, clients)
        and history.acks_late.get(d.message.task, False)
        and d.reject is None
        and (d.ack is None or d.ack >= span.ended)
        and (d.died is None or d.died >= span.ended)
        and (rivals is None or not rivals.explain(d.worker, d.end, span.ended))
    )


def troubled_tasks(history: History, clients: Collection[str] | None, span: Span) -> int:
    """Executions that ended with a connection error, of a kind that the task did not meet before the fault."""
    usual = {(d.message.task, d.exception) for d in history.deliveries.values() if d.end is not None and d.end < span.begun}
    return sum(
        1
        for d in _running(history, clients, span)
        if d.exception and (d.message.task, d.exception) not in usual and _is_connection_error(d) and d.end is not None
    )


def _is_connection_error(delivery: Delivery) -> bool:
    return bool(_CONNECTION_TYPE.search(delivery.exception) or _CONNECTION_TEXT.search(delivery.text))


def slowed(history: History, clients: Collection[str] | None, span: Span) -> int:
    """Executions that took more than twice as long as nine in ten of the same task without the fault, and clearly so."""
    usual: dict[str, list[float]] = {}
    for d in history.deliveries.values():
        if d.start is not None and d.end is not None and not span.overlaps(d.start, d.end):
            usual.setdefault(d.message.task, []).append(d.end - d.start)
    limits = {task: 2 * sorted(took)[int(0.9 * (len(took) - 1))] + _CLEARLY for task, took in usual.items() if len(took) >= _ENOUGH}
    return sum(
        1
        for d in _running(history, clients, span)
        if d.start is not None and d.end is not None and d.end - d.start > limits.get(d.message.task, float("inf"))
    )


def passed(history: History, clients: Collection[str] | None, dependency: str, span: Span) -> int:
    """What is known to have gone through meanwhile: messages of the broker, results of the backend, effects that a service saw.

    A service does not tell whose effect it was: they count only where nobody but these clients ran a task.
    """
    if dependency == "broker":
        taken = sum(1 for d in history.deliveries.values() if span.begun < d.at < span.ended and _among(d.worker, clients))
        sent = (m for m in history.messages.values() if m.ok is not None and span.begun < m.ok < span.ended)
        return taken + sum(1 for m in sent if _among(_publisher(m, history), clients))
    if dependency == "backend":
        ended = (d for d in history.deliveries.values() if d.state == "SUCCESS" and d.end is not None and span.begun < d.end < span.ended)
        return sum(1 for d in ended if _among(d.worker, clients) and d.message.task_id in history.results)
    if any(not _among(d.worker, clients) for d in _running(history, None, span)):
        return 0
    return sum(1 for e in history.events if e.kind == "effect" and e.process == dependency and span.begun < e.at < span.ended)


def touched(history: History, clients: Collection[str] | None, span: Span) -> int:
    """Work that needed the broker meanwhile: publishes, deliveries, acknowledgements and rejections of these clients, and what waited
    for one that had nothing to do.

    A worker that runs a task, or none, asks the broker for work all the while: that is none.
    """
    under_way = (m for m in history.messages.values() if m.begun is not None and m.begun < span.begun and span.overlaps(m.begun, m.ok))
    earlier = sum(1 for m in under_way if m.ok is not None and _among(_publisher(m, history), clients))
    delivered = sum(1 for d in history.deliveries.values() if span.begun <= d.at < span.ended and _among(d.worker, clients))
    return earlier + delivered + held_up(history, clients, span) + sum(sent_within(history, clients, span))


def sent_within(history: History, clients: Collection[str] | None, span: Span) -> tuple[int, int]:
    """Publishes that began meanwhile, and acknowledgements and rejections that were on their way, of these clients."""
    begun = (m for m in history.messages.values() if m.begun is not None and span.begun <= m.begun < span.ended)
    told = ((d.ack, d.reject) for d in history.deliveries.values() if _among(d.worker, clients))
    return (
        sum(1 for m in begun if _among(_publisher(m, history), clients)),
        sum(1 for times in told for at in times if at is not None and span.begun <= at < span.ended),
    )


def idle(history: History, clients: Collection[str] | None, span: Span) -> bool:
    """Did no client run a task or publish anything meanwhile?"""
    publishes = (
        m
        for m in history.messages.values()
        if m.begun is not None and span.overlaps(m.begun, m.ok or m.begun) and _among(_publisher(m, history), clients)
    )
    return next(_running(history, clients, span), None) is None and next(publishes, None) is None


def _alone(record: FaultRecord, history: History) -> bool:
    """Did no other fault last, or end a moment before, so that it could be the cause as well?"""
    span = span_of(record)
    others: Iterable[FaultRecord] = (f for f in history.faults if f.index != record.index)
    return not any(span.overlaps(f.begun, f.ended + _AFTERMATH if f.ended is not None else None) for f in others)


def _running(history: History, clients: Collection[str] | None, span: Span) -> Iterator[Delivery]:
    for d in history.deliveries.values():
        if span.overlaps(d.start, over(d, history)) and _among(d.worker, clients):
            yield d


def over(delivery: Delivery, history: History) -> float:
    """When its worker had done with it; infinite: it has it still. It ended, died with its process, was rejected or put away (revoked,
    expired, unknown: then it is acknowledged); one that was not begun goes with the connection it came on.
    """
    ends = [delivery.end, delivery.died, delivery.reject]
    if delivery.revoked or delivery.outcome:
        ends.append(delivery.ack if delivery.ack is not None or delivery.start is not None else delivery.at)
    if delivery.start is None:
        lives = (p for p in history.processes if p.pid == delivery.pid)
        ends += [at for p in lives for at in p.disconnected if at > delivery.at]
    return min((t for t in ends if t is not None), default=float("inf"))


def _publisher(message: Message, history: History) -> str:
    if not message.cause:
        return "producer"
    cause = history.deliveries.get(message.cause)
    return cause.worker if cause is not None else ""


def _among(name: str, clients: Collection[str] | None) -> bool:
    return clients is None or name in clients
