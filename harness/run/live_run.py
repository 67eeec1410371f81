"""A run that is steered from outside: calls and faults are made as a test asks for them, and judged as those of a scenario are.

Afterwards it is a scenario with a `schedule:`; the clean passes for reference are made of the calls that there were.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault, HarnessError, UsageError
from harness.model.history import FaultRecord, History
from harness.model.result import RunResult, Timing
from harness.model.scenario import LoadItem, TimelineItem
from harness.model.verdict import Verdict
from harness.ports.check import CleanPass
from harness.ports.clock import Clock
from harness.ports.fault import Fault
from harness.ports.reporter import Listener, Writer
from harness.ports.runtime import Runtime
from harness.run.course import Cell, Course, Notes
from harness.run.live import LiveState
from harness.run.outcome import PassOutcome
from harness.run.passes import PassDriver
from harness.run.questions import Questions
from harness.run.record import record_pass
from harness.run.runner import close_system, report
from harness.run.script import fault_name, pinned, ran_again, validated
from harness.run.signals import signals_wait
from harness.run.steps import Steps
from harness.run.timeline import Timeline

__all__ = ["LiveRun"]

_TURN = 0.005
#: What passes between two steps without a word is written down from this on, so that a replay has it too.
_LEAST_PAUSE = 0.1


class _NoGuard:
    def check(self) -> None:
        """Whoever steers it gets the signals."""


class LiveRun:
    """One run. `open`, then any of `send`, `fault`, `heal`, `wait`, then `finish`; `close` at any moment, also twice.

    ``draft``: the cell without load and timeline. ``settled``: the text of a scenario -> its cell, as the loader reads it.
    ``clean``: passes for reference of the very same calls; [] takes them in. A thread of its own takes in what happens between
    two steps: ends of processes are noted when they happen.
    """

    def __init__(
        self,
        draft: Cell,
        runtime: Runtime,
        settled: Callable[[Mapping[str, Any]], Cell],
        *,
        run_id: str,
        folder: Path,
        clock: Clock,
        listener: Listener,
        writers: Sequence[Writer],
        clean: list[CleanPass] | None = None,
    ) -> None:
        self.run_id, self.folder, self.clock = run_id, folder, clock
        self.script: list[dict[str, Any]] = []  # the steps, as a file has them
        self.tasks: list[str] = []  # registered in the app
        self.result: RunResult | None = None
        self._cell, self._settled, self._writers, self._runtime = draft, settled, writers, runtime.name
        self._begun, self._wall = clock.now(), clock.wall()
        plan = draft.system(run_id, folder)
        self._notes = Notes(semantics=plan.broker.semantics, clean=[] if clean is None else clean)
        self.system = runtime.system(plan)
        self._course = Course(draft, self.system, plan, clock, listener, _NoGuard(), self._notes, runtime.name)
        self._lock = threading.RLock()
        self._over, self._gone = threading.Event(), threading.Event()
        self._pump = threading.Thread(target=self._turn, name="live-run", daemon=True)
        self._trouble: BaseException | None = None
        self._calls = 0
        self._last_step = 0.0
        self._closed = False
        self._driver: PassDriver | None = None
        self._outcome: PassOutcome | None = None
        self._timeline = Timeline([], by_hand=True)

    # --- beginning ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Everything started and ready. ScenarioError for an app that does not import, EnvironmentFault for what does not start."""
        answer = self._course.open()
        self.tasks = [name for name in answer.get("tasks", []) if not name.startswith("celery.")]
        self._questions = Questions(self.system.examine, self._cell.scenario.system.app, self.tasks)
        self._questions.prepare()
        self._driver = self._course.driver()
        self._outcome = self._driver.begin(self._course.pass_plan("faults", "live"))
        self._steps = Steps(self._driver, self._timeline, self._cell.scenario.drain.timeout)
        self._steps.begin()
        self._last_step = self._driver.now()
        self._pump.start()

    @property
    def live(self) -> LiveState:
        """What is known of the system this moment."""
        assert self._driver is not None
        return self._driver.live

    @property
    def calls(self) -> int:
        """So many were made."""
        return self._calls

    # --- steps --------------------------------------------------------------------------------------------------

    def send(self, call: Mapping[str, Any]) -> int:
        """One call (keys as a step of a schedule has them); its number. UsageError for a task that is not registered, or cannot be
        called so: then nothing was published.
        """
        item = validated(LoadItem, {"count": 1, **call})
        self._refuse_if_over()
        self._questions.refuse_call(item)
        with self._stepping():
            self._calls += 1
            self.script.append(dict(call))
            self._steps.send(self._calls, item.model_dump(mode="json", by_alias=True))
            return self._calls

    def fault(self, planned: Mapping[str, Any], fault: Fault) -> int:
        """Begin it, or arm it (keys as a step of a schedule has them, `as` aside); its number, for `heal`. UsageError for a point that no
        task reaches: then nothing was begun.
        """
        begins = {} if "when" in planned else {"at": 0}
        item = validated(TimelineItem, {**planned, **begins})
        self._refuse_if_over()
        if item.when is not None:
            self._questions.refuse_trigger(item.when.task, item.when.reaches)
        with self._stepping():
            made = self._steps.fault(item, fault)
            index = made.record.index
            self.script.append({**planned, "as": fault_name(index)})
            if made.record.note and made.record.begun is None and made.state == "ended":
                raise UsageError(f"{made.record.name}: {made.record.note}")
            return index

    def heal(self, index: int | None = None) -> None:
        """One fault, or all; over once it was probed."""
        with self._stepping():
            self.script.append({"heal": "all" if index is None else fault_name(index)})
            self._steps.heal(range(len(self._timeline.planned)) if index is None else [index])

    def wait(self, seconds: float) -> None:
        """Let it go on."""
        with self._stepping():
            self.script.append({"wait": f"{seconds:g}s"})
            self._steps.pause(seconds)

    def until_quiet(self, seconds: float | None = None) -> bool:
        """Until nothing is left to do; False where that took longer than ``seconds`` (none: the drain's)."""
        with self._stepping():
            self.script.append({"wait": "quiet"})
            return self._steps.until_quiet(seconds)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Until something that `live` tells; what a replay waits is the time that it took."""
        with self._stepping(pauses=False):
            return self._steps.until(condition, seconds)

    def began(self, index: int) -> bool:
        """Has this fault begun, or its trigger struck?"""
        with self._lock:
            return self._timeline.planned[index].record.begun is not None

    def faults_on(self) -> list[str]:
        """'worker.kill of pay-1', of every fault that has begun and is not healed."""
        with self._lock:
            on = [p.record for p in self._timeline.planned if p.state in ("active", "healing")]
            return [f"{record.name} of {record.target}" if record.target else record.name for record in on]

    def _refuse_if_over(self) -> None:
        if self._over.is_set() or self._driver is None:
            raise UsageError("this run is over, or has not begun")

    @contextlib.contextmanager
    def _stepping(self, *, pauses: bool = True) -> Iterator[None]:
        """Alone with the system, and with what went wrong meanwhile raised."""
        with self._lock:
            self._refuse_if_over()
            assert self._driver is not None
            self._raise_trouble()
            passed = self._driver.now() - self._last_step
            if pauses and passed >= _LEAST_PAUSE:
                self.script.append({"wait": f"{passed:.2f}s"})
            try:
                yield
            except EnvironmentFault as exc:
                self._trouble = exc  # whatever comes next cannot be trusted, and is not waited for
                raise
            if pauses:
                self._last_step = self._driver.now()

    def _turn(self) -> None:
        """Ends with the system and not before: the kernel ends a process with the thread that started it (PR_SET_PDEATHSIG)."""
        while not self._over.wait(_TURN) and self._trouble is None:
            with self._lock:
                if not self._over.is_set():
                    try:
                        self._steps.tick(0.0)
                    except BaseException as exc:
                        self._trouble = exc
        self._gone.wait()

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    # --- the end ------------------------------------------------------------------------------------------------

    def history(self) -> History:
        """What is recorded so far; nobody is asked, so what the broker holds is not in it."""
        with self._lock:
            if self._notes.history is not None:
                return self._notes.history
            assert self._outcome is not None
            return record_pass(self._outcome, self._records(), self.system, self.clock, results=False, root=self._root, look=False)

    def judge_so_far(self) -> RunResult:
        """Heal, wait until quiet, and judge by the checks that need no clean passes; the run goes on.

        Its report is written each time anew. EnvironmentFault where a part failed.
        """
        self.heal()
        quiet = self.until_quiet()
        with self._stepping(pauses=False):
            assert self._outcome is not None
            now = self._steps.driver.now()
            so_far = replace(self._outcome, load_ended=now, healed_at=now, quiet_at=now if quiet else None, quiet=quiet)
            history = record_pass(so_far, self._records(), self.system, self.clock, results=True, root=self._root)
            self._timeline.settle(history)
            cell = self._as_scenario(history)
            cell = replace(cell, checks=[check for check in cell.checks if not check.needs_clean])
            notes = Notes(environment=dict(self._notes.environment), history=history, semantics=self._notes.semantics)
            course = Course(cell, self.system, self._course.plan, self.clock, self._course.listener, _NoGuard(), notes, self._runtime)
            course.before, course.after = so_far.before, self.system.observe()
            course.judge()
            return self._reported(cell, notes, keep=True)

    @property
    def judges_so_far(self) -> bool:
        """Has it a check that needs no clean passes?"""
        return any(not check.needs_clean for check in self._cell.checks)

    @property
    def judges_at_the_end(self) -> bool:
        """Has it a check that needs clean passes, which end it?"""
        return any(check.needs_clean for check in self._cell.checks)

    @property
    def _root(self) -> Path:
        return self._course.plan.root

    def _records(self) -> list[FaultRecord]:
        return [p.record for p in self._timeline.planned]

    def finish(self, optional: Collection[str] = ()) -> RunResult:
        """Heal, drain, stop, clean passes, judge, report; everything is stopped and gone.

        ``optional``: checks that count where calls ran again and have effects to compare, and are left out elsewhere. An environment
        that fails ends in a result with that verdict, as it does for a scenario.
        """
        if self.result is not None:
            return self.result
        try:
            self._end(optional)
            self.system.came_to_its_end()
        except HarnessError as exc:
            if not isinstance(exc, EnvironmentFault):
                raise
            self._notes.error = exc
        finally:
            self.close()
        self.result = self._reported(self._cell, self._notes, keep=False)
        self._course.listener.finished(self.result, self.folder)
        return self.result

    def abandon(self, why: str = "", error: HarnessError | None = None) -> RunResult | None:
        """Stop it without judging it, and report what is recorded. ``why``, in words, or the ``error`` that made it useless.

        None where it was not begun, or where nothing can be written.
        """
        if self.result is not None or self._closed:
            return self.result
        self._over.set()
        self._notes.error = error
        with self._lock, contextlib.suppress(HarnessError):
            if self._driver is not None and self._driver.outcome is not None:
                self._course.partial(self._driver, self._driver.outcome, self._timeline, obeys=error is None, grace=0.0)
                self._become_scenario()
        self.close()
        self._notes.timings.append(Timing(name="abandoned", seconds=self.clock.now() - self._begun, text=why or str(error)))
        with contextlib.suppress(HarnessError):
            self.result = self._reported(self._cell, self._notes, keep=False)
        return self.result

    def _reported(self, cell: Cell, notes: Notes, *, keep: bool) -> RunResult:
        took = self.clock.now() - self._begun
        return report(self.system, cell, notes, self.run_id, self.folder, self._wall, took, self._runtime, self._writers, keep=keep)

    def _end(self, optional: Collection[str]) -> None:
        assert self._driver is not None and self._outcome is not None
        with self._lock:
            self._over.set()
            try:
                self._raise_trouble()
                self._steps.finish()
            except EnvironmentFault:
                self._course.partial(self._driver, self._outcome, self._timeline, obeys=False)
                self._become_scenario()
                raise
            self._course.look(self._outcome, self._timeline)
            self._become_scenario()
        assert self._notes.history is not None
        if not ran_again(self._notes.history):
            self._leave_out(optional)
        self._compare(optional)

    def _compare(self, optional: Collection[str]) -> None:
        """Judge, with passes for reference where a check needs them: those at hand are believed when they agree, and no further."""
        if not self._calls or not any(check.needs_clean for check in self._cell.checks):
            self._course.judge()
            return
        if self._notes.clean:
            self._course.judge()
            if all(result.verdict is Verdict.PASS for result in self._notes.results):
                return
            self._notes.results.clear()
            self._notes.clean.clear()
        self._course.clean()
        if all(seen.before == seen.after for seen in self._notes.clean):
            self._leave_out(optional)
        self._course.judge()

    def _leave_out(self, names: Collection[str]) -> None:
        """Checks that nobody asked for, and that would only say that there is nothing to compare."""
        checks = [check for check in self._cell.checks if not (check.name in names and check.needs_clean)]
        self._cell = self._course.cell = replace(self._cell, checks=checks)

    def _become_scenario(self) -> None:
        """From here on it is one that was read from a file."""
        self._cell = self._course.cell = self._as_scenario(self._notes.history)

    def _as_scenario(self, history: History | None) -> Cell:
        if not self._calls:
            return self._cell
        return replace(self._settled({"schedule": pinned(self.script, self._records(), history)}), system=self._cell.system)

    def close(self) -> None:
        """Stop and remove everything; nothing is judged."""
        self._over.set()
        if self._closed:
            return
        with signals_wait():
            self._closed = True
            alone = self._lock.acquire(timeout=10.0)  # the thread may be in the middle of its turn
            try:
                close_system(self.system, self._notes)
            finally:
                if alone:
                    self._lock.release()
                self._gone.set()
        if self._pump.ident is not None:
            self._pump.join(timeout=10.0)
