"""What a mechanism of the explorer can do before the app is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

__all__ = ["BeginsEarly", "Calling", "CallsEarly"]

#: What the agent's program `call` is asked, the environment of the process that answers, and the file that takes its output: its answer.
Calling = Callable[[Mapping[str, Any], Mapping[str, str], Path], dict[str, Any]]


@runtime_checkable
class BeginsEarly(Protocol):
    """A mechanism that has something to do before the first world is there."""

    def begin(self) -> None:
        """Start the process, which does not look at the app before `start`. Also twice."""


@runtime_checkable
class CallsEarly(BeginsEarly, Protocol):
    """A mechanism whose process can do what the agent's program `call` does, sooner than a new one."""

    def call(self, request: Mapping[str, Any], environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """In a fork of it. Before `start` alone: nobody inherits the app from it. EnvironmentFault where there is no answer."""
