"""What each queue of a RabbitMQ is there for, told from names, arguments, policies and bindings."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.brokers.rabbitmq_config import TAP_PREFIX

__all__ = ["QueueState", "Topology", "native_delay_level"]

#: No tasks lie here: remote control and its replies (kombu.pidbox.Mailbox), events (celery.events.receiver: event_queue_prefix), our tap.
_PASSING = re.compile(rf"(.*\.pidbox|celeryev\..*|{re.escape(TAP_PREFIX)}.*)$")
#: Results on their way (celery.backends.rpc): the queue is named by a UUID and goes with its client.
_REPLIES = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
#: kombu.transport.native_delayed_delivery.level_name, which may have a prefix.
_LEVEL = re.compile(r"(?:.*_)?celery_delayed_(\d+)$")


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue with its counts, which may be as old as its statistics interval.

    ``place``: ready (tasks wait here), delayed (they wait for a time to pass, then go on), dead_letter, or '' for what holds no tasks.
    ``readable``: can another connection than its owner's take from it?
    """

    name: str
    place: str
    ready: int
    unacked: int
    quorum: bool
    readable: bool


def native_delay_level(name: str) -> int:
    """27 for celery_delayed_27, -1 for other queues."""
    found = _LEVEL.match(name)
    return int(found[1]) if found else -1


class Topology:
    """Queues, bindings and policies at one moment, as the management API shows them.

    A queue with a message TTL and a dead-letter exchange delays. One that a queue *without* TTL dead-letters into, and that does not
    delay itself, holds dead letters.
    """

    def __init__(
        self, queues: Sequence[Mapping[str, Any]], bindings: Sequence[Mapping[str, Any]], policies: Sequence[Mapping[str, Any]]
    ) -> None:
        self._queues = {str(queue["name"]): queue for queue in queues}
        self._policies = sorted(policies, key=lambda policy: -int(policy.get("priority") or 0))
        self._out: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for binding in bindings:
            self._out[str(binding["source"])].append(binding)
        self._delaying = {name for name in self._queues if self._delays(name)}
        self._dead = {target for name in self._queues if name not in self._delaying for target in self._dead_letter_targets(name)}
        self._places = {name: self._place(name) for name in self._queues}

    def knows(self, queues: Iterable[Mapping[str, Any]]) -> bool:
        """Are these the queues that it was made for?"""
        return {str(queue["name"]) for queue in queues} == self._queues.keys()

    def states(self, queues: Iterable[Mapping[str, Any]]) -> list[QueueState]:
        """Those that hold tasks, in the order in which a message may move on: delays from the longest, tasks, dead letters."""
        found = [
            QueueState(
                name=str(queue["name"]),
                place=self._places.get(str(queue["name"]), "ready"),
                ready=int(queue.get("messages_ready") or 0),
                unacked=int(queue.get("messages_unacknowledged") or 0),
                quorum=queue.get("type") == "quorum",
                readable=not queue.get("exclusive") and queue.get("type") != "stream",
            )
            for queue in queues
        ]
        order = ("delayed", "ready", "dead_letter")
        return sorted((s for s in found if s.place), key=lambda s: (order.index(s.place), -native_delay_level(s.name), s.name))

    def _place(self, name: str) -> str:
        queue = self._queues[name]
        if _PASSING.match(name) or (queue.get("auto_delete") and _REPLIES.match(name)):
            return ""
        return "delayed" if name in self._delaying else "dead_letter" if name in self._dead else "ready"

    def _argument(self, name: str, key: str) -> Any:
        """The queue's own argument before that of the policy which matches with the highest priority."""
        own = (self._queues[name].get("arguments") or {}).get(f"x-{key}")
        if own is not None:
            return own
        for policy in self._policies:
            if policy.get("apply-to") != "exchanges" and re.search(str(policy.get("pattern", "")), name):
                return (policy.get("definition") or {}).get(key)
        return None

    def _delays(self, name: str) -> bool:
        return self._argument(name, "message-ttl") is not None and self._argument(name, "dead-letter-exchange") is not None

    def _dead_letter_targets(self, name: str) -> set[str]:
        exchange, key = self._argument(name, "dead-letter-exchange"), self._argument(name, "dead-letter-routing-key")
        if exchange is None:
            return set()
        if not exchange:
            return {str(key)} - {name} if key else set()
        return self._reached(str(exchange), key, set()) - {name}

    def _reached(self, exchange: str, key: str | None, visited: set[str]) -> set[str]:
        """Queues that an exchange may route to. ``key`` None: under any key, since each message keeps its own."""
        visited.add(exchange)
        found: set[str] = set()
        for binding in self._out[exchange]:
            pattern, target = str(binding.get("routing_key", "")), str(binding["destination"])
            if key is not None and pattern and not _matches(pattern, key):
                continue
            if binding.get("destination_type") == "queue":
                found.add(target)
            elif target not in visited:
                found |= self._reached(target, key, visited)
        return found


def _matches(pattern: str, key: str) -> bool:
    """A topic exchange's pattern; one of a direct exchange holds no wildcards and matches as it is. Fanout exchanges ignore keys: bound
    without one, as is usual, they match above.
    """
    words = [r"[^.]*" if word == "*" else ".*" if word == "#" else re.escape(word) for word in pattern.split(".")]
    expression = r"\.".join(words).replace(r"\..*", r"(?:\..*)?").replace(r".*\.", r"(?:.*\.)?")
    return re.fullmatch(expression, key) is not None
