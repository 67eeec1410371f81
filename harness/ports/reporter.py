"""Reporters: the run emits, they consume; the run never knows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from harness.model.result import RunResult

__all__ = ["Listener", "NoListener", "Phase", "Progress", "Writer"]

Phase = Literal["ready", "clean", "run", "fault", "healed", "drain", "observe", "stop", "check", "note"]


class Progress(BaseModel):
    """One thing that happened, for people who watch. ``at``: seconds since the load began, where that has a meaning."""

    model_config = ConfigDict(frozen=True)

    phase: Phase
    text: str
    at: float | None = None
    took: float | None = None
    done: int | None = None
    total: int | None = None
    detail: dict[str, Any] = {}


class Listener(Protocol):
    """Live progress: console, JSON lines."""

    def begun(self, title: str, environment: str) -> None:
        """A scenario cell begins; `environment` is the second line: runtime, broker, workers, seed."""

    def progress(self, event: Progress) -> None:
        """Something happened."""

    def finished(self, result: RunResult, folder: Path) -> None:
        """The verdict is known and the report is written."""


class NoListener:
    """Says nothing."""

    def begun(self, title: str, environment: str) -> None:
        """Nothing."""

    def progress(self, event: Progress) -> None:
        """Nothing."""

    def finished(self, result: RunResult, folder: Path) -> None:
        """Nothing."""


class Writer(Protocol):
    """Turns a result into one file of the report."""

    name: ClassVar[str]  # json, junit, html, markdown
    filename: ClassVar[str]

    def write(self, result: RunResult, folder: Path) -> Path:
        """Write the file into the run's folder (atomically) and return its path."""
