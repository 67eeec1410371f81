"""What the lifecycle must know while a run goes on: who is ready, what is open, which armed faults have struck.

Fed with the records of the journals as they grow. Nothing here judges: verdicts come from the whole history, later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model.moments import moment

__all__ = ["LiveState", "OpenDelivery"]

_REFUSALS = 5
_ENDS = frozenset({"end", "undecodable", "unknown", "invalid", "revoked"})


@dataclass(slots=True)
class OpenDelivery:
    """Delivered, not ended."""

    pid: int
    message: str
    task_id: str
    eta_wall: float | None
    started_by: int = 0


@dataclass
class LiveState:
    """Counters and sets, updated by `feed`."""

    ready: dict[str, int] = field(default_factory=dict)  # process name -> pid that became ready last
    names: dict[int, tuple[str, str, int]] = field(default_factory=dict)  # pid -> (name, role, ppid)
    published: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    messages: dict[int, set[str]] = field(default_factory=dict)  # call -> what was published for it, retries and children too
    open: dict[str, OpenDelivery] = field(default_factory=dict)
    dropped: dict[str, OpenDelivery] = field(default_factory=dict)  # not begun when the connection broke
    ended: set[str] = field(default_factory=set)  # delivery ids
    calls_sent: set[int] = field(default_factory=set)
    calls_failed: set[int] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)  # why publishes failed, the first few
    load_done: bool = False
    strikes: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    finished_tasks: int = 0
    connected: dict[int, bool] = field(default_factory=dict)
    resigned: set[int] = field(default_factory=set)  # pids that do not try again where their connection is lost: some are gone
    copies: set[str] = field(default_factory=set)  # delivery ids of injected copies that nobody has begun to run
    copies_begun: int = 0
    records: int = 0
    lingering: set[int] = field(default_factory=set)  # pids in which threads of the app's own outlived a task
    apart: bool = False  # the app does things beside its tasks of which nobody knows when they are over

    def feed(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Take new records in; how many there were."""
        count = 0
        for record in records:
            count += 1
            handler = _HANDLERS.get(record["k"])
            if handler is not None:
                handler(self, record)
        self.records += count
        return count

    def died(self, pids: Iterable[int]) -> None:
        """Processes are gone: what they held is nobody's, until the broker delivers it again."""
        gone = set(pids)
        self.lingering -= gone
        self.resigned |= gone  # its last records may be read only now
        for held in (self.open, self.dropped):
            for delivery in [d for d, o in held.items() if o.pid in gone or o.started_by in gone]:
                del held[delivery]

    @property
    def outstanding(self) -> int:
        """Messages published and not finished; exact where nothing crashes (clean passes)."""
        return len(self.published - self.finished)

    def busy(self, horizon_wall: float) -> bool:
        """Does a living worker hold something that it may still run before the horizon?"""
        return any(o.eta_wall is None or o.eta_wall <= horizon_wall for o in self.open.values())

    @property
    def adrift(self) -> list[str]:
        """Workers that live, have lost their connection to the broker and try to get it back; by name."""
        pids = (pid for pid, connected in self.connected.items() if not connected and pid not in self.resigned)
        return sorted(self.names.get(pid, ("a worker", "", 0))[0] for pid in pids)

    def _beside(self, r: Mapping[str, Any]) -> None:
        """What an `end`, or the load's, says of the app's own threads and processes (docs/journal.md)."""
        if r.get("threads"):
            self.lingering.add(r["_pid"])
        self.apart = self.apart or bool(r.get("apart"))

    # --- one small handler per kind -----------------------------------------------------------------------------

    def _open(self, r: Mapping[str, Any]) -> None:
        self.resigned.discard(r["pid"])
        self.names[r["pid"]] = (r.get("name", ""), r.get("role", ""), r.get("ppid", 0))

    def _ready(self, r: Mapping[str, Any]) -> None:
        pid = r["_pid"]
        self.ready[self.names.get(pid, ("", "", 0))[0]] = pid

    def call_is_over(self, number: int) -> bool:
        """It could not be published; or it was, and all that it caused has ended."""
        if number in self.calls_failed:
            return True
        own = self.messages.get(number, set())
        return number in self.calls_sent and bool(own) and own <= self.finished

    def _publish(self, r: Mapping[str, Any]) -> None:
        self.published.add(r["msg"])
        self.messages.setdefault(r.get("call") or 0, set()).add(r["msg"])

    def _deliver(self, r: Mapping[str, Any]) -> None:
        if r["d"] not in self.ended:
            self.open[r["d"]] = OpenDelivery(r["_pid"], r["msg"], r["id"], moment(r.get("eta")))
        elif r["msg"]:
            self.finished.add(r["msg"])
        if r.get("copy"):
            self.copies.add(r["d"])
            if r["d"] in self.ended:
                self._copy_runs(r["d"])

    def _copy_runs(self, delivery: str) -> None:
        """Where it is one. Of the journals of worker and pool child either may be read first, so its end will do as well."""
        if delivery in self.copies:
            self.copies.remove(delivery)
            self.copies_begun += 1

    def _start(self, r: Mapping[str, Any]) -> None:
        self._copy_runs(r["d"])
        delivery = self.open.get(r["d"])
        if delivery is None and (delivery := self.dropped.pop(r["d"], None)) is not None:
            self.open[r["d"]] = delivery  # it was on its way to a pool child already
        if delivery is not None:
            delivery.started_by = r["_pid"]
            delivery.eta_wall = None

    def _end(self, r: Mapping[str, Any]) -> None:
        delivery = self.open.pop(r["d"], None) or self.dropped.pop(r["d"], None)
        self.ended.add(r["d"])
        self._copy_runs(r["d"])
        self.finished_tasks += 1
        self._beside(r)
        if delivery is not None:
            self.finished.add(delivery.message)
        if r.get("msg"):
            self.finished.add(r["msg"])

    def _reject(self, r: Mapping[str, Any]) -> None:
        delivery = self.open.pop(r["d"], None) or self.dropped.pop(r["d"], None)
        self.ended.add(r["d"])
        if delivery is not None and not r.get("requeue"):
            self.finished.add(delivery.message)

    def _failed(self, r: Mapping[str, Any]) -> None:
        for key in [d for d, o in self.open.items() if o.task_id == r["id"]]:
            self.finished.add(self.open.pop(key).message)
            self.ended.add(key)

    def _call_ok(self, r: Mapping[str, Any]) -> None:
        self.calls_sent.add(r["no"])

    def _call_failed(self, r: Mapping[str, Any]) -> None:
        self.calls_failed.add(r["no"])
        if len(self.refusals) < _REFUSALS:
            self.refusals.append(str(r.get("text") or ""))

    def _load_done(self, r: Mapping[str, Any]) -> None:
        self.load_done = True
        self._beside(r)

    def _alone(self, r: Mapping[str, Any]) -> None:
        self.lingering.discard(r["_pid"])

    def _strike(self, r: Mapping[str, Any]) -> None:
        self.strikes.append(dict(r))

    def _waiting(self, r: Mapping[str, Any]) -> None:
        self.waiting.append(dict(r))

    def _refused(self, r: Mapping[str, Any]) -> None:
        self.refused.append(dict(r))

    def _settings(self, r: Mapping[str, Any]) -> None:
        if (r.get("config") or {}).get("broker_connection_retry") is False:
            self.resigned.add(r["_pid"])

    def _down(self, r: Mapping[str, Any]) -> None:
        """It leaves by itself: what it disconnects from now on is for good."""
        self.resigned.add(r["_pid"])

    def _connected(self, r: Mapping[str, Any]) -> None:
        self.connected[r["_pid"]] = True

    def _disconnected(self, r: Mapping[str, Any]) -> None:
        """Celery throws away what it has not begun (`Consumer.on_close`): it is the broker's to deliver again."""
        pid = r["_pid"]
        self.connected[pid] = False
        for delivery in [d for d, o in self.open.items() if o.pid == pid and not o.started_by]:
            self.dropped[delivery] = self.open.pop(delivery)


_HANDLERS: dict[str, Any] = {
    "open": LiveState._open,
    "ready": LiveState._ready,
    "publish": LiveState._publish,
    "deliver": LiveState._deliver,
    "start": LiveState._start,
    "reject": LiveState._reject,
    "failed": LiveState._failed,
    "call_ok": LiveState._call_ok,
    "call_failed": LiveState._call_failed,
    "load_done": LiveState._load_done,
    "alone": LiveState._alone,
    "strike": LiveState._strike,
    "waiting": LiveState._waiting,
    "refused": LiveState._refused,
    "settings": LiveState._settings,
    "down": LiveState._down,
    "connected": LiveState._connected,
    "disconnected": LiveState._disconnected,
    **dict.fromkeys(_ENDS, LiveState._end),
}
