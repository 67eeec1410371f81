"""The course of one run: examine, start, clean passes, the pass with faults, judge. What is learnt on the way goes into notes."""

from __future__ import annotations

import contextlib
import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial as partial_of
from pathlib import Path
from typing import Any, NoReturn, Protocol

from harness.errors import EnvironmentFault, HarnessError, Interrupted
from harness.model.finding import CheckResult
from harness.model.history import History
from harness.model.readings import Readings
from harness.model.result import LogTail, Timing
from harness.model.scenario import Scenario
from harness.ports.check import Check, CleanPass, Recorded
from harness.ports.clock import Clock, derived_random
from harness.ports.fault import Fault
from harness.ports.observer import Observer
from harness.ports.reporter import Listener, Progress
from harness.ports.runtime import LiveSystem, PassPlan, SystemPlan
from harness.run.examine import check_app, check_redelivery, examination
from harness.run.judge import judge_all
from harness.run.locust_load import LocustDriver, check_locust, locust_question
from harness.run.outcome import PassOutcome
from harness.run.passes import PassDriver
from harness.run.record import record_pass
from harness.run.silence import blamed
from harness.run.steps import Steps
from harness.run.timeline import Timeline
from harness.run.watching import Watch

__all__ = ["Cell", "Course", "Guard", "Notes"]


class Guard(Protocol):
    """Somebody who may want the run to stop."""

    def check(self) -> None:
        """Raise Interrupted if so."""


@dataclass(frozen=True)
class Cell:
    """One scenario with its matrix values, everything that it names already looked up."""

    scenario: Scenario
    name: str
    file: Path
    root: Path
    values: Mapping[str, Any]
    text: str
    faults: Callable[[int], Sequence[Fault]]  # seed -> fresh faults in the order of the timeline
    checks: Sequence[Check]
    system: Callable[[str, Path], SystemPlan]  # run id, report folder -> plan
    seed: int
    calls: Sequence[tuple[int, int, int]]  # (number, index of the load item, due in ns), in due order
    load_seconds: float
    where: Callable[..., str]  # a place in the file, e.g. where("load", 0, "send") -> file:line:column
    observers: Sequence[Observer] = ()  # of the pass with faults
    measured: bool = False  # its figures count, also where no threshold asks for them


@dataclass
class Notes:
    """What is gathered on the way, complete or not."""

    timings: list[Timing] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    clean: list[CleanPass] = field(default_factory=list)
    history: History | None = None
    readings: Readings | None = None  # of that history, once it is judged
    planned: int | None = None  # calls of an open loop that came to its end
    semantics: Mapping[str, Any] = field(default_factory=dict)
    results: list[CheckResult] = field(default_factory=list)
    logs: list[LogTail] = field(default_factory=list)
    stop: Interrupted | None = None
    error: HarnessError | None = None


class Course:
    """The steps of one run, in order; each leaves what it learnt in the notes."""

    def __init__(
        self,
        cell: Cell,
        system: LiveSystem,
        plan: SystemPlan,
        clock: Clock,
        listener: Listener,
        guard: Guard,
        notes: Notes,
        runtime: str,
    ) -> None:
        self.cell, self.system, self.plan, self.clock = cell, system, plan, clock
        self.listener, self.guard, self.notes, self.runtime = listener, guard, notes, runtime

    @property
    def scenario(self) -> Scenario:
        """As it is run."""
        return self.cell.scenario

    def go(self) -> None:
        """All of it."""
        self.open()
        if not self.notes.clean and any(check.needs_clean for check in self.cell.checks):
            self.clean()
        self._with_faults()
        self.guard.check()
        self.system.came_to_its_end()
        self.judge()

    def open(self) -> dict[str, Any]:
        """Servers and stores; what the app said when it was examined."""
        self.guard.check()
        answer = self.system.examine(examination(self.scenario))
        check_app(self.scenario, answer, self.cell.where)
        check_redelivery(self.scenario, str(answer.get("kombu", "")), self.plan.broker.semantics, self.cell.where)
        if self.scenario.locust is not None:
            found = self.system.examine_locust(locust_question(self.scenario))
            check_locust(self.scenario, found, self.cell.where)
            self.notes.environment["Locust"] = str(found.get("locust", ""))
        self.notes.environment.update(self._versions(answer))
        self.listener.begun(self.cell.name, self._headline(answer))
        self.guard.check()
        started = self.clock.now()
        ready = self.system.open()
        self._timing("ready", started, ready, phase="ready")
        return answer

    def clean(self) -> None:
        """The two passes for reference."""
        started = self.clock.now()
        numbers = [number for number, _, _ in self.cell.calls]
        shuffled = list(numbers)
        derived_random(self.cell.seed, "order").shuffle(shuffled)
        self.notes.clean.append(self._clean_pass("clean1", "single", numbers, alone=True))
        self.notes.clean.append(self._clean_pass("clean2", "fast", shuffled, alone=False))
        self._timing("clean x 2", started, f"{2 * len(numbers):,} calls for reference", phase="clean")

    def _clean_pass(self, name: str, mode: str, order: Sequence[int], *, alone: bool) -> CleanPass:
        driver = self.driver()
        outcome = driver.begin(self.pass_plan(name, mode, order=order, alone=alone))
        if mode == "single":
            driver.run_single(order)
        else:
            driver.run_fast(order)
        history = record_pass(outcome, [], self.system, self.clock, results=False, root=self.plan.root)
        return CleanPass(history, outcome.before, self.system.observe(), dict(outcome.per_call), tuple(order))

    def _with_faults(self) -> None:
        steps = self.scenario.schedule
        timeline = Timeline.of(self.scenario.timeline, self.cell.faults(self.cell.seed), by_hand=bool(steps))
        driver = self.driver()
        mode = "locust" if self.scenario.locust else "live" if steps else "timed"
        outcome = driver.begin(self.pass_plan("faults", mode, triggers=timeline.triggers()))
        driver.watch = Watch(self.cell.observers, self.cell.name, self.listener.progress)
        try:
            started = self.clock.now()
            if steps:
                self._follow(Steps(driver, timeline, self.scenario.drain.timeout))
            else:
                driver.run_faults(timeline, self.cell.load_seconds)
                self.notes.planned = None if self.scenario.locust else len(self.cell.calls)
            calls = len(driver.live.calls_sent) if self.scenario.locust else len(self.cell.calls)
            self._timing("run", started, f"{calls:,} calls", seconds=outcome.load_ended, phase="run")
            drained = (outcome.quiet_at or outcome.stopped_at or 0.0) - (outcome.healed_at or 0.0)
            self._timing(
                "drain",
                started,
                outcome.note or ("the broker is empty" if outcome.quiet else "not quiet when the time was up"),
                seconds=drained,
                phase="drain",
            )
        except Interrupted:
            self.partial(driver, outcome, timeline, obeys=True)
            raise
        except EnvironmentFault as fault:
            self._broke(fault, driver, outcome, timeline)
        finally:
            driver.watch.end()
        try:
            self.look(outcome, timeline)
        except EnvironmentFault as fault:
            self._broke(fault, driver, outcome, timeline)

    def _broke(self, fault: EnvironmentFault, driver: PassDriver, outcome: PassOutcome, timeline: Timeline) -> NoReturn:
        """A part has failed: what is known without asking it is kept, and it is named."""
        told = blamed(self.system, fault)
        self.partial(driver, outcome, timeline, obeys=False)
        raise told from fault

    def _follow(self, steps: Steps) -> None:
        """A schedule."""
        numbers: list[list[int]] = [[] for _ in self.scenario.load]
        for number, item, _ in self.cell.calls:
            numbers[item].append(number)
        steps.begin()
        steps.run(self.scenario.schedule, numbers)
        steps.finish()

    def look(self, outcome: PassOutcome, timeline: Timeline) -> None:
        """All has stopped: what the world and the broker hold, and the history."""
        observing = self.clock.now()
        after = self.system.observe()
        self.notes.history = self._history(outcome, timeline)
        self.after, self.before = after, outcome.before
        self._timing("observe", observing, ", ".join(self.plan.stores) or "broker", phase="observe")

    def _history(self, outcome: PassOutcome, timeline: Timeline, *, look: bool = True) -> History:
        faults = [p.record for p in timeline.planned]
        history = record_pass(outcome, faults, self.system, self.clock, results=True, root=self.plan.root, look=look)
        timeline.settle(history)
        return history

    def partial(self, driver: PassDriver, outcome: PassOutcome, timeline: Timeline, *, obeys: bool, grace: float = 3.0) -> None:
        """What can still be read. ``obeys``: no part is known to have failed, so faults are healed and the broker is asked.

        ``grace``: seconds that workers have to stop by themselves.
        """
        if obeys:
            with contextlib.suppress(Exception):
                timeline.force_heal(driver.now(), self.system)
        for step in (partial_of(self.system.stop_workers, grace), driver.finish_quietly):
            with contextlib.suppress(Exception):
                step()
        with contextlib.suppress(Exception):
            self.notes.history = self._history(outcome, timeline, look=obeys)

    def judge(self) -> None:
        """Every check."""
        assert self.notes.history is not None
        started = self.clock.now()
        recorded = Recorded(
            self.scenario,
            self.notes.history,
            self.plan.broker.semantics,
            tuple(self.notes.clean),
            self.before if self.plan.stores else None,
            self.after if self.plan.stores else None,
            _source_reader(self.plan.root),
        )
        self.notes.readings = recorded.readings
        self.notes.results.extend(judge_all(self.cell.checks, recorded))
        self._timing("check", started, ", ".join(c.name for c in self.cell.checks), phase="check")

    # --- small things -------------------------------------------------------------------------------------------

    def driver(self) -> PassDriver:
        """For one pass."""
        kind = LocustDriver if self.scenario.locust else PassDriver
        return kind(self.system, self.scenario, self.clock, self.listener.progress, self.guard.check)

    def pass_plan(
        self, name: str, mode: str, *, order: Sequence[int] = (), triggers: Sequence[Mapping[str, Any]] = (), alone: bool = False
    ) -> PassPlan:
        """See `PassPlan`."""
        return PassPlan(name, self.cell.calls, mode, tuple(order), tuple(triggers), alone, self.scenario.load)

    def _timing(self, name: str, started: float, text: str, *, phase: Any, seconds: float | None = None) -> None:
        took = self.clock.now() - started if seconds is None else seconds
        self.notes.timings.append(Timing(name=name, seconds=took, text=text))
        self.listener.progress(Progress(phase=phase, text=text, took=took, detail={"name": name, "done": True}))

    def _headline(self, answer: Mapping[str, Any]) -> str:
        workers = ", ".join(f"{g.replicas} x {name} ({g.pool} {g.concurrency})" for name, g in self.scenario.system.workers.items())
        broker = self.system.environment().get("Broker", "").split(",")[0].strip()
        return f"{self.runtime}, {broker}, Celery {answer.get('celery', '?')}, {workers}, seed {self.cell.seed}"

    def _versions(self, answer: Mapping[str, Any]) -> dict[str, str]:
        return {"Celery": str(answer.get("celery", "")), "Kombu": str(answer.get("kombu", "")), "Python": str(answer.get("python", ""))}


def _source_reader(root: Path) -> Callable[[str], list[str]]:
    def read(path: str) -> list[str]:
        linecache.checkcache()
        full = Path(path) if Path(path).is_absolute() else root / path
        return [line.rstrip("\n") for line in linecache.getlines(str(full))]

    return read
