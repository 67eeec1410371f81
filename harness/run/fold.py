"""Folds the journals of one pass into a History: one pass over the records, in whatever order the files are read.

A delivery is recorded by the worker's main process, its start and end by the pool child, its ack by either: so every
record finds or creates the object that it speaks of, by the ids that docs/journal.md defines, and nothing is
concluded before the last file is read (`harness.run.linking` does that).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from sys import intern
from typing import Any

from harness.model.history import Call, Delivery, Depth, FaultRecord, Held, History, Message, ProcessLife, SideEvent
from harness.model.memory import collector_paused
from harness.model.moments import moment
from harness.model.routing import without_delay
from harness.run.journal import Header, JournalReader, Record, read_header
from harness.run.linking import Loose, link

__all__ = ["read_history"]

_SIDE_EVENTS = ("undeclared", "refused", "waiting", "released", "locust")


def read_history(
    folder: Path,
    *,
    t0: float,
    faults: Sequence[FaultRecord] = (),
    deaths: Mapping[int, float] | None = None,
    held: Sequence[Held] = (),
    depths: Sequence[Depth] = (),
    results: Mapping[str, Mapping[str, Any]] | None = None,
    load_ended: float | None = None,
    healed_at: float | None = None,
    quiet_at: float | None = None,
    stopped_at: float | None = None,
    ended: float | None = None,
) -> History:
    """Everything that was recorded of one pass.

    ``t0``: CLOCK_MONOTONIC seconds at which the load began. ``deaths``: pid -> CLOCK_MONOTONIC seconds at which it was
    seen to be gone, of workers and children, clean exits too. ``results``: None where the backend's keys were not read.
    All other times are seconds since ``t0``, as in the history itself. Torn records are counted, never guessed.
    """
    paths = sorted(folder.glob("*.journal"))
    headers = {path: read_header(path) for path in paths}
    history = History(
        faults=list(faults),
        depths=list(depths),
        held=list(held),
        results={task: dict(document) for task, document in (results or {}).items()},
        results_read=results is not None,
        load_ended=load_ended,
        healed_at=healed_at,
        quiet_at=quiet_at,
        stopped_at=stopped_at,
        ended=ended,
    )
    with collector_paused():
        fold = _Fold(history, t0, list(headers.values()))
        for path in paths:
            fold.read(path, headers[path])
        link(history, fold.loose, {pid: at - t0 for pid, at in (deaths or {}).items()})
    return history


class _Fold:
    """The state of one reading. One method per kind of record; ``self.header`` is the file that is being read."""

    def __init__(self, history: History, t0: float, headers: Sequence[Header]) -> None:
        self.history = history
        self.t0_ns = round(t0 * 1e9)
        self.t0 = t0
        self.loose = Loose()
        # One clock for all processes of a kernel, so a torn header costs nothing.
        self.any_offset = next((h.wall_offset for h in headers if h.wall_offset is not None), None)
        self.mains = {h.pid: h for h in headers if h.role == "worker"}
        self.kinds: dict[str, Callable[[Record, float], None]] = {
            name[3:]: getattr(self, name) for name in dir(self) if name.startswith("on_")
        }
        self.kinds |= dict.fromkeys(_SIDE_EVENTS, self.side_event)

    def read(self, path: Path, header: Header) -> None:
        """One file, front to back."""
        self.header = header
        self.worker = intern(header.name)
        self.life = self._process(header)
        self.wall_offset = header.wall_offset if header.wall_offset is not None else self.any_offset
        reader = JournalReader(path)
        kinds, t0_ns, history = self.kinds, self.t0_ns, self.history
        for records in reader:
            history.records += len(records)
            for record in records:
                handle = kinds.get(record["k"])
                if handle is None:
                    continue  # a later agent may record more
                try:
                    handle(record, (record["m"] - t0_ns) * 1e-9)
                except (KeyError, TypeError, ValueError):
                    history.torn += 1
        history.torn += reader.torn

    def _process(self, header: Header) -> ProcessLife:
        child = header.role == "worker" and header.ppid in self.mains
        life = ProcessLife(name=self.worker, kind="child" if child else header.role, pid=header.pid, up=(header.opened - self.t0_ns) * 1e-9)
        if child:
            self.loose.parents[header.pid] = header.ppid
        self.history.processes.append(life)
        return life

    def _message(self, id: str) -> Message:
        message = self.history.messages.get(id)
        if message is None:
            message = self.history.messages[id] = Message(id=id, task_id="", task="", retries=0, call=0, foreign=True)
        return message

    def _delivery(self, record: Record) -> Delivery:
        id = record["d"]
        delivery = self.history.deliveries.get(id)
        if delivery is None:
            # Until its receipt is read, all that is known is that it was there when this process spoke of it.
            delivery = Delivery(id, self.loose.nobody, "", self.header.pid, (record["m"] - self.t0_ns) * 1e-9, "", False)
            self.history.deliveries[id] = delivery
            self.loose.undelivered[id] = record.get("id") or ""
        return delivery

    def _moment(self, text: Any) -> float | None:
        """An ETA or expiry, on the history's clock."""
        wall = moment(text) if text else None
        return None if wall is None or self.wall_offset is None else wall - self.wall_offset - self.t0

    # --- what the producer records

    def on_call(self, record: Record, at: float) -> None:
        number = record["no"]
        call = self._call(number)
        call.task = intern(record["n"])
        call.args = record.get("args", "")
        call.due = record["due"] * 1e-9
        call.sent = at
        if "free" in record:
            call.free = record["free"] * 1e-9
            call.publisher = record["p"]
        self.loose.late += bool(record.get("late"))

    def on_call_ok(self, record: Record, at: float) -> None:
        call = self._call(record["no"])
        call.publish = "ok"
        call.root_task_id = record.get("id") or ""
        ids = record.get("ids") or ()
        if len(ids) > 1:
            call.task_ids = tuple(ids)

    def on_call_failed(self, record: Record, at: float) -> None:
        call = self._call(record["no"])
        call.publish = "unknown" if record.get("unknown") else "failed"
        call.error = f"{record.get('e', '')}: {record.get('text', '')}"

    def on_load_done(self, record: Record, at: float) -> None:
        self.history.late_arrivals = record.get("late", 0)
        self.history.dropped_arrivals = record.get("dropped", 0)
        self.loose.load_done = True

    def _call(self, number: int) -> Call:
        call = self.history.calls.get(number)
        if call is None:
            call = self.history.calls[number] = Call(number=number, task="", args="", due=0.0)
        return call

    # --- messages and deliveries

    def on_publish(self, record: Record, at: float) -> None:
        message = self._message(record["msg"])
        self._describe(message, record)
        message.begun = at
        message.foreign = False
        message.exchange = record.get("x")
        message.eta_asked = self._moment(record.get("asked")) if record.get("asked") else message.eta

    def on_published(self, record: Record, at: float) -> None:
        self._message(record["msg"]).ok = at

    def _describe(self, message: Message, record: Record) -> None:
        message.task_id = record["id"] or ""
        message.task = intern(record["n"] or "")
        message.retries = record.get("r") or 0
        message.is_retry = message.retries > 0
        message.call = record.get("call") or message.call
        message.cause = record.get("cause") or message.cause
        message.queue = intern(without_delay(record.get("q") or "")) or message.queue
        message.eta = self._moment(record.get("eta")) if record.get("eta") else message.eta
        message.expires = self._moment(record.get("expires")) if record.get("expires") else message.expires
        root = record.get("root") or ""
        message.root_id = message.task_id if root == message.task_id else root
        message.parent_id = record.get("parent") or ""

    def on_deliver(self, record: Record, at: float) -> None:
        delivery = self._delivery(record)
        message = self._message(record["msg"])
        if not message.task_id:
            self._describe(message, record)
        self._receive(delivery, message, at)
        delivery.tag = str(record.get("tag") or "")
        delivery.redelivered = bool(record.get("re"))
        delivery.copy = record.get("copy") or 0

    def _receive(self, delivery: Delivery, message: Message, at: float) -> None:
        delivery.message = message
        delivery.worker = self.worker
        delivery.pid = self.header.pid
        delivery.at = at
        message.deliveries.append(delivery)
        self.loose.undelivered.pop(delivery.id, None)

    def on_start(self, record: Record, at: float) -> None:
        delivery = self._delivery(record)
        delivery.start = at
        delivery.pid_run = self.header.pid

    def on_end(self, record: Record, at: float) -> None:
        delivery = self._delivery(record)
        delivery.end = at
        delivery.state = intern(record["s"])
        if delivery.state != "SUCCESS":
            delivery.exception = intern(record.get("e") or "")
            delivery.text = record.get("msg_text") or ""
            delivery.file = intern(record.get("file") or "")
            delivery.line = record.get("line")
            if delivery.state == "RETRY":
                delivery.retry_delay = _seconds(record.get("when"))
                delivery.retry_exact = delivery.retry_delay is not None

    def on_ack(self, record: Record, at: float) -> None:
        self._delivery(record).ack = at

    def on_reject(self, record: Record, at: float) -> None:
        delivery = self._delivery(record)
        delivery.reject = at
        delivery.requeue = bool(record.get("requeue"))

    def on_revoked(self, record: Record, at: float) -> None:
        self._delivery(record).revoked = intern(record.get("why") or "revoked")

    def on_unknown(self, record: Record, at: float) -> None:
        self._refused(record, at)

    def on_invalid(self, record: Record, at: float) -> None:
        self._refused(record, at)

    def on_undecodable(self, record: Record, at: float) -> None:
        self._refused(record, at)

    def _refused(self, record: Record, at: float) -> None:
        if record.get("d"):
            delivery = self._delivery(record)
            if delivery.message is self.loose.nobody and record.get("msg"):
                self._receive(delivery, self._message(record["msg"]), at)  # what cannot be decoded is never recorded as received
                delivery.message.task_id = delivery.message.task_id or record.get("id") or ""
            delivery.outcome = intern(record["k"])
            delivery.text = delivery.text or str(record.get("why") or "")
        self.side_event(record, at)

    def on_failed(self, record: Record, at: float) -> None:
        self.loose.failed.append((record["id"], self.header.pid, at, record.get("e") or "", record.get("text") or ""))

    def on_internal(self, record: Record, at: float) -> None:
        self.loose.failed.append((record["id"], self.header.pid, at, record.get("e") or "", "internal error"))
        self.side_event(record, at)

    def on_strike(self, record: Record, at: float) -> None:
        if record.get("d"):
            line = record.get("line")
            self._delivery(record).last_line = f"{record.get('file') or ''}:{line}" if line else ""
        self.loose.strikes.append((record, at, self.header.pid))
        self.side_event(record, at)

    # --- processes

    def on_settings(self, record: Record, at: float) -> None:
        self.history.config.update(record.get("config") or {})
        for task, policy in (record.get("tasks") or {}).items():
            self.history.task_policies[task] = policy
            self.history.acks_late[task] = bool(policy.get("acks_late"))

    def on_ready(self, record: Record, at: float) -> None:
        self.life.ready = at

    def on_down(self, record: Record, at: float) -> None:
        self.life.down = at
        self.life.how = self.life.how or "shut down"

    def on_child_up(self, record: Record, at: float) -> None:
        self.life.kind = "child"
        self.life.ready = at

    def on_child_down(self, record: Record, at: float) -> None:
        self.life.down = at
        self.life.how = f"exit {record.get('code', '')}".strip()

    def on_connected(self, record: Record, at: float) -> None:
        self.life.connected.append(at)
        self.life.queues = tuple(record.get("queues") or self.life.queues)

    def on_disconnected(self, record: Record, at: float) -> None:
        self.life.disconnected.append(at)

    def side_event(self, record: Record, at: float) -> None:
        """Rare things that a check or the report wants."""
        detail = {key: value for key, value in record.items() if key not in ("k", "m")}
        text = next((str(record[key]) for key in ("why", "address", "e", "url", "point") if record.get(key)), "")
        self.history.events.append(SideEvent(record["k"], at, self.worker, text, detail))


def _seconds(when: Any) -> float | None:
    """A countdown as it was asked for; None for an ETA."""
    try:
        return None if when is None or when == "" else float(when)
    except (TypeError, ValueError):
        return None
