"""What became of Locust's calls, told to Locust while it runs: read from the journals, so that both count from the same moments."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model.moments import moment
from harness.run.live import LiveState

__all__ = ["LocustLive", "Outcomes"]

#: kind (w: queue wait, r: run, e: end to end), number of the call, task, seconds, what it failed of or ''.
Row = tuple[str, int, str, float | None, str]

#: A record of something whose publish was not read yet is looked at again so often.
_PATIENCE = 200
#: So long after its end a call may still be delivered once more, and be told of. Then it is forgotten: a soak has millions. ns.
_GRACE = 60 * 10**9
#: What `end to end` of a call that is still open when Locust is told to stop fails with.
_NOT_ENDED = "not ended"
_REFUSED = {"unknown": "not registered", "invalid": "invalid message", "undecodable": "cannot be decoded"}


@dataclass(slots=True)
class _Call:
    pid: int
    due: int  # ns
    task: str
    open: set[str] = field(default_factory=set)  # messages that have not ended
    messages: list[str] = field(default_factory=list)
    deliveries: list[str] = field(default_factory=list)
    last: int = 0  # ns: the latest end
    failure: str = ""
    told: bool = False  # its `end to end`


@dataclass(slots=True)
class _Message:
    id: str  # of its task
    call: int
    task: str
    ready: float  # seconds: when it could have been started
    started: bool = False


class Outcomes:
    """Fed with records of all journals. ``wall``: seconds that a wall clock is ahead of CLOCK_MONOTONIC.

    The numbers are those that the report takes from the whole history later (docs/load.md): queue wait until the first start of a
    message, run of each execution, end to end until everything that the call caused has ended.

    A task's end may be read before a message that it had published: a file later in the turn. So a call is over when nothing is open
    after one more turn.
    """

    def __init__(self, wall: float) -> None:
        self._wall = wall
        self._calls: dict[int, _Call] = {}
        self._messages: dict[str, _Message] = {}
        self._deliveries: dict[str, str] = {}  # delivery -> message
        self._of_task: dict[str, str] = {}  # task id -> its latest message
        self._starts: dict[str, int] = {}
        self._rows: dict[int, list[Row]] = defaultdict(list)
        self._ending: list[int] = []  # calls of which nothing was open when the last turn ended
        self._over_since: deque[tuple[int, int]] = deque()  # (ns, call) of those that were told
        self._latest = 0  # ns: of all records
        self._again: list[tuple[int, Mapping[str, Any]]] = []
        self._handlers: dict[str, Callable[[Mapping[str, Any]], bool]] = {
            "call": self._call,
            "publish": self._publish,
            "deliver": self._deliver,
            "start": self._start,
            "end": self._end,
            "revoked": self._gone,
            "reject": self._gone,
            "failed": self._failed,
            **dict.fromkeys(_REFUSED, self._gone),
        }

    def see(self, records: Iterable[Mapping[str, Any]]) -> None:
        """New ones, in the order of each file; between files the clock orders them, as all are of one kernel."""
        waiting, self._again = self._again, []
        ending, self._ending = self._ending, []
        fresh = [(0, record) for record in records if record["k"] in self._handlers]
        for tries, record in sorted([*waiting, *fresh], key=lambda one: one[1]["m"]):
            if not self._handlers[record["k"]](record) and tries < _PATIENCE:
                self._again.append((tries + 1, record))
            self._latest = max(self._latest, record["m"])
        for number in ending:
            if not self._calls[number].open:
                self._tell_end(number)
        while self._over_since and self._latest - self._over_since[0][0] > _GRACE:
            self._forget(self._over_since.popleft()[1])

    def close(self, now: int) -> None:
        """Nothing is seen any more: what is open ``now`` (CLOCK_MONOTONIC, ns) was never sent, was lost, or takes longer than the drain."""
        for number, call in self._calls.items():
            if call.told:
                continue
            if call.open or not call.messages:
                call.last, call.failure = now, call.failure or _NOT_ENDED
            self._tell_end(number)

    def take(self) -> dict[int, list[Row]]:
        """Per process (pid of the one that made the calls) what is new."""
        rows, self._rows = self._rows, defaultdict(list)
        return rows

    # --- one small handler per kind; False: what it speaks of is not known yet ------------------------------------

    def _call(self, r: Mapping[str, Any]) -> bool:
        self._calls[r["no"]] = _Call(r["_pid"], r["m"], r["n"])
        return True

    def _publish(self, r: Mapping[str, Any]) -> bool:
        number = r.get("call") or 0
        if not number:
            return True
        call = self._calls.get(number)
        if call is None:
            return False
        call.open.add(r["msg"])
        if r["msg"] not in self._messages:
            call.messages.append(r["msg"])
        self._of_task[str(r["id"])] = r["msg"]
        self._messages[r["msg"]] = _Message(str(r["id"]), number, r["n"], max(r["m"] / 1e9, self._eta(r.get("eta"))))
        return True

    def _eta(self, text: Any) -> float:
        """On CLOCK_MONOTONIC; 0 for none."""
        wall = moment(text) if text else None
        return 0.0 if wall is None else wall - self._wall

    def _deliver(self, r: Mapping[str, Any]) -> bool:
        if r["msg"] not in self._messages:
            return not r.get("call")
        self._deliveries[r["d"]] = r["msg"]
        self._calls[self._messages[r["msg"]].call].deliveries.append(r["d"])
        return True

    def _start(self, r: Mapping[str, Any]) -> bool:
        message = self._message(r)
        if message is None:
            return False
        self._starts[r["d"]] = r["m"]
        if not message.started:
            message.started = True
            self._tell(message, "w", max(0.0, r["m"] / 1e9 - message.ready))
        return True

    def _end(self, r: Mapping[str, Any]) -> bool:
        message, start = self._message(r), self._starts.get(r["d"])
        if message is None or start is None:
            return False
        state = str(r["s"])
        failure = "" if state == "SUCCESS" else str(r.get("e") or state)
        self._tell(message, "r", (r["m"] - start) / 1e9, failure)
        del self._starts[r["d"]]
        self._over(self._deliveries[r["d"]], message, r["m"], "" if state in ("RETRY", "DEDUPLICATED", "IGNORED") else failure)
        return True

    def _gone(self, r: Mapping[str, Any]) -> bool:
        """It ends without having run; one that is given back does not."""
        message = self._message(r)
        if message is None:
            return False
        if not r.get("requeue"):
            why = r.get("why") if r["k"] == "revoked" else "rejected" if r["k"] == "reject" else _REFUSED[r["k"]]
            self._over(self._deliveries[r["d"]], message, r["m"], str(why))
        return True

    def _failed(self, r: Mapping[str, Any]) -> bool:
        """Said by a worker's main process: the child that ran it is gone, or was stopped by a time limit."""
        id = self._of_task.get(str(r["id"]), "")
        message = self._messages.get(id)
        if message is not None:
            self._over(id, message, r["m"], str(r.get("e") or "failed"))
        return True

    def _message(self, r: Mapping[str, Any]) -> _Message | None:
        return self._messages.get(self._deliveries.get(r.get("d") or "", ""))

    def _over(self, id: str, message: _Message, at: int, failure: str) -> None:
        call = self._calls[message.call]
        if id not in call.open:
            return  # a delivery of the same message once more
        call.open.discard(id)
        call.last, call.failure = max(call.last, at), call.failure or failure
        if not call.open:
            self._ending.append(message.call)

    def _tell_end(self, number: int) -> None:
        """Once for each call, whatever comes after it."""
        call = self._calls[number]
        if not call.told:
            call.told = True
            self._over_since.append((self._latest, number))
            self._rows[call.pid].append(("e", number, call.task, (call.last - call.due) / 1e9, call.failure))

    def _forget(self, number: int) -> None:
        call = self._calls.pop(number, None)
        if call is None:
            return
        for id in call.messages:
            self._of_task.pop(self._messages.pop(id).id, None)
        for delivery in call.deliveries:
            self._deliveries.pop(delivery, None)
            self._starts.pop(delivery, None)

    def _tell(self, message: _Message, kind: str, seconds: float, failure: str = "") -> None:
        call = self._calls[message.call]
        self._rows[call.pid].append((kind, message.call, message.task, seconds, failure))


class LocustLive(LiveState):
    """The state of a pass with Locust: what is fed goes to the outcomes too, and what Locust says of itself is kept."""

    def __init__(self, outcomes: Outcomes) -> None:
        super().__init__()
        self.outcomes = outcomes
        self.said: list[Mapping[str, Any]] = []

    def feed(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Take new records in; how many there were."""
        new = list(records)
        self.outcomes.see(new)
        self.said += [record for record in new if record["k"] == "locust"]
        return super().feed(new)
