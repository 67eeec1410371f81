"""Every error that the harness raises on purpose: one tree, and each says what the user can do."""

from __future__ import annotations

from harness.passwords import masked

__all__ = [
    "EnvironmentFault",
    "HarnessError",
    "Interrupted",
    "ScenarioError",
    "TaskRefused",
    "UsageError",
]


class HarnessError(Exception):
    """What happened, where, and what to do about it; no password of a run's is in it.

    ``exit_code`` is the status that the command line ends with when nothing catches the error.
    """

    exit_code = 3

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what := masked(what))
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  {self.hint}" if self.hint else ""
        return f"{place}{self.what}{advice}"


class UsageError(HarnessError):
    """The command line was wrong: nothing was started."""

    exit_code = 2


class ScenarioError(HarnessError):
    """A scenario file, or what it names in the user's application, is wrong: nothing was judged.

    ``where`` is ``file:line:column`` (line and column count from 1).
    """

    exit_code = 2


class TaskRefused(ScenarioError):
    """One task, or one call of it, cannot be explored; others beside it can."""

    @classmethod
    def of(cls, error: ScenarioError) -> TaskRefused:
        """The same, known to be about this task alone."""
        return cls(error.what, where=error.where, hint=error.hint)


class EnvironmentFault(HarnessError):
    """The machine failed us (no server, no port, no disk): never the user's task, never a verdict."""

    exit_code = 3


class Interrupted(HarnessError):
    """SIGINT or SIGTERM: everything is stopped and what is known is reported."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("interrupted: everything was stopped; the report is partial")
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """128 + the signal's number, as shells have it."""
        return 128 + self.signal_number
