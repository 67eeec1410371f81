"""The ends of a run's containers, as the engine tells them: one stream, so that nobody has to ask at every tick."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from harness.ports.clock import Clock
from harness.runtimes.containers.engine import Engine

__all__ = ["Watcher"]

#: (exit code as the engine has it, when, on the clock).
Ended = Callable[[int, float], None]

_ATTEMPTS = 10
_PAUSE_SECONDS = 0.2


class Watcher:
    """Follows the containers that carry a label. ``lost``: why it no longer can; '' while it does."""

    def __init__(self, engine: Engine, clock: Clock, label: str) -> None:
        self.lost = ""
        self._engine, self._clock, self._label = engine, clock, label
        self._expected: dict[str, tuple[Ended, float]] = {}  # with the wall time from which it holds
        self._closing = False
        self._since = time.time()
        self._stream: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns when the engine has begun to tell. Once."""
        with self._engine.asking("the engine's events", "followed"):
            self._subscribe()
        self._thread = threading.Thread(target=self._follow, name="container-events", daemon=True)
        self._thread.start()

    def expect(self, name: str, ended: Ended) -> None:
        """Call it once when the container of that name ends (in the watcher's thread: it must be quick). To be said before the start."""
        self._expected[name] = (ended, time.time())

    def forget(self, name: str) -> None:
        """Its end is of no interest any more."""
        self._expected.pop(name, None)

    def close(self) -> None:
        """Stop following; never raises."""
        self._closing = True
        if self._stream is not None:
            with contextlib.suppress(Exception):
                self._stream.close()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def _subscribe(self) -> None:
        """From the last event on: what ended while nobody listened is told again."""
        self._stream = self._engine.client.api.events(
            decode=True,
            since=f"{self._since:.9f}",
            filters={"type": "container", "event": "die", "label": self._label},
        )

    def _follow(self) -> None:
        while not self._closing:
            with contextlib.suppress(Exception):  # whatever a transport raises when the engine goes: what follows tells
                for event in self._stream:
                    self._take(event)
            if not self._closing and not self._again():
                return

    def _again(self) -> bool:
        """After the stream broke off. An engine that was restarted has taken our containers along: that is no fault of the scenario's."""
        for _ in range(_ATTEMPTS):
            if self._closing:
                return False
            time.sleep(_PAUSE_SECONDS)
            with contextlib.suppress(Exception):
                self._subscribe()
                if self._all_run():
                    return True
                self.lost = "the container engine was restarted in the middle of the run"
                return False
        self.lost = "the container engine stopped answering in the middle of the run"
        return False

    def _all_run(self) -> bool:
        running = {name.lstrip("/") for c in self._engine.client.api.containers(filters={"label": self._label}) for name in c["Names"]}
        return set(self._expected) <= running

    def _take(self, event: Mapping[str, Any]) -> None:
        attributes = (event.get("Actor") or {}).get("Attributes") or {}
        name, wall = str(attributes.get("name")), int(event.get("timeNano") or 0) * 1e-9
        self._since = max(self._since, wall)
        ended, since = self._expected.get(name, (None, 0.0))
        if ended is not None and wall >= since:
            del self._expected[name]
            ended(int(attributes.get("exitCode") or 0), self._clock.now() - max(0.0, self._clock.wall() - wall))
