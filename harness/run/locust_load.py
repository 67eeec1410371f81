"""The pass with faults where Locust's users make the calls: its process is the producer."""

from __future__ import annotations

import json
import math
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.scenario import Scenario
from harness.ports.reporter import Progress
from harness.ports.runtime import PassPlan
from harness.run.locust_outcomes import LocustLive, Outcomes
from harness.run.outcome import PassOutcome
from harness.run.passes import PassDriver

__all__ = ["LocustDriver", "check_locust", "locust_question"]

_GRACE = 60.0  # what Locust may take beyond its `for` until its users have stopped
_LEAVE = 20.0  # for its last statistics, once it was told to stop
_ROWS = 400  # of outcomes in one line
_HINT_EXTRA = "pip install 'celery-harness[load]' into the environment that holds your app"


class LocustDriver(PassDriver):
    """As the others; meanwhile Locust is told what became of its calls."""

    live: LocustLive
    _teller: _Teller | None = None
    _announced = 0

    def new_live(self) -> LocustLive:
        """See `PassDriver`."""
        return LocustLive(Outcomes(self.clock.wall() - self.clock.now()))

    def begin(self, plan: PassPlan) -> PassOutcome:
        """See `PassDriver`; a locustfile that cannot be used is the scenario's fault."""
        try:
            return super().begin(plan)
        except EnvironmentFault:
            self._refuse_wrong_load()
            raise

    def patience(self, plan: PassPlan) -> float:
        """See `PassDriver`; how long workers that somebody else starts may take, Locust's master knows, and says."""
        return super().patience(plan) if not self._said("waits") else math.inf

    def step(self, wait: float = 0.01) -> int:
        """One turn; then Locust is told what is new."""
        count = super().step(wait)
        self._tell_outcomes()
        if absent := self._said("absent"):
            raise EnvironmentFault(absent[0], where=str(self._log()), hint="docs/load-hosts.md says how one joins from another machine")
        waits = self._said("waits")
        for text in waits[self._announced :]:
            self.say(Progress(phase="note", text=text))
        self._announced = len(waits)
        return count

    def _tell_outcomes(self) -> None:
        for pid, rows in self.live.outcomes.take().items():
            for at in range(0, len(rows), _ROWS):
                self._tell("ended " + json.dumps({str(pid): rows[at : at + _ROWS]}, separators=(",", ":")))

    def _tell(self, line: str) -> None:
        if self._teller is None:
            self._teller = _Teller(self.system.tell_producer)
            self._teller.start()
        self._teller.lines.put(line)

    def watch_load(self, load_seconds: float) -> None:
        """See `PassDriver`; a LoadTestShape takes what time it wants. ScenarioError where a user was about to send what there is not."""
        self._refuse_wrong_load()
        if self.live.load_done:
            return
        self._refuse_its_death()
        if load_seconds and self.now() > load_seconds + _GRACE + self.scenario.drain.timeout:
            raise EnvironmentFault("Locust did not stop its users", where=str(self._log()))

    def stop(self) -> None:
        """Locust first: what it knows of the last calls goes into its statistics."""
        assert self.outcome is not None
        while self.step(0.0):
            pass
        self.step(0.0)  # one turn in which nothing came: see `Outcomes`
        self.live.outcomes.close(round(self.clock.now() * 1e9))
        self._tell_outcomes()
        self._tell("stop")
        deadline = self.clock.now() + _LEAVE
        while not self.producer_ended and self.clock.now() < deadline:
            super().step()
        super().stop()

    def dismiss_producer(self) -> None:
        """It was told, and may not read any more."""

    def finish_quietly(self) -> None:
        """See `PassDriver`; and nobody is told anything any more."""
        self._tell("stop")
        super().finish_quietly()

    def _refuse_its_death(self) -> None:
        assert self.outcome is not None
        for death in self.outcome.ended:
            if death.kind == "producer":
                self._refuse_wrong_load()
                tail = "\n  ".join(self._last_lines())
                raise EnvironmentFault(
                    f"Locust ended with status {death.status} in the middle of the load; its last lines:\n  {tail}", where=str(self._log())
                )

    def _refuse_wrong_load(self) -> None:
        """ScenarioError where a user was about to send what there is not."""
        for said in self.live.said:
            if said.get("what") == "wrong":
                raise ScenarioError(str(said["text"]), where=str(said.get("where") or ""))

    def _said(self, what: str) -> list[str]:
        return [str(said["text"]) for said in self.live.said if said.get("what") == what]

    def _log(self) -> Path:
        logs = self.system.logs()
        return logs.get("locust") or logs.get("producer") or Path()

    def _last_lines(self) -> list[str]:
        found: list[str] = []
        for name in ("locust", "producer"):
            log = self.system.logs().get(name)
            if log is not None:
                found += log.read_text(errors="replace").splitlines()[-12:]
        return found


class _Teller(threading.Thread):
    """Writes lines to Locust, which may not read for a while: nobody else waits for that. It ends with Locust."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(name="celery-harness-teller", daemon=True)
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._tell = tell

    def run(self) -> None:
        """Until Locust has ended, which the driver sees by itself, or was told to stop."""
        line = ""
        while line != "stop":
            line = self.lines.get()
            try:
                self._tell(line)
            except EnvironmentFault:
                return


def locust_question(scenario: Scenario) -> dict[str, Any]:
    """What the agent's program `locust-check` is asked."""
    assert scenario.locust is not None
    return {"file": scenario.locust.file}


def check_locust(scenario: Scenario, answer: Mapping[str, Any], where: Callable[..., str]) -> None:
    """ScenarioError for a locustfile that fails to import, holds no user class, or names a task that there is not."""
    spec = scenario.locust
    assert spec is not None
    error = answer.get("error") or {}
    if not answer.get("ok"):
        if error.get("kind") == "locust":
            raise ScenarioError(str(error.get("what")), where=where("locust"), hint=_HINT_EXTRA)
        place = f"{error['file']}:{error['line']}" if error.get("file") else where("locust", "file")
        trace = f"\n{error['traceback'].rstrip()}" if error.get("traceback") else ""
        raise ScenarioError(f"{error.get('what')}{trace}", where=place)
    if not answer.get("users"):
        raise ScenarioError(
            f"{spec.file} holds no user class", where=where("locust", "file"), hint="write class Shopper(CeleryUser), with an @task"
        )
    if spec.duration is None and not answer.get("shape"):
        raise ScenarioError(
            "`for` is missing, and the locustfile has no LoadTestShape that says when the load is over",
            where=where("locust"),
            hint="write for: 30s",
        )
    for line, what in answer.get("wrong") or ():
        raise ScenarioError(str(what), where=f"{spec.file}:{line}")
