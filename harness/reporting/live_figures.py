"""The figures of a run while it goes on, counted from journal records as they come; for Prometheus and whatever reads OpenMetrics.

A worker's main process, its pool children and the producer write files of their own, so an end may be read before its receipt: it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from harness.model.history import Depth, Usage
from harness.model.moments import moment
from harness.model.routing import without_delay

__all__ = ["LiveFigures"]

_LABELS = ("task", "queue")
#: Seconds; a factor of about two apart, from a publish on this machine to a broker that hung.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: Seconds for which is remembered what is over: on Redis a message may come back after its end; a late retry ends its call's next task.
_KEPT = 600.0
_COUNTERS = {
    "published": "Messages that tasks and the producer published: calls, retries, links of a canvas",
    "delivered": "Messages handed to a worker",
    "started": "Executions begun",
    "succeeded": "Executions that succeeded",
    "failed": "Executions that failed for good",
    "retried": "Executions that asked for a retry",
    "redelivered": "Deliveries of a message that had been delivered before",
    "duplicated": "Deliveries of injected copies",
}
_HISTOGRAMS = {
    "publish": "From the begin of a call's publish until the broker had it",
    "wait": "From the publish, or the ETA, until a worker began",
    "run": "Of each execution",
    "end_to_end": "From the moment a call was due until a task that it caused ended",
}
_GAUGES = {
    "ready_messages": "Messages that wait in the broker",
    "unacked_messages": "Messages that a worker holds",
    "oldest_seconds": "Age of the oldest message that nobody has finished",
    "workers_cpu_cores": "Processor seconds per second of all workers",
    "workers_memory_bytes": "Resident bytes of all workers",
    "broker_memory_bytes": "Memory of the broker",
    "broker_connections": "Connections of clients to the broker",
}


@dataclass(slots=True)
class _Message:
    labels: tuple[str, str]
    begun: float | None  # seconds since the load began
    ready: float | None  # published, or its ETA
    call: int
    first: bool  # published by the call itself
    deliveries: int = 0
    started: bool = False


class LiveFigures:
    """Of one run. Labels are task and queue, and nothing that could be a secret."""

    def __init__(self, t0: float) -> None:
        self.registry = CollectorRegistry()
        self._t0_ns = round(t0 * 1e9)
        self._wall: float | None = None  # wall seconds at the begin of the load
        self._counters = {n: Counter(f"celery_harness_{n}", text, _LABELS, registry=self.registry) for n, text in _COUNTERS.items()}
        self._times = {
            n: Histogram(f"celery_harness_{n}_seconds", text, _LABELS, buckets=_BUCKETS, registry=self.registry)
            for n, text in _HISTOGRAMS.items()
        }
        self._gauges = {n: Gauge(f"celery_harness_{n}", text, registry=self.registry) for n, text in _GAUGES.items()}
        self._now = self._looked = 0.0  # of the youngest record; when `_forget` has something to do
        self._due: dict[int, float] = {}
        self._calls: dict[int, float] = {}  # when a call of `_due` was last heard of, or will be
        self._ended: dict[str, float] = {}  # message -> its last end
        self._messages: dict[str, _Message] = {}
        self._of: dict[str, tuple[str, _Message, float]] = {}  # open delivery -> (id of its message, that, start)
        self._early: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}  # delivery -> records that came before its receipt, and when
        self._open: dict[str, float] = {}  # message -> published, oldest first
        self._used: Usage | None = None
        self._kinds: dict[str, Callable[[Mapping[str, Any], float], None]] = {
            name[4:]: getattr(self, name) for name in dir(self) if name.startswith("_on_")
        }

    def see(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Records of journals (docs/journal.md)."""
        for record in records:
            handle = self._kinds.get(record["k"])
            if handle is not None:
                at = (record["m"] - self._t0_ns) * 1e-9
                self._now = max(self._now, at)
                handle(record, at)
        self._forget()

    def _forget(self) -> None:
        """What nothing was heard of for long: a soak has millions of calls. Now and then, since all of it is looked through."""
        before = self._now - _KEPT
        if before < self._looked:
            return
        self._looked = before + _KEPT / 10
        for number in [number for number, at in self._calls.items() if at < before]:
            del self._calls[number], self._due[number]
        for id in [id for id, at in self._ended.items() if at < before]:
            del self._ended[id]
            self._messages.pop(id, None)  # one whose publish was read after its end
        for id in [id for id, waiting in self._early.items() if waiting[0][0] < before]:
            del self._early[id]

    def _heard_of(self, call: int, at: float) -> None:
        if call in self._due:
            self._calls[call] = max(at, self._calls[call])

    def sample(self, depth: Depth | None, usage: Usage | None) -> None:
        """What was just sampled."""
        if depth is not None:
            oldest = next(iter(self._open.values()), None)
            self._set(ready_messages=depth.ready, unacked_messages=depth.unacked)
            self._set(oldest_seconds=0.0 if oldest is None else max(0.0, depth.at - oldest))
        if usage is not None:
            before, self._used = self._used, usage
            self._set(workers_memory_bytes=sum(usage.memory.values()))
            self._set(broker_memory_bytes=usage.broker_memory, broker_connections=usage.broker_connections)
            if before is not None and usage.at > before.at:
                grown = sum(max(0.0, cpu - before.cpu[name]) for name, cpu in usage.cpu.items() if name in before.cpu)
                self._set(workers_cpu_cores=grown / (usage.at - before.at))

    def _set(self, **values: float | None) -> None:
        for name, value in values.items():
            if value is not None:
                self._gauges[name].set(value)

    # --- one small handler per kind of record ---------------------------------------------------------------------

    def _on_open(self, record: Mapping[str, Any], at: float) -> None:
        if "w" in record:
            self._wall = record["w"] * 1e-9 - at

    def _on_call(self, record: Mapping[str, Any], at: float) -> None:
        self._due[record["no"]] = record["due"] * 1e-9
        self._calls[record["no"]] = at

    def _on_publish(self, record: Mapping[str, Any], at: float) -> None:
        message = self._message(record)
        message.begun = at
        message.ready = max(at, self._eta(record.get("eta")) or at)
        self._counters["published"].labels(*message.labels).inc()
        self._heard_of(message.call, message.ready)
        if not message.deliveries:
            self._open[record["msg"]] = at

    def _on_published(self, record: Mapping[str, Any], at: float) -> None:
        message = self._messages.get(record["msg"])
        if message is not None and message.first and message.begun is not None:
            self._times["publish"].labels(*message.labels).observe(at - message.begun)

    def _on_deliver(self, record: Mapping[str, Any], at: float) -> None:
        message = self._message(record)
        message.deliveries += 1
        self._of[record["d"]] = (record["msg"], message, at)
        self._counters["delivered"].labels(*message.labels).inc()
        if record.get("copy"):
            self._counters["duplicated"].labels(*message.labels).inc()
        elif record.get("re") or message.deliveries > 1:
            self._counters["redelivered"].labels(*message.labels).inc()
        for early, waiting in self._early.pop(record["d"], ()):
            self._kinds[waiting["k"]](waiting, early)

    def _on_start(self, record: Mapping[str, Any], at: float) -> None:
        message = self._delivered(record)
        if message is None:
            return
        self._of[record["d"]] = (*self._of[record["d"]][:2], at)
        self._counters["started"].labels(*message.labels).inc()
        if not message.started and message.ready is not None:
            self._times["wait"].labels(*message.labels).observe(max(0.0, at - message.ready))
        message.started = True

    def _on_end(self, record: Mapping[str, Any], at: float) -> None:
        message = self._delivered(record)
        if message is None:
            return
        id, _, start = self._of.pop(record["d"])
        self._open.pop(id, None)
        self._messages.pop(id, None)  # one that comes again says itself what it is
        self._ended[id] = at
        self._heard_of(message.call, at)
        self._times["run"].labels(*message.labels).observe(at - start)
        state = record["s"]
        word = {"SUCCESS": "succeeded", "DEDUPLICATED": "succeeded", "RETRY": "retried", "FAILURE": "failed"}.get(state)
        if word is not None:
            self._counters[word].labels(*message.labels).inc()
        if state not in ("RETRY", "RAISED") and message.call in self._due:
            self._times["end_to_end"].labels(*message.labels).observe(at - self._due[message.call])

    def _delivered(self, record: Mapping[str, Any]) -> _Message | None:
        """The message that the record speaks of; None: its receipt is not read yet, and the record waits for it."""
        known = self._of.get(record["d"])
        if known is None:
            self._early.setdefault(record["d"], []).append(((record["m"] - self._t0_ns) * 1e-9, record))
            return None
        return known[1]

    def _message(self, record: Mapping[str, Any]) -> _Message:
        found = self._messages.get(record["msg"])
        if found is None:
            queue = without_delay(str(record.get("q") or ""))  # every delay would be a queue of its own
            labels = (str(record.get("n") or ""), queue)
            found = _Message(labels, None, None, record.get("call") or 0, not record.get("cause"))
            if record["msg"] in self._ended:
                found.deliveries, found.started = 1, True
            self._messages[record["msg"]] = found
        return found

    def _eta(self, text: Any) -> float | None:
        wall = moment(text) if text else None
        return None if wall is None or self._wall is None else wall - self._wall
