"""One system for several tests: healed and quiet between them, judged after each as far as that goes, and at the end by all checks."""

from __future__ import annotations

from harness.errors import EnvironmentFault, UsageError
from harness.model.finding import CheckResult
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.run.live_run import LiveRun
from harness.testing.configuration import Configuration
from harness.testing.harness import Harness
from harness.testing.workshop import Workshop

__all__ = ["SharedHarness"]


class SharedHarness(Harness):
    """A harness that outlives a verdict. Comparisons with clean runs end a system, so they come when its last test is over.

    A system that showed anything but a pass is not handed on: the next test gets a new one, so that no test pays for another's bug.
    """

    def __init__(self, workshop: Workshop, configuration: Configuration, name: str) -> None:
        super().__init__(workshop, configuration, name)
        self._senders: list[tuple[int, str]] = []  # (calls sent before, test)
        self._judged_steps = 0
        self._last: RunResult | None = None

    def begin_test(self, name: str) -> None:
        """What is sent from now on is this test's."""
        self._senders.append((self._run.calls if self._run is not None else 0, name))

    def after_test(self) -> None:
        """Heal and wait until quiet; only a pass of what can be judged now returns."""
        __tracebackhide__ = True
        run = self._run
        if run is None or len(run.script) == self._judged_steps:
            return
        if run.judges_so_far:
            self.check()
        else:
            self._until_quiet(run)

    def judge(self) -> RunResult:
        """By the checks that need no clean runs, over everything since the system was started. It goes on where that is a pass."""
        run = self.live
        if not run.judges_so_far:
            raise UsageError("every check compares with clean runs, which end the system", hint="they judge when the last test is over")
        try:
            result = run.judge_so_far()
        except EnvironmentFault as exc:
            self.abandon(exc)
            raise
        self._judged_steps, self._last = len(run.script), result
        if result.verdict is not Verdict.PASS:
            self.close()
        return result

    def finish(self) -> None:
        """The last test is over: judge by all checks what this system has seen. Failed names the tests whose calls are concerned."""
        __tracebackhide__ = True
        run = self._run
        if run is None:
            return
        if not run.calls or not run.judges_at_the_end:
            run.result = self._last
            self.close()
            return
        try:
            result = run.finish(self._optional)
            note = self._note(result.checks)
        finally:
            self.close()
        self.demand(result, note)

    def abandon(self, why: BaseException) -> None:
        """The next test gets a new system."""
        super().abandon(why)
        self.result = None

    def close(self) -> None:
        """The next use starts a new one."""
        super().close()
        self._senders = [(0, name) for _, name in self._senders[-1:]]
        self._judged_steps, self._last = 0, None

    def _until_quiet(self, run: LiveRun) -> None:
        run.heal()
        quiet = run.until_quiet()
        self._judged_steps = len(run.script)
        if not quiet:
            self.close()

    def _note(self, checks: tuple[CheckResult, ...]) -> str:
        calls = sorted({call for check in checks for finding in check.findings for call in finding.calls})
        told = [f"call {call}: {self._sender(call)}" for call in calls[:5]]
        return "Judged when the last test was over. " + ("Sent by " + "; ".join(told) if told else "")

    def _sender(self, call: int) -> str:
        return next((name for before, name in reversed(self._senders) if call > before), "an unknown test")
