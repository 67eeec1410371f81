"""The steps of a live pass: calls and faults in an order that is given, or made up as it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from harness.errors import EnvironmentFault
from harness.model.scenario import Step, TimelineItem
from harness.ports.fault import Fault
from harness.run.passes import PassDriver
from harness.run.timeline import Planned, Timeline

__all__ = ["Steps"]

#: A publish that has not come to its end after this long is held up by a fault of ours; the next step does not wait for it.
_PUBLISH_SECONDS = 2.0


class Steps:
    """Drives one live pass that has begun. Each step returns when it has taken effect.

    ``drain``: seconds that waiting until quiet, and healing, may take.
    """

    def __init__(self, driver: PassDriver, timeline: Timeline, drain: float) -> None:
        self.driver, self.timeline, self.drain = driver, timeline, drain
        self.unsent: set[int] = set()  # calls of which the publish has not come to its end

    def begin(self) -> None:
        """Time starts."""
        self.driver.go()
        assert self.driver.outcome is not None
        self.timeline.t0, self.timeline.clock = self.driver.outcome.t0, self.driver.now

    def run(self, steps: Sequence[Step], numbers: Sequence[Sequence[int]]) -> None:
        """All of a schedule. ``numbers``: per load item the numbers of its calls."""
        for step in steps:
            if step.send is not None:
                for number in numbers[step.send]:
                    self.send(number)
            elif step.fault is not None:
                self.timeline.start(step.fault, self.driver.now(), self.driver.system)
                self.tick()
            elif step.heal is not None:
                self.heal(step.heal)
            elif step.wait == "quiet":
                self.until_quiet()
            elif step.wait is not None:
                self.pause(float(step.wait))

    def send(self, number: int, item: dict[str, Any] | None = None) -> None:
        """Publish a call of the plan, or one that was not planned (``item``: its load item as JSON has it)."""
        told = "" if item is None else " " + json.dumps(item)
        self.driver.system.tell_producer(f"send {number}{told}")
        live = self.driver.live
        if not self._until(lambda: number in live.calls_sent or number in live.calls_failed, _PUBLISH_SECONDS):
            self.unsent.add(number)

    def fault(self, item: TimelineItem, fault: Fault) -> Planned:
        """One that was not planned, now."""
        planned = self.timeline.add(item, fault)
        self.timeline.start(planned.record.index, self.driver.now(), self.driver.system)
        self.tick()
        return planned

    def heal(self, indices: Sequence[int]) -> None:
        """Until it was probed; EnvironmentFault where a part does not come back."""
        self.timeline.heal(indices, self.driver.now())
        chosen = [self.timeline.planned[index] for index in indices]
        if not self._until(lambda: not any(p.state in ("active", "healing") for p in chosen), self.drain):
            self.timeline.refuse_what_cannot_be_healed()
            names = ", ".join(p.record.name for p in chosen if p.state == "healing")
            raise EnvironmentFault(f"{names}: not healed within {self.drain:.0f} s", hint="the logs of the run say what did not come back")

    def pause(self, seconds: float) -> None:
        """Let the system go on for so long."""
        self._until(lambda: False, seconds)

    def until_quiet(self, seconds: float | None = None) -> bool:
        """Until the broker is empty and nobody holds anything; is it? Faults that last go on."""
        return self.driver.until_quiet(self.timeline, self.drain if seconds is None else seconds)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Until something has happened that the journals tell; has it?"""
        return self._until(condition, seconds)

    def tick(self, wait: float = 0.01) -> None:
        """Take in what has happened; faults go on. ``wait``: seconds to sleep where nothing has."""
        self.driver.tick(self.timeline, wait)

    def finish(self) -> None:
        """No further calls: heal, drain, stop."""
        live = self.driver.live
        self.driver.system.tell_producer("done")
        if not self._until(lambda: live.load_done, self.drain):
            raise EnvironmentFault("the producer did not finish its load", hint="its log is in the run's folder, under logs/producer.log")
        self.driver.end(self.timeline)

    def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = self.driver.now() + seconds
        while True:
            self.tick()
            if condition():
                return True
            if self.driver.now() > deadline:
                return False
