"""The history: what happened to every call, message and delivery, folded from the journals in a single pass.

call -> messages (first publish, retries, chained and nested publishes) -> deliveries -> start, end, ack.
Times are seconds of CLOCK_MONOTONIC relative to the start of the load (negative before it); ``None``: never seen.
Order across processes is causal by these links, never by comparing times alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.model.rules import BrokerRules

__all__ = ["Call", "Delivery", "Depth", "Evidence", "FaultRecord", "Held", "History", "Message", "ProcessLife", "SideEvent", "Usage"]


@dataclass(slots=True)
class Delivery:
    """One hand-over of a message to a worker, and what became of it."""

    id: str
    message: "Message"
    worker: str  # node name, e.g. pay-1
    pid: int  # main process of the worker
    at: float
    tag: str  # the broker's delivery tag
    redelivered: bool
    copy: int = 0  # >0: an injected duplicate (message.duplicate), numbered
    start: float | None = None
    end: float | None = None
    pid_run: int = 0  # the process that ran it (pool child)
    state: str = ""  # SUCCESS, FAILURE, RETRY, REJECTED, IGNORED, DEDUPLICATED, RAISED; '' while open
    exception: str = ""  # qualified type of what ended it, or of what the retry was for
    text: str = ""  # its message, cut at 300 characters
    file: str = ""  # innermost frame of the user's code in its traceback, if any
    line: int | None = None
    retry_delay: float | None = None  # seconds asked for
    retry_exact: bool = True  # False: measured at the retry's publish, because an ETA was asked for instead of a countdown
    ack: float | None = None
    reject: float | None = None
    requeue: bool = False
    revoked: str = ""  # revoked, expired, terminated
    outcome: str = ""  # unknown, invalid, undecodable, failed:<exception> (seen by the main process)
    died: float | None = None  # its process died while it was open (delivered, not ended or not acked)
    died_by: int | None = None  # index of the fault that killed it
    last_line: str = ""  # file:line of the user's code when an armed fault struck

    @property
    def running_at_death(self) -> bool:
        """The process died between start and end."""
        return self.died is not None and self.start is not None and self.end is None


@dataclass(slots=True)
class Message:
    """One publish of a task: the first, or a retry's."""

    id: str
    task_id: str
    task: str
    retries: int
    call: int  # number of the call from 1; 0: not caused by the load
    cause: str = ""  # id of the delivery whose code published it; '' for the producer
    queue: str = ""  # its routing key
    exchange: str | None = None  # that it was published to; '' is the default one; None: not recorded
    begun: float | None = None
    ok: float | None = None
    failed: str = ""  # exception of a failed publish
    eta: float | None = None  # seconds, same clock; the one used
    eta_asked: float | None = None  # before `time: {retries: /N}` shortened it
    expires: float | None = None
    root_id: str = ""
    parent_id: str = ""
    foreign: bool = False  # not published by an agent of ours: first seen at a delivery or in the broker
    is_retry: bool = False
    deliveries: list[Delivery] = field(default_factory=list)
    held: "Held | None" = None


@dataclass(slots=True)
class Call:
    """One business request of the load."""

    number: int  # from 1
    task: str
    args: str  # canonical JSON of (args, kwargs), cut at 2,000 characters
    due: float
    sent: float | None = None
    free: float | None = None  # when its publisher had published the call before; None: not an open loop
    publisher: int = 0  # which one of an open loop's; from 0
    publish: str = "begun"  # begun, ok, failed, unknown
    error: str = ""
    root_task_id: str = ""
    task_ids: tuple[str, ...] = ()  # of a canvas: every task id that the caller was told; () for a single task
    messages: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Held:
    """The broker still holds a message at the end. ``place``: ready, unacked, delayed, dead_letter, or resting: in a queue from which
    nobody has ever consumed in this run.
    """

    place: str
    queue: str
    tag: str = ""
    returns_at: float | None = None  # unacked on Redis: when the visibility timeout would give it back
    timeout: str = ""  # that timeout in words: 'visibility_timeout 3600 s'
    message_id: str = ""
    task_id: str = ""
    task: str = ""
    retries: int = 0
    eta: float | None = None
    died: str = ""  # the broker's own word on why it was dead-lettered (RabbitMQ: x-death), e.g. rejected, expired


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows that a fault bit. ``bit`` None: it cannot be told."""

    bit: bool | None
    text: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class FaultRecord:
    """One fault of the timeline as it happened."""

    index: int
    name: str
    planned: str  # in words: 'at 5 s, for 2 s', 'when orders.charge reaches start, 3rd time'
    target: str = ""
    begun: float | None = None
    ended: float | None = None
    evidence: Evidence = Evidence(False, "never begun")
    killed_pids: tuple[int, ...] = ()
    file: str = ""  # armed faults: the user's line that was about to run
    line: int | None = None
    task_id: str = ""
    healed: bool = True
    note: str = ""


@dataclass(slots=True)
class ProcessLife:
    """One process of ours from up to down. ``kind``: worker, child, producer, broker, backend, service."""

    name: str
    kind: str
    pid: int
    up: float
    ready: float | None = None
    down: float | None = None
    how: str = ""  # 'exit 0', 'SIGKILL by fault 1', 'SIGKILL (not ours)'
    unexpected: bool = False
    connected: list[float] = field(default_factory=list)
    disconnected: list[float] = field(default_factory=list)
    queues: tuple[str, ...] = ()  # workers: that it consumes; (): not recorded


@dataclass(frozen=True, slots=True)
class Depth:
    """One sample of the broker, taken by the monitor."""

    at: float
    ready: int
    unacked: int
    oldest: float = 0.0  # age in seconds of the oldest message that nobody has finished
    took: float = 0.0  # seconds that the broker's answer took: it is true of some moment of them


@dataclass(frozen=True, slots=True)
class Usage:
    """One sample of what the parts use. ``cpu``: worker -> processor seconds so far; ``memory``: worker -> resident bytes; both with its
    children's. The broker's are None where it does not say.
    """

    at: float
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    broker_memory: int | None = None
    broker_connections: int | None = None


@dataclass(frozen=True, slots=True)
class SideEvent:
    """Anything rare that a check or the report wants: undeclared service, worker traceback, undecodable, foreign broker."""

    kind: str
    at: float
    process: str
    text: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class History:
    """Everything that was recorded of one pass (clean or with faults)."""

    calls: dict[int, Call] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    faults: list[FaultRecord] = field(default_factory=list)
    processes: list[ProcessLife] = field(default_factory=list)
    depths: list[Depth] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)  # about one a second
    held: list[Held] = field(default_factory=list)
    rules: BrokerRules = field(default_factory=BrokerRules)  # of the queues, where the broker shows them
    looked: bool = True  # False: the broker could not be asked any more, so `held` says nothing
    results: dict[str, dict[str, Any]] = field(default_factory=dict)  # task id -> what the backend's key holds: {"status": …}
    results_read: bool = False
    events: list[SideEvent] = field(default_factory=list)
    load_ended: float | None = None
    healed_at: float | None = None
    quiet_at: float | None = None  # None: the drain timed out
    stopped_at: float | None = None  # when the harness began to stop the workers: later deaths are its own doing
    ended: float | None = None  # when the workers had stopped
    torn: int = 0  # records whose process died inside the copy
    records: int = 0
    late_arrivals: int = 0
    dropped_arrivals: int = 0
    acks_late: dict[str, bool] = field(default_factory=dict)  # per task, as registered in the worker
    task_policies: dict[str, dict[str, Any]] = field(default_factory=dict)  # per task: max_retries, retry_backoff, … as registered
    config: dict[str, Any] = field(default_factory=dict)  # the settings in effect that oracles rest on
