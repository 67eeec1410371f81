"""A check: a pure function of what a run recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from harness.model.finding import CheckResult
from harness.model.history import History
from harness.model.readings import Readings
from harness.model.scenario import Scenario
from harness.model.world import World

__all__ = ["Check", "CheckParameters", "CleanPass", "Recorded"]


class CheckParameters(BaseModel):
    """Base of every check's own keys: unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class CleanPass:
    """One reference pass without faults.

    ``per_call``: in the first pass, calls are run one at a time and the world is observed after each, so the effects of
    each call are known exactly: call number -> world after it. Empty in the second, which runs them in another order
    and concurrency.
    """

    history: History
    before: World
    after: World
    per_call: Mapping[int, World] = field(default_factory=dict)
    order: tuple[int, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """All that a check may look at. Nothing here talks to a broker."""

    scenario: Scenario
    history: History
    semantics: Mapping[str, Any]  # the broker's, see BrokerKind.semantics
    clean: tuple[CleanPass, ...] = ()
    before: World | None = None
    after: World | None = None
    source: Callable[[str], list[str]] = field(default=lambda path: [])  # file -> its lines as they were during the run

    @cached_property
    def readings(self) -> Readings:
        """What more than one check wants to know of the history."""
        return Readings(self.history, self.semantics)


class Check(Protocol):
    """One judge. ``needs_clean``: wants the two reference passes and the worlds."""

    name: ClassVar[str]
    question: ClassVar[str]
    summary: ClassVar[str]
    Parameters: ClassVar[type[Any]]  # a pydantic model: CheckParameters, or a RootModel where the check takes a mapping
    needs_clean: ClassVar[bool]

    def __init__(self, parameters: Any) -> None: ...

    def judge(self, recorded: Recorded) -> CheckResult:
        """Verdict, findings, numbers. An exception is inconclusive, never a pass (the runner sees to it)."""
