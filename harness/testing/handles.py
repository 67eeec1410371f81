"""What a test holds in its hands: a call, a fault, a group of workers, a server."""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.testing.outcomes import TooLate

if TYPE_CHECKING:
    from harness.testing.harness import Harness

__all__ = ["CALL_SECONDS", "Broker", "Call", "FaultHandle", "WorkerHandle", "as_text", "given", "plain"]

#: How long a call, or a point, is waited for where nobody says.
CALL_SECONDS = 30.0


class Call:
    """One call that was made. ``number``: from 1, as reports have it."""

    def __init__(self, harness: Harness, number: int, task: str) -> None:
        self.number, self.task, self._harness = number, task, harness

    def wait(self, seconds: float = CALL_SECONDS) -> Call:
        """Until all that it caused has ended, however often it takes. TooLate where it has not within this time."""
        __tracebackhide__ = True
        if not self._harness.wait_until(lambda: self.ended, seconds):
            on = self._harness.live.faults_on()
            still = f"; still on: {', '.join(on)}, until `heal`" if on else ""
            raise TooLate(f"call {self.number} ({self.task}) did not end within {seconds:g} s{still}")
        return self

    @property
    def ended(self) -> bool:
        """Was it published, and is nothing of it left to run?"""
        return self._harness.live.live.call_is_over(self.number)


class FaultHandle:
    """A fault that was begun or armed. As a context manager it is healed at the end of the block."""

    def __init__(self, harness: Harness, index: int, name: str) -> None:
        self.name, self._index, self._harness = name, index, harness

    @property
    def struck(self) -> bool:
        """Has it begun? An armed one has when its point was reached."""
        return self._harness.live.began(self._index)

    def wait(self, seconds: float = CALL_SECONDS) -> FaultHandle:
        """Until an armed one has struck. TooLate where it has not within this time."""
        __tracebackhide__ = True
        if not self._harness.wait_until(lambda: self.struck, seconds):
            raise TooLate(f"{self.name} was armed, and its point was not reached within {seconds:g} s")
        return self

    def heal(self) -> None:
        """Over once it was probed."""
        self._harness.live.heal(self._index)

    def __enter__(self) -> FaultHandle:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.heal()


class WorkerHandle:
    """Workers of a group ('pay'), or one of them ('pay-1')."""

    def __init__(self, harness: Harness, target: str) -> None:
        self.target, self._harness = target, harness

    def kill(self, *, restart_after: float | str | None = None) -> FaultHandle:
        """SIGKILL to main process and children. None: it stays away until `heal`."""
        return self._harness.fault("worker.kill", target=self.target, **given(restart_after=as_text(restart_after)))

    def kill_child(self) -> FaultHandle:
        """SIGKILL to one pool child."""
        return self._harness.fault("worker.kill_child", target=self.target)

    def pause(self) -> FaultHandle:
        """Frozen until `heal`."""
        return self._harness.fault("worker.pause", target=self.target)

    def stop(self, *, cold: bool = False, restart_after: float | str | None = None) -> FaultHandle:
        """Celery's own shutdown, warm or cold."""
        name = "worker.stop_cold" if cold else "worker.stop"
        return self._harness.fault(name, target=self.target, **given(restart_after=as_text(restart_after)))

    def scale(self, replicas: int) -> FaultHandle:
        """So many of the group from now on."""
        return self._harness.fault("worker.scale", target=self.target, replicas=replicas)


class Broker:
    """The broker, the result backend, or a service with a server of its own."""

    def __init__(self, harness: Harness, part: str) -> None:
        self.part, self._harness = part, harness
        self._word, self._target = (part, {}) if part in ("broker", "backend") else ("db", {"target": part})

    def restart(self, **parameters: Any) -> FaultHandle:
        """In good order; `down`: how long, `keep`: whether it keeps what it held."""
        return self._harness.fault(f"{self._word}.restart", **self._target, **parameters)

    def kill(self, **parameters: Any) -> FaultHandle:
        """SIGKILL, and up again after `down`."""
        return self._harness.fault(f"{self._word}.kill", **self._target, **parameters)

    def pause(self) -> FaultHandle:
        """Frozen until `heal`."""
        return self._harness.fault(f"{self._word}.pause", **self._target)

    def flush(self) -> FaultHandle:
        """Everything that it holds is gone."""
        return self._harness.fault(f"{self._word}.flush", **self._target)


def given(**values: Any) -> dict[str, Any]:
    """Without those that are None."""
    return {name: value for name, value in values.items() if value is not None}


def as_text(value: float | str | None) -> str | None:
    """Seconds, or text as it is."""
    return value if value is None or isinstance(value, str) else f"{value:g}s"


def plain(value: Any, what: str) -> Any:
    """As JSON carries it, since a plan does: tuples become lists. UsageError for anything else; ``what`` it is, for the error."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as exc:
        raise UsageError(
            f"{what} cannot be written into a plan: {exc}",
            hint="send what JSON knows (text, numbers, lists, mappings), or args='module:function', a callable of your own that makes them",
        ) from None
