"""A look into a RabbitMQ broker: exact emptiness, every message that can be read, and the number of those that cannot."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from harness.brokers.rabbitmq_config import QUORUM_STATISTICS, STATISTICS
from harness.brokers.rabbitmq_connection import AmqpClient, envelope_of
from harness.brokers.rabbitmq_copies import Copier
from harness.brokers.rabbitmq_management import VHOST, Management
from harness.brokers.rabbitmq_memory import memory_of
from harness.brokers.rabbitmq_queues import QueueState, Topology
from harness.model.history import Held
from harness.model.rules import BrokerRules
from harness.ports.broker import Endpoint

__all__ = ["RabbitInspector"]

#: Seconds that `depth` spends on proving emptiness while other traffic (events, remote control) goes on.
_PROOF_SECONDS = 1.0
#: Seconds that `look` gives consumers that were just killed: the broker sees their sockets close at once, but not in the same moment.
_SETTLE_SECONDS = 1.5
_SETTLED = 0.5
#: Seconds that `look` gives quorum queues of a node that has just been started to elect their leaders.
_ELECTED_SECONDS = 5.0


class RabbitInspector:
    """See `BrokerInspector`. EnvironmentFault where the server does not answer; the next call tries anew."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._quick = Management(endpoint, timeout=1.0)  # asked in the run's own loop: a frozen broker must not stop that
        self._patient = Management(endpoint, timeout=30.0)  # asked once all is over: a busy broker must not end that
        self._client = AmqpClient(endpoint, timeout=30.0)
        self._prober = AmqpClient(endpoint, timeout=1.0)
        self._copier = Copier(endpoint, self._quick, self._states)
        self._memory = memory_of(endpoint)
        self._topology = Topology((), (), ())
        self._told: tuple[Any, ...] = ()  # what that was made of
        self._empty_since: tuple[bytes, int] | None = None

    # --- counting -----------------------------------------------------------------------------------------------

    def depth(self) -> tuple[int, int]:
        """(ready, unacked) where somebody consumes, or has done so; messages whose time has not come count as unacked, as on Redis,
        where a worker holds them. (0, 0) is proven: nothing was there at one moment of this call, but for moves under steady other traffic.

        A queue's counts are as old as its statistics interval, so a message may be in the broker and in no count. Hence (0, 0) is
        said only if in a time longer than that interval no client did anything, every queue was asked for what is ready, and all
        counts were 0 at its end. Gives up on an answer after a second, on a quorum queue that has no leader, and on a queue
        that is down.
        """
        deadline = time.monotonic() + _PROOF_SECONDS
        if not self._memory.looked:
            time.sleep(_freshness(self._states()))  # consumers that came before this first look are shown then
            self._memory.looked = True
        while True:
            found = self._count()
            if any(found):
                return found
            before = (self._quick.activity(), self._quick.lives)
            if before == self._empty_since:
                return 0, 0  # nothing happened since the last proof
            self._empty_since = None
            states = self._states()
            time.sleep(_freshness(states))
            found = self._count()
            ready = max(found[0], sum(self._exactly_ready(state) for state in states if state.place == "ready"))
            if ready or found[1]:
                return ready, found[1]
            leaderless, over = self._leaderless(states), time.monotonic() > deadline
            if leaderless and over:
                raise self._client.fault(RuntimeError(f"nobody leads the quorum queue {min(leaderless)!r}"))
            if not leaderless and before == (self._quick.activity(), self._quick.lives):
                self._empty_since = before
                return 0, 0
            if over:
                return 0, 0

    def _count(self) -> tuple[int, int]:
        states = [s for s in self._states() if s.place in ("ready", "delayed")]
        if silent := next((s for s in states if s.trouble), None):
            raise self._client.fault(RuntimeError(f"queue {silent.name!r} is {silent.trouble}"))
        ready = sum(s.ready for s in states if s.place == "ready")
        unacked = sum(s.unacked for s in states)
        return ready, unacked + sum(s.ready for s in states if s.place == "delayed")

    def _states(self, api: Management | None = None) -> list[QueueState]:
        """Queues that hold tasks, as they are bound and governed now. ``api``: who is asked, if not who answers at once or not at all."""
        api = api or self._quick
        queues = api.queues()
        kinds = {str(queue["name"]): queue.get("type") for queue in queues}
        # Of a queue that was deleted a quorum queue's last count may still be shown, for minutes (rabbit_core_metrics_gc).
        consumed = api.consumed() & kinds.keys()
        self._memory.note_consumers(consumed, {name for name, kind in kinds.items() if kind == "quorum"})
        told = (
            [(q["name"], q.get("type"), q.get("exclusive"), q.get("auto_delete"), q.get("arguments")) for q in queues],
            *(api.get(f"/api/{what}/{VHOST}") for what in ("bindings", "policies", "operator-policies")),
            set(self._memory.consumed),
        )
        if told != self._told:
            _, bindings, policies, operator_policies, consumed = told
            self._told, self._topology = told, Topology(queues, bindings, policies, consumed, operator_policies)
            self._memory.see(self._topology.rules())
        return self._topology.states(queues)

    def _exactly_ready(self, state: QueueState) -> int:
        """The queue itself is asked (queue.declare, passive), after everything that reached it before. That is a use of it: one that
        expires when it is unused is not asked.
        """
        if not (state.readable and state.lasting):
            return state.ready
        return self._prober.ask(partial(_ready, queue=state.name)) or 0

    def _leaderless(self, states: Sequence[QueueState], api: Management | None = None) -> set[str]:
        """Quorum queues of which nothing can be known, now."""
        quorum = {state.name for state in states if state.quorum}
        return quorum - (api or self._quick).led() if quorum else set()

    # --- looking ------------------------------------------------------------------------------------------------

    def look(self, wall_offset: float) -> Sequence[Held]:
        """Every message. Those that wait are taken and given back in their places; all of them are held until the last queue is read, so
        that none hops from one queue to another behind our back. From then on they are flagged redelivered: so that flag, which a
        worker's death sets as well, proves nothing at the second look, and is not read. What a worker had, its journal says.

        What a consumer has cannot be read: one entry each with place 'unacked', queue and no ids or tag. What is no task but lies in a
        queue has empty ids too, and a tag. A quorum queue without a leader, or any that is down, is one entry without a tag: nobody can
        say what it holds.
        """
        states = self._settled()
        silent = dict.fromkeys(self._leaderless(states, self._patient), "without a leader")
        silent |= {s.name: f"that is {s.trouble}" for s in states if s.trouble}
        held: list[Held] = []
        with self._client.borrowing(self._memory.take_from) as borrowed:
            for state in states:
                taken = 0
                for message in borrowed.take(state.name) if state.readable and state.name not in silent else ():
                    taken += 1
                    held.append(_held(state, message, wall_offset, f"{state.name}:{taken}", self._topology.delaying))
                if state.place == "resting":
                    continue  # what cannot be read there is nobody's here
                if not state.readable:
                    held += [Held(place=state.place, queue=state.name, timeout="in an exclusive queue")] * state.ready
                elif state.name not in silent:  # refused, as by a quorum queue with a single active consumer: what is there has no name
                    held += [Held(place=state.place, queue=state.name, timeout="that cannot be read")] * max(0, state.ready - taken)
        held += [Held(place="ready", queue=name, timeout=f"in a queue {why}") for name, why in sorted(silent.items())]
        words = "until the connection of the consumer that has it is closed"
        return held + [Held(place="unacked", queue=s.name, timeout=words) for s in states for _ in range(s.unacked)]

    def _settled(self) -> list[QueueState]:
        """States whose counts are fresh. Unacked messages get a moment to come back."""
        begun = time.monotonic()
        time.sleep(_freshness(self._states(self._patient)))
        while self._leaderless(self._states(self._patient), self._patient) and time.monotonic() - begun < _ELECTED_SECONDS:
            time.sleep(QUORUM_STATISTICS)
        begun = time.monotonic()
        states, since = self._states(self._patient), begun
        while any(s.unacked for s in states) and time.monotonic() - begun < _SETTLE_SECONDS and time.monotonic() - since < _SETTLED:
            time.sleep(STATISTICS)
            now = self._states(self._patient)
            if [s.unacked for s in now] != [s.unacked for s in states]:
                since = time.monotonic()
            states = now
        return states

    def rules(self) -> BrokerRules:
        """See `ShowsRules`."""
        dropped = self._memory.dropped(self._patient.dropped())
        return BrokerRules(dict(self._memory.queues), self._topology.bindings, dropped)

    # --- doing --------------------------------------------------------------------------------------------------

    def duplicate(
        self, queue: str, *, share: float, count: int | None, together: bool, rng: random.Random, seen: set[str], only: str = ""
    ) -> int:
        """See `Copier.duplicate`."""
        return self._copier.duplicate(queue, share=share, count=count, together=together, rng=rng, seen=seen, only=only)

    def watch(self, queue: str) -> None:
        """See `WatchesMessages`."""
        self._copier.watch(queue)

    def flush(self) -> int:
        """Purge the queues of tasks, delayed ones too; how many messages that were. What rests waits for nobody: it stays."""
        states = self._states(self._patient)
        silent = self._leaderless(states, self._patient)
        names = [s.name for s in states if s.place in ("ready", "delayed") and s.readable and not s.trouble and s.name not in silent]
        return sum(self._client.ask(partial(_purge, queue=name)) or 0 for name in names)

    def results(self) -> dict[str, dict[str, Any]]:
        """Nothing: RabbitMQ is no result backend that could be read."""
        return {}

    def use(self) -> tuple[int | None, int | None]:
        """See `ShowsUse`: the node's resident memory, and AMQP connections under the app's logins."""
        users = {login.user for login in self._endpoint.logins.values()}
        connections = self._quick.connections()
        return self._quick.memory(), sum(1 for entry in connections if not users or entry.get("user") in users)

    def close(self) -> None:
        """Drop connections, and the tap with them; a later call opens new ones."""
        self._copier.close()
        self._quick.close()
        self._patient.close()
        self._client.close()
        self._prober.close()


def _freshness(states: Sequence[QueueState]) -> float:
    """Seconds after which a queue's counts show what is true now: its interval, and as much again for a busy machine."""
    return 2 * (QUORUM_STATISTICS if any(s.quorum for s in states) else STATISTICS)


def _ready(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)


def _purge(channel: Any, queue: str) -> int:
    return int(channel.queue_purge(queue))


def _held(state: QueueState, message: Any, wall_offset: float, tag: str, delaying: Collection[str]) -> Held:
    """What a queue of work holds waits, wherever it came from."""
    envelope = envelope_of(message)
    eta = None if envelope.eta is None else envelope.eta - wall_offset
    died = _death(message.headers or {}, state.name, delaying)
    place = _place(state, message, died)
    return Held(
        place=place,
        queue=state.name,
        tag=tag,
        returns_at=eta if place == "delayed" else None,
        timeout="native delayed delivery" if place == "delayed" else "",
        message_id=envelope.message_id,
        task_id=envelope.task_id,
        task=envelope.task,
        retries=envelope.retries,
        eta=eta,
        died=died,
    )


def _place(state: QueueState, message: Any, died: str) -> str:
    """A dead letter is what the broker says was one: others may publish to the same queue. Nothing leaves a queue that has a dead-letter
    exchange and no TTL but what has a TTL of its own.
    """
    if state.place == "ready" or (state.place == "delayed" and (state.expiring or message.properties.get("expiration"))):
        return state.place
    if died:
        return "dead_letter"
    return "ready" if state.place == "dead_letter" else "resting"


def _death(headers: Mapping[str, Any], queue: str, delaying: Collection[str]) -> str:
    """Why it was last dead-lettered, if that brought it here: rejected, expired, maxlen, delivery_limit; '' if it was not.

    https://www.rabbitmq.com/docs/dlx#effects: `x-death` lists queues and reasons, the latest first. What a queue that delays let go when
    its time had come lives on; a copy of it that lies elsewhere is no dead letter.
    """
    deaths = headers.get("x-death")
    latest = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], Mapping) else {}
    reason, came_from = str(latest.get("reason") or ""), latest.get("queue")
    return "" if came_from == queue or (came_from in delaying and reason == "expired") else reason
