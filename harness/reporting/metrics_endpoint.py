"""`--metrics PORT`: the figures of the run that goes on, as OpenMetrics on loopback. Needs `prometheus_client`, of the extra `load`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from harness.errors import EnvironmentFault, UsageError
from harness.model.history import Depth, Usage

if TYPE_CHECKING:
    from harness.reporting.live_figures import LiveFigures

__all__ = ["MetricsEndpoint"]

_HOST = "127.0.0.1"
_PATH = "/metrics"


class MetricsEndpoint:
    """An observer of one run after the other: each begins its figures anew, and the last one's stay until `close`.

    UsageError without the package, EnvironmentFault where the port is taken; both before anything else starts.
    """

    def __init__(self, port: int) -> None:
        if find_spec("prometheus_client") is None:
            raise UsageError("--metrics needs the package prometheus_client", hint="pip install 'celery-harness[load]'")
        self._figures: LiveFigures | None = None
        self._lock = threading.Lock()
        try:
            self._server = ThreadingHTTPServer((_HOST, port), _handler(self._text))
        except (OSError, OverflowError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
            raise EnvironmentFault(
                f"--metrics {port}: nothing can listen there: {reason}", where=f"{_HOST}:{port}", hint="0 takes any free port"
            ) from None
        self._server.daemon_threads = True
        self.address = f"http://{_HOST}:{self._server.server_address[1]}{_PATH}"
        self.shown_at = f"metrics at {self.address}"
        threading.Thread(target=self._server.serve_forever, name="celery-harness-metrics", daemon=True).start()

    def begin(self, scenario: str, t0: float) -> str:
        """Figures from zero; the address."""
        from harness.reporting.live_figures import LiveFigures

        with self._lock:
            self._figures = LiveFigures(t0)
        return self.shown_at

    def see(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Count them."""
        with self._lock:
            if self._figures is not None:
                self._figures.see(records)

    def sample(self, depth: Depth | None, usage: Usage | None) -> None:
        """Show it."""
        with self._lock:
            if self._figures is not None:
                self._figures.sample(depth, usage)

    def end(self) -> None:
        """Nothing: what was last seen stays to be read."""

    def close(self) -> None:
        """The port is free again; also twice."""
        self._server.shutdown()
        self._server.server_close()

    def _text(self) -> bytes:
        from prometheus_client import CollectorRegistry
        from prometheus_client.openmetrics.exposition import generate_latest

        with self._lock:  # figures that belong together are read together
            registry = self._figures.registry if self._figures is not None else CollectorRegistry()
            return bytes(generate_latest(registry))  # type: ignore[no-untyped-call]


def _handler(text: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """GET /metrics."""

        def do_GET(self) -> None:
            """Whatever the client accepts, it is OpenMetrics that it gets."""
            if self.path.partition("?")[0] != _PATH:
                self.send_error(404)
                return
            body = text()
            self.send_response(200)
            self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """A scrape is no news."""

    return Handler
