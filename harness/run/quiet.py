"""When is a system quiet? When nothing is recorded, the broker is empty, nobody is left who could still act, and everybody is back."""

from __future__ import annotations

from collections.abc import Callable

from harness.ports.clock import Clock
from harness.run.live import LiveState
from harness.run.timeline import Timeline

__all__ = ["CALM", "Quiet"]

CALM = 0.5  # for this long nothing was recorded and every look found the broker empty: quiet
_SETTLED = 0.1  # the same where the books are closed, see `_closed`
_LOOK_EVERY = 0.03


class Quiet:
    """Of one pass. ``depth``: (ready, unacked) of the broker now, or None where it does not answer. Times in seconds."""

    def __init__(self, live: LiveState, clock: Clock, depth: Callable[[], tuple[int, int] | None]) -> None:
        self._live, self._clock, self._depth = live, clock, depth
        self._next_look = 0.0
        self._calm_since: float | None = None
        self._calm_records = -1

    def calm_for(self) -> float:
        """Seconds for which every look found the broker empty and the workers idle, with no new record between.

        One look is not enough: a message that moves between queue, transport and `unacked` is in neither for a moment.
        """
        now = self._clock.now()
        if self._live.open or self._live.records != self._calm_records:
            self._calm_records, self._calm_since = self._live.records, None
            return 0.0
        if now >= self._next_look:
            self._next_look = now + _LOOK_EVERY
            if self._depth() != (0, 0):
                self._calm_since = None
            elif self._calm_since is None:
                self._calm_since = now
        return now - self._calm_since if self._calm_since is not None else 0.0

    def reached(self, timeline: Timeline, *, died: bool) -> bool:
        """Is it? ``died``: a process has ended in this pass. It is not as long as threads of the app's own live, or a worker is adrift."""
        calm = self.calm_for()
        if self._live.lingering or self.adrift(timeline):
            return False
        return calm > CALM or (calm > _SETTLED and not died and self._closed(timeline))

    def adrift(self, timeline: Timeline) -> list[str]:
        """Workers without their connection that will have it back, by name: whether they recover, and in what time, is not known before.

        While a fault lasts they may be unable to, and nobody is waited for. One that does not try again, or has ended, never is.
        """
        return self._live.adrift if timeline.all_healed else []

    def _closed(self, timeline: Timeline) -> bool:
        """Nothing disturbed this pass, and every message that was published has ended, once: so none can be on its way.

        What the longer wait is for cannot be there: a copy, a redelivery, a message of somebody whose publishes are not recorded, or of
        somebody who goes on when the tasks have ended.
        """
        live = self._live
        once = len(live.finished) == len(live.published) == live.finished_tasks
        return not timeline.planned and not live.apart and once and live.finished == live.published

    def waited_for(self, timeline: Timeline) -> str:
        """What keeps a calm system from being quiet, in words."""
        names = {self._live.names.get(pid, ("", "", 0))[0] for pid in self._live.lingering}
        threads = f"threads of the app's own in {', '.join(sorted(names - {''})) or 'a worker'}" if self._live.lingering else ""
        lost = self.adrift(timeline)
        cut = f"{', '.join(lost)} without {'its' if len(lost) == 1 else 'their'} connection to the broker" if lost else ""
        return " and ".join(filter(None, (threads, cut)))
