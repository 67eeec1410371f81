"""One scenario cell from start to report: system, clean passes, load and timeline, drain, checks, result."""

from __future__ import annotations

import contextlib
import linecache
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault, HarnessError, Interrupted, ScenarioError
from harness.model.finding import CheckResult
from harness.model.history import History
from harness.model.result import LogTail, Reproduction, RunResult, Timing
from harness.model.scenario import Scenario
from harness.ports.check import Check, CleanPass, Recorded
from harness.ports.clock import Clock, derived_random
from harness.ports.fault import Fault
from harness.ports.reporter import Listener, Progress, Writer
from harness.ports.runtime import LiveSystem, PassPlan, Runtime, SystemPlan
from harness.run.examine import check_app, check_redelivery, examination
from harness.run.judge import judge_all
from harness.run.passes import PassDriver, PassOutcome
from harness.run.record import record_pass
from harness.run.signals import InterruptGuard
from harness.run.summary import summarise
from harness.run.timeline import Timeline

__all__ = ["Cell", "run_cell"]


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


@dataclass
class _Notes:
    """What is gathered on the way, complete or not."""

    timings: list[Timing] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    clean: list[CleanPass] = field(default_factory=list)
    history: History | None = None
    semantics: Mapping[str, Any] = field(default_factory=dict)
    results: list[CheckResult] = field(default_factory=list)
    logs: list[LogTail] = field(default_factory=list)
    stop: Interrupted | None = None
    error: HarnessError | None = None


def run_cell(
    cell: Cell,
    runtime: Runtime,
    *,
    run_id: str,
    folder: Path,
    clock: Clock,
    listener: Listener,
    writers: Sequence[Writer],
    keep: bool = False,
) -> RunResult:
    """Run it, judge it, write its report into ``folder``.

    Bad input is raised as ScenarioError (there is nothing to report on); everything else ends in a result: a failing
    environment with verdict ``environment``, an interruption with a partial report, then raised as `Interrupted`.
    """
    begun, wall = clock.now(), clock.wall()
    plan = replace(cell.system(run_id, folder), say=lambda text: listener.progress(Progress(phase="ready", text=text)))
    notes = _Notes(semantics=plan.broker.semantics)
    system = runtime.system(plan)
    with InterruptGuard() as guard:
        try:
            _Run(cell, system, plan, clock, listener, guard, notes, runtime.name).go()
        except Interrupted as exc:
            notes.stop = exc
        except ScenarioError:
            raise
        except HarnessError as exc:
            notes.error = exc
        finally:
            notes.environment.update(_environment_of(system))
            notes.logs.extend(_tracebacks(system))
            system.close()
        if guard.received and notes.stop is None:  # it came while nothing was asking
            notes.stop = Interrupted(guard.received)
        replay = _save_plan(cell, folder)
        result = _result(system, cell, notes, run_id, wall, clock.now() - begun, runtime.name, replay)
        _write_all(writers, result, folder)
        if not keep:
            _drop_clean_journals(folder)
        if guard.received and notes.stop is None:
            notes.stop = Interrupted(guard.received)
    listener.finished(result, Path(_shown(folder)))
    if notes.stop is not None:
        raise notes.stop
    return result


class _Run:
    """The steps of one run, in order; each leaves what it learnt in the notes."""

    def __init__(
        self,
        cell: Cell,
        system: LiveSystem,
        plan: SystemPlan,
        clock: Clock,
        listener: Listener,
        guard: InterruptGuard,
        notes: _Notes,
        runtime: str,
    ) -> None:
        self.cell, self.system, self.plan, self.clock = cell, system, plan, clock
        self.listener, self.guard, self.notes, self.runtime = listener, guard, notes, runtime
        self.scenario = cell.scenario

    def go(self) -> None:
        """All of it."""
        self.guard.check()
        answer = self.system.examine(examination(self.scenario))
        check_app(self.scenario, answer, self.cell.where)
        check_redelivery(self.scenario, str(answer.get("kombu", "")), self.plan.broker.semantics, self.cell.where)
        self.notes.environment.update(self._versions(answer))
        self.listener.begun(self.cell.name, self._headline(answer))
        self.guard.check()
        started = self.clock.now()
        ready = self.system.open()
        self._timing("ready", started, ready, phase="ready")
        if any(check.needs_clean for check in self.cell.checks):
            self._clean()
        self._with_faults()
        self.guard.check()
        self._judge()

    def _clean(self) -> None:
        started = self.clock.now()
        numbers = [number for number, _, _ in self.cell.calls]
        shuffled = list(numbers)
        derived_random(self.cell.seed, "order").shuffle(shuffled)
        self.notes.clean.append(self._clean_pass("clean1", "single", numbers, alone=True))
        self.notes.clean.append(self._clean_pass("clean2", "fast", shuffled, alone=False))
        self._timing("clean x 2", started, f"{2 * len(numbers):,} calls for reference", phase="clean")

    def _clean_pass(self, name: str, mode: str, order: Sequence[int], *, alone: bool) -> CleanPass:
        driver = self._driver()
        outcome = driver.begin(self._pass_plan(name, mode, order=order, alone=alone))
        if mode == "single":
            driver.run_single(order)
        else:
            driver.run_fast(order)
        history = record_pass(outcome, [], self.system, self.clock, results=False, root=self.plan.root)
        return CleanPass(history, outcome.before, self.system.observe(), dict(outcome.per_call), tuple(order))

    def _with_faults(self) -> None:
        timeline = Timeline.of(self.scenario.timeline, self.cell.faults(self.cell.seed))
        driver = self._driver()
        outcome = driver.begin(self._pass_plan("faults", "timed", triggers=timeline.triggers()))
        try:
            started = self.clock.now()
            driver.run_faults(timeline, self.cell.load_seconds)
            self._timing("run", started, f"{len(self.cell.calls):,} calls", seconds=outcome.load_ended, phase="run")
            drained = (outcome.quiet_at or outcome.stopped_at or 0.0) - (outcome.healed_at or 0.0)
            self._timing(
                "drain",
                started,
                outcome.note or ("the broker is empty" if outcome.quiet else "not quiet when the time was up"),
                seconds=drained,
                phase="drain",
            )
        except Interrupted:
            self._partial(driver, outcome, timeline, obeys=True)
            raise
        except EnvironmentFault:
            self._partial(driver, outcome, timeline, obeys=False)
            raise
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

    def _partial(self, driver: PassDriver, outcome: PassOutcome, timeline: Timeline, *, obeys: bool) -> None:
        """What can still be read. ``obeys``: no part is known to have failed, so faults are healed and the broker is asked."""
        if obeys:
            with contextlib.suppress(Exception):
                timeline.force_heal(driver.now(), self.system)
        for step in (partial(self.system.stop_workers, 3.0), driver.finish_quietly):
            with contextlib.suppress(Exception):
                step()
        with contextlib.suppress(Exception):
            self.notes.history = self._history(outcome, timeline, look=obeys)

    def _judge(self) -> None:
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
        self.notes.results.extend(judge_all(self.cell.checks, recorded))
        self._timing("check", started, ", ".join(c.name for c in self.cell.checks), phase="check")

    # --- small things -------------------------------------------------------------------------------------------

    def _driver(self) -> PassDriver:
        return PassDriver(self.system, self.scenario, self.clock, self.listener.progress, self.guard.check)

    def _pass_plan(
        self, name: str, mode: str, *, order: Sequence[int] = (), triggers: Sequence[Mapping[str, Any]] = (), alone: bool = False
    ) -> PassPlan:
        return PassPlan(name, self.cell.calls, mode, tuple(order), tuple(triggers), alone)

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


def _write_all(writers: Sequence[Writer], result: RunResult, folder: Path) -> None:
    try:
        for writer in writers:
            writer.write(result, folder)
    except OSError as exc:
        raise EnvironmentFault(f"the report cannot be written: {exc}", hint="is the disk full?") from exc


def _save_plan(cell: Cell, folder: Path) -> Reproduction:
    """The scenario as it was run, matrix and seed filled in: one command repeats it from the same working folder."""
    path = folder / "plans" / f"{cell.name}.yaml"
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(cell.text)
    except OSError as exc:
        raise EnvironmentFault(f"the report cannot be written: {exc}", hint="is the disk full?") from exc
    return Reproduction(title="This run again", command=f"celery-harness run {_shown(path)}")


def _shown(path: Path) -> str:
    """Relative to the working folder where it lies below it."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


def _result(
    system: LiveSystem, cell: Cell, notes: _Notes, run_id: str, wall: float, took: float, runtime: str, replay: Reproduction
) -> RunResult:
    return summarise(
        run_id=run_id,
        scenario=cell.scenario,
        name=cell.name,
        file=_shown(cell.file),
        cell=dict(cell.values),
        plan=cell.text,
        seed=cell.seed,
        started=datetime.fromtimestamp(wall, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        took=took,
        runtime=runtime,
        environment=notes.environment,
        overrides=dict(cell.scenario.system.config),
        timings=notes.timings,
        history=notes.history,
        checks=notes.results,
        clean=[c.history for c in notes.clean],
        semantics=notes.semantics,
        logs=notes.logs,
        undeclared=system.undeclared(),
        reproduce=(replay, Reproduction(title="These reports again", command=f"celery-harness report {run_id}")),
        ignored=sorted({column for check in notes.results for column in check.ignored}),
        interrupted=notes.stop.what if notes.stop else "",
        signal_number=notes.stop.signal_number if notes.stop else 0,
        error=str(notes.error) if notes.error else "",
    )


def _environment_of(system: LiveSystem) -> dict[str, str]:
    try:
        return system.environment()
    except (HarnessError, AttributeError):
        return {}


def _tracebacks(system: LiveSystem) -> list[LogTail]:
    """Each worker's last traceback, else nothing: logs stay beside the report."""
    found = []
    for name, path in system.logs().items():
        with contextlib.suppress(OSError):
            lines = path.read_text(errors="replace").splitlines()
            last = max((i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")), default=None)
            if last is not None:
                found.append(LogTail(process=name, file=f"logs/{path.name}", lines=tuple(lines[last : last + 40])))
    return found


def _drop_clean_journals(folder: Path) -> None:
    for name in ("clean1", "clean2"):
        shutil.rmtree(folder / "journal" / name, ignore_errors=True)


def _source_reader(root: Path) -> Callable[[str], list[str]]:
    def read(path: str) -> list[str]:
        linecache.checkcache()
        full = Path(path) if Path(path).is_absolute() else root / path
        return [line.rstrip("\n") for line in linecache.getlines(str(full))]

    return read
