"""From a verdict to what a test runner understands: nothing, a failed assertion, or an error of the environment."""

from __future__ import annotations

from pathlib import Path

from harness.errors import EnvironmentFault
from harness.model.exploration import Exploration
from harness.model.result import RunResult
from harness.model.verdict import Verdict

__all__ = ["Breaks", "Failed", "Inconclusive", "Terminated", "TooLate", "Undecided", "Unstable", "demand_pass"]


class Failed(AssertionError):
    """A check failed. The text is the story: what happened, in which line, how to repeat it."""

    def __init__(self, result: RunResult, text: str) -> None:
        super().__init__(text)
        self.result = result


class Inconclusive(AssertionError):
    """Too little evidence. A test that could not judge is no test that passed."""

    def __init__(self, result: RunResult, text: str) -> None:
        super().__init__(text)
        self.result = result


class Breaks(AssertionError):
    """A crash breaks the task. The text is the story: what was killed, in which line, what differs, how to see it again."""

    def __init__(self, exploration: Exploration, text: str) -> None:
        super().__init__(text)
        self.exploration = exploration


class Undecided(AssertionError):
    """Whether a crash breaks the task could not be told. A test that could not tell is no test that passed."""

    def __init__(self, exploration: Exploration, text: str) -> None:
        super().__init__(text)
        self.exploration = exploration


class TooLate(AssertionError):
    """What a test waited for did not happen within its time."""


class Terminated(KeyboardInterrupt):
    """SIGTERM. No Exception: nobody may take it for a failed test, and Hypothesis must not try to make it smaller."""

    status = 143


class Unstable(AssertionError):
    """The same plan failed once and not the next time: both results are at hand, neither is hidden."""

    def __init__(self, failed: RunResult, again: RunResult, text: str) -> None:
        super().__init__(text)
        self.failed, self.again = failed, again


def demand_pass(result: RunResult, *, folder: Path | None = None, root: Path | None = None, note: str = "") -> RunResult:
    """The result, where its verdict is pass. Else Failed, Inconclusive or EnvironmentFault.

    ``folder``: of its report. ``root``: where the command that replays it must be given, if not here. ``note``: a line of the asker's own.
    """
    __tracebackhide__ = True
    from harness.testing.wording import environment_hint, failure_text, inconclusive_text

    if result.verdict is Verdict.FAIL:
        raise Failed(result, failure_text(result, folder=folder, root=root, note=note))
    if result.verdict is Verdict.ENVIRONMENT:
        raise EnvironmentFault(result.error or "the environment failed", hint=environment_hint(result, folder))
    if result.verdict is not Verdict.PASS:
        raise Inconclusive(result, inconclusive_text(result, folder=folder, root=root, note=note))
    return result
