"""AMQP 0-9-1: which queues a message reaches from an exchange, by its routing key."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Binding", "Routes", "without_delay"]

#: kombu.transport.native_delayed_delivery.calculate_routing_key: the delay in bits before the routing key proper.
_DELAY_BITS = re.compile(r"^(?:[01]\.){28}")


def without_delay(key: str) -> str:
    """The routing key proper of a message that Celery's native delayed delivery sends; any other as it is."""
    return _DELAY_BITS.sub("", key)


class Binding(NamedTuple):
    """From an exchange to a queue, or to another exchange (``to_exchange``). ``key``: a pattern where the exchange is a topic exchange."""

    source: str
    destination: str
    key: str = ""
    to_exchange: bool = False


class Routes:
    """Bindings at one moment. The default exchange '' leads to the queue that is named like the key, without a binding."""

    def __init__(self, bindings: Iterable[Binding] = ()) -> None:
        self._out: dict[str, list[Binding]] = defaultdict(list)
        for binding in bindings:
            self._out[binding.source].append(binding)

    def reached(self, exchange: str, key: str | None) -> set[str]:
        """Names of queues. ``key`` None: under any key, since each message keeps its own."""
        if not exchange:
            return {key} if key else set()
        return self._from(exchange, key, set())

    def _from(self, exchange: str, key: str | None, visited: set[str]) -> set[str]:
        visited.add(exchange)
        found: set[str] = set()
        for binding in self._out.get(exchange, ()):
            if key is not None and binding.key and not _pattern(binding.key).fullmatch(key):
                continue
            if not binding.to_exchange:
                found.add(binding.destination)
            elif binding.destination not in visited:
                found |= self._from(binding.destination, key, visited)
        return found


@lru_cache(maxsize=1024)
def _pattern(key: str) -> re.Pattern[str]:
    """A topic exchange's pattern; one of a direct exchange holds no wildcards and matches as it is. Fanout exchanges ignore keys: bound
    without one, as is usual, they match above.
    """
    words = [r"[^.]*" if word == "*" else ".*" if word == "#" else re.escape(word) for word in key.split(".")]
    expression = r"\.".join(words).replace(r"\..*", r"(?:\..*)?").replace(r".*\.", r"(?:.*\.)?")
    return re.compile(expression)
