"""RabbitMQ's management API and metrics, over the standard library's HTTP client."""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
from collections import Counter
from typing import Any
from urllib.parse import quote

from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint

__all__ = ["VHOST", "Management"]

VHOST = "%2F"
#: Counted in the channel that does it, without any interval (rabbit_global_counters): publish, deliver, acknowledge, dead-letter.
_ACTIVITY = b"rabbitmq_global_messages_"
_COUNTED = ("classic", "quorum")
#: The queue's name comes last, and older releases do not escape it.
_LED = re.compile(r'^rabbitmq_detailed_queue_messages_ready\{.*?queue="(.*)"\} \S+$', re.MULTILINE)
_CONSUMED = re.compile(r'^rabbitmq_detailed_queue_consumers\{.*?queue="(.*)"\} [1-9]\S*$', re.MULTILINE)
_RESIDENT = re.compile(rb"^rabbitmq_process_resident_memory_bytes(?:\{.*?\})? (\S+)$", re.MULTILINE)
#: at_least_once: it is not dropped before the dead-letter queue has it.
_DROPPED = re.compile(
    r"^rabbitmq_global_messages_dead_lettered_(maxlen|delivery_limit|expired)_total"
    r'\{.*?dead_letter_strategy="(?:disabled|at_most_once)"\} (\d+)',
    re.MULTILINE,
)


class Management:
    """One server's API, under the monitor's login. EnvironmentFault where it does not answer; connections are opened anew then.

    ``lives``: how often a connection was opened; a server that was restarted shows as one more.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float = 30.0) -> None:
        self._endpoint, self._timeout = endpoint, timeout
        login = f"{endpoint.user}:{endpoint.password}".encode()
        self._headers = {"Authorization": "Basic " + base64.b64encode(login).decode()}
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self.lives = 0

    def get(self, path: str) -> Any:
        """The JSON document at a path."""
        return json.loads(self._ask("management", "GET", path))

    def put(self, path: str, document: Any) -> None:
        """Create or change."""
        self._ask("management", "PUT", path, json.dumps(document).encode())

    def delete(self, path: str) -> None:
        """Remove; what is gone already is fine."""
        self._ask("management", "DELETE", path, gone_is_fine=True)

    def queues(self) -> list[dict[str, Any]]:
        """Every queue of '/' with its counts, straight from what the queues publish (rabbit_core_metrics), past the API's own
        statistics, which are older; needs RabbitMQ 3.10.
        """
        found = list(self.get(f"/api/queues/{VHOST}?disable_stats=true&enable_queue_totals=true"))
        if any("messages_ready" not in queue for queue in found if queue.get("state") == "running" and queue.get("type") in _COUNTED):
            raise EnvironmentFault(
                "this RabbitMQ does not count its messages over the management API", where="rabbitmq", hint="3.10 or later does"
            )
        return found

    def connections(self) -> list[dict[str, Any]]:
        """Every AMQP connection: name, user."""
        return list(self.get("/api/connections?disable_stats=true"))

    def cut_off(self, *, seconds: float) -> None:
        """Close every AMQP connection; EnvironmentFault where one is left after so many seconds."""
        deadline = time.monotonic() + seconds
        while connections := self.connections():
            if time.monotonic() > deadline:
                raise self._fault(f"{len(connections)} connections are not to be closed")
            for connection in connections:
                self.delete(f"/api/connections/{quote(connection['name'], safe='')}")
            time.sleep(0.01)

    def activity(self) -> bytes:
        """Equal at two moments only if no client published, got or acknowledged anything between them, and nothing was dead-lettered."""
        lines = self._ask("metrics", "GET", "/metrics").splitlines()
        return b"\n".join(sorted(line for line in lines if line.startswith(_ACTIVITY)))

    def led(self) -> set[str]:
        """Names of the queues that have published counts since the node started. A quorum queue without a leader never has, and shows 0
        wherever it is asked: for half a second after a start, or for good, where its node was killed as it was declared.
        """
        return self._names(_LED, "queue_coarse_metrics")

    def consumed(self) -> set[str]:
        """Names of the queues that have a consumer, as old as their counts. Nobody is asked: that would be a use of the queue, and
        RabbitMQ would keep one that expires.
        """
        return self._names(_CONSUMED, "queue_consumer_count")

    def _names(self, line: re.Pattern[str], family: str) -> set[str]:
        told = self._ask("metrics", "GET", f"/metrics/detailed?vhost={VHOST}&family={family}").decode(errors="replace")
        names = set(line.findall(told))
        return names | {re.sub(r"\\(.)", r"\1", name) for name in names}

    def dropped(self) -> Counter[str]:
        """Messages that queues dropped or dead-lettered since the node started, by reason: maxlen, delivery_limit, expired."""
        told = self._ask("metrics", "GET", "/metrics").decode(errors="replace")
        counts: Counter[str] = Counter()
        for reason, number in _DROPPED.findall(told):
            counts[reason] += int(number)
        return counts

    def memory(self) -> int | None:
        """Resident bytes of the node; None where it does not say."""
        found = _RESIDENT.search(self._ask("metrics", "GET", "/metrics"))
        return round(float(found[1])) if found else None

    def close(self) -> None:
        """Drop connections; a later call opens new ones."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _ask(self, port: str, method: str, path: str, body: bytes | None = None, *, gone_is_fine: bool = False) -> bytes:
        stale = port in self._connections
        try:
            status, answer = self._exchange(port, method, path, body)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            if stale and not isinstance(exc, TimeoutError):
                return self._ask(port, method, path, body, gone_is_fine=gone_is_fine)  # the connection was one from before a restart
            raise self._fault(str(exc) or type(exc).__name__) from exc
        if status >= 300 and not (gone_is_fine and status == 404):
            raise self._fault(f"HTTP {status} for {method} {path.partition('?')[0]}")
        return answer

    def _exchange(self, port: str, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = self._connections.get(port)
        if connection is None:
            number = self._endpoint.ports.get(port, 0)
            connection = http.client.HTTPConnection(self._endpoint.host, number, timeout=self._timeout)
            self._connections[port] = connection
            self.lives += 1
        headers = {**self._headers, "Content-Type": "application/json"} if port == "management" else {}
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()

    def _fault(self, text: str) -> EnvironmentFault:
        where = f"{self._endpoint.host}:{self._endpoint.port}"
        return EnvironmentFault(f"the broker does not answer: {text}", where=where, hint="its log is kept with the run")
