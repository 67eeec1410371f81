"""What a user sends with: publishes, and what became of them, as requests in Locust's own statistics."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Sequence

from celery_harness_locust.apps import LoadedApp
from celery_harness_locust.errors import TaskTimeout

__all__ = ["END_TO_END", "PUBLISH", "QUEUE_WAIT", "RUN", "Client", "Ended"]

#: Types of requests.
PUBLISH, QUEUE_WAIT, RUN, END_TO_END = "publish", "queue wait", "run", "end to end"

_DEFAULT_TIMEOUT = 60.0


class Ended(NamedTuple):
    """How a call that was waited for came out. ``state``: Celery's, or TIMEOUT, or UNSENT where it could not be published."""

    id: str
    state: str
    exception: str = ""
    value: Any = None  # what the task returned, where the result backend was asked; else None

    @property
    def ok(self) -> bool:
        """Did all of it succeed?"""
        return self.state == "SUCCESS"


class Client:
    """One per user. Failures are counted, not raised, as Locust's own clients do; only a load that is wrong raises (`LoadError`)."""

    def __init__(self, loaded: LoadedApp, environment: Any) -> None:
        self._loaded = loaded
        self._fire_request = environment.events.request.fire

    def send(self, task: str, /, *args: Any, **kwargs: Any) -> Any:
        """Publish; the AsyncResult, or None where that failed."""
        return self._publish(task, args, kwargs, {})

    def apply(self, task: str, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        """Publish with options of `apply_async`; the AsyncResult, or None where that failed."""
        return self._publish(task, args, kwargs or {}, options)

    def send_and_wait(self, task: str, /, *args: Any, timeout: float = _DEFAULT_TIMEOUT, **kwargs: Any) -> Ended:
        """Publish, and wait until the task has ended: at most ``timeout`` seconds, which then is a failure too."""
        raise NotImplementedError

    def _publish(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], options: dict[str, Any]) -> Any:
        task = self._loaded.task(name)
        begun = time.perf_counter()
        try:
            result = task.apply_async(args, kwargs, **options)
        except Exception as exc:
            self._fire(PUBLISH, name, time.perf_counter() - begun, exc)
            return None
        self._fire(PUBLISH, name, time.perf_counter() - begun)
        return result

    def _fire(self, kind: str, name: str, seconds: float | None, exception: Exception | None = None) -> None:
        """Locust counts in milliseconds."""
        self._fire_request(
            request_type=kind,
            name=name,
            response_time=None if seconds is None else seconds * 1000,
            response_length=0,
            exception=exception,
            context={},
        )

    def _timed_out(self, name: str, timeout: float) -> None:
        self._fire(END_TO_END, name, timeout, TaskTimeout(f"not ended after {timeout:g} s"))
