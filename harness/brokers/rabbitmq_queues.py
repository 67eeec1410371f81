"""What each queue of a RabbitMQ is there for, told from who consumes, from names, arguments, policies and bindings."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.brokers.rabbitmq_config import TAP_PREFIX
from harness.model.routing import Binding, Routes
from harness.model.rules import QueueRules

__all__ = ["QueueState", "Topology", "native_delay_level"]

#: No tasks lie here: remote control and its replies (kombu.pidbox.Mailbox), events (celery.events.receiver: event_queue_prefix), our own.
_PASSING = re.compile(rf"(.*\.pidbox|celeryev\..*|{re.escape(TAP_PREFIX)}.*)$")
#: Results on their way (celery.backends.rpc): the queue is named by a UUID and goes with its client.
_REPLIES = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
#: kombu.transport.native_delayed_delivery.level_name, which may have a prefix.
_LEVEL = re.compile(r"(?:.*_)?celery_delayed_(\d+)$")
#: Of what a queue is told, what decides on the fate of its messages. rabbit_queue_type_util:args_policy_lookup: of two numbers, its own and
#: a policy's, the lower one holds (res_min); of two words its own (res_arg).
_NUMBERS = ("message-ttl", "max-length", "max-length-bytes", "delivery-limit", "expires")
_WORDS = ("dead-letter-exchange", "dead-letter-routing-key", "overflow", "dead-letter-strategy")
#: Of a queue whose process answers (rabbit_amqqueue: info_keys). Others, as down, stopped, crashed, minority, count as 0 what they hold.
_ANSWERING = ("running", "idle", "flow")


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue with its counts, which may be as old as its statistics interval.

    ``place``: ready (somebody consumes here, or has done so), delayed (messages wait for a time to pass, then go on to such a queue),
    resting (nobody ever consumed here in this run), or '' for what holds no tasks. Until any consumer was seen, bindings stand in: ready,
    delayed, dead_letter. ``expiring``: by a TTL of its messages. ``readable``: can another connection than its owner's take from it?
    ``lasting``: asking it does not keep it alive. ``trouble``: its state, where it is none in which it could answer.
    """

    name: str
    place: str
    ready: int
    unacked: int
    quorum: bool
    readable: bool
    expiring: bool = False
    lasting: bool = True
    trouble: str = ""


def native_delay_level(name: str) -> int:
    """27 for celery_delayed_27, -1 for other queues."""
    found = _LEVEL.match(name)
    return int(found[1]) if found else -1


class Topology:
    """Queues, bindings and policies at one moment, as the management API shows them, and who has ``consumed`` in this run so far.

    A queue that is consumed is for work, whatever else leads to it or from it. One that nobody has ever consumed delays, if what it holds
    goes on to work by its dead-letter exchange; else messages rest in it. docs/rabbitmq.md has the cases.
    """

    def __init__(
        self,
        queues: Sequence[Mapping[str, Any]],
        bindings: Sequence[Mapping[str, Any]],
        policies: Sequence[Mapping[str, Any]],
        consumed: Collection[str] = (),
        operator_policies: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._queues = {str(queue["name"]): queue for queue in queues}
        self._policies = [sorted(found, key=lambda policy: -int(policy.get("priority") or 0)) for found in (policies, operator_policies)]
        self._consumed = {name for name in self._queues if name in consumed and not self._passes(name)}
        self._known = any(not (_PASSING.match(name) or _REPLIES.match(name)) for name in consumed)
        self.bindings = tuple(
            Binding(str(b["source"]), str(b["destination"]), str(b.get("routing_key", "")), b.get("destination_type") != "queue")
            for b in bindings
        )
        self._routes = Routes(self.bindings)
        self._arguments = {name: self._in_effect(name) for name in self._queues}
        #: Queues from which messages go on to work by themselves.
        self.delaying = frozenset(name for name in self._queues if name not in self._consumed and self._delays(name))
        self._dead = {target for name in self._queues if name not in self.delaying for target in self._dead_letter_targets(name)}
        self._places = {name: self._place(name) for name in self._queues}

    def states(self, queues: Iterable[Mapping[str, Any]]) -> list[QueueState]:
        """Those that hold tasks, in the order in which a message may move on: delays from the longest, tasks, those at rest."""
        order = ("delayed", "ready", "dead_letter", "resting")
        found = [self._state(queue) for queue in queues if self._places[str(queue["name"])]]
        return sorted(found, key=lambda s: (order.index(s.place), -native_delay_level(s.name), s.name))

    def _state(self, queue: Mapping[str, Any]) -> QueueState:
        name, state = str(queue["name"]), str(queue.get("state") or "running")
        return QueueState(
            name=name,
            place=self._places[name],
            ready=int(queue.get("messages_ready") or 0),
            unacked=int(queue.get("messages_unacknowledged") or 0),
            quorum=queue.get("type") == "quorum",
            readable=not queue.get("exclusive") and queue.get("type") != "stream",
            expiring="message-ttl" in self._arguments[name],
            lasting="expires" not in self._arguments[name],
            trouble="" if state in _ANSWERING else state,
        )

    def rules(self) -> list[QueueRules]:
        """What each queue that holds tasks does with them by itself."""
        return [
            QueueRules(
                name=name,
                arguments=arguments,
                consumed=name in self._consumed,
                quorum=self._queues[name].get("type") == "quorum",
                keeps_dropped=bool(self._dead_letter_targets(name) & self._queues.keys()),
            )
            for name, arguments in self._arguments.items()
            if self._places[name]
        ]

    def _passes(self, name: str) -> bool:
        return bool(_PASSING.match(name) or (self._queues[name].get("auto_delete") and _REPLIES.match(name)))

    def _place(self, name: str) -> str:
        if self._passes(name):
            return ""
        if name in self._consumed or self._queues[name].get("exclusive"):
            return "ready"
        if name in self.delaying:
            return "delayed"
        if self._known:
            return "resting"
        return "dead_letter" if name in self._dead else "ready"  # nobody works here yet: only bindings can tell

    def _in_effect(self, name: str) -> dict[str, Any]:
        """Its own arguments, and what policies add: the one that matches with the highest priority, of each kind."""
        own = {key[2:]: value for key, value in (self._queues[name].get("arguments") or {}).items() if key.startswith("x-")}
        found: dict[str, Any] = {}
        for source in [own, *(self._policy(name, policies) for policies in self._policies)]:
            for key in (*_NUMBERS, *_WORDS):
                value = source.get(key)
                if value is not None:
                    found[key] = min(found.get(key, value), value) if key in _NUMBERS else found.get(key, value)
        return found

    def _policy(self, name: str, policies: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        kind = f"{self._queues[name].get('type', 'classic')}_queues"
        for policy in policies:
            if policy.get("apply-to", "all") in ("all", "queues", kind) and re.search(str(policy.get("pattern", "")), name):
                return policy.get("definition") or {}
        return {}

    def _delays(self, name: str) -> bool:
        """Do its messages go on to work? Until a consumer was seen, any queue counts as such; and only a TTL makes sure that they go."""
        arguments = self._arguments[name]
        if "dead-letter-exchange" not in arguments:
            return False
        if not self._known or native_delay_level(name) >= 0:
            return "message-ttl" in arguments
        return self._leads_to_work(name, set())

    def _leads_to_work(self, name: str, visited: set[str]) -> bool:
        visited.add(name)
        targets = (self._dead_letter_targets(name) & self._queues.keys()) - visited
        return any(target in self._consumed or self._leads_to_work(target, visited) for target in sorted(targets))

    def _dead_letter_targets(self, name: str) -> set[str]:
        arguments = self._arguments[name]
        exchange, key = arguments.get("dead-letter-exchange"), arguments.get("dead-letter-routing-key")
        return set() if exchange is None else self._routes.reached(str(exchange), key) - {name}
