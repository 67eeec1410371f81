"""Which mechanism an exploration has: effects where the kernel lets us stop a task at them, lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.explore.line_points import LinePoints
from harness.explore.two_imports import TwoImports
from harness.explore.zygote_client import Refused
from harness.model.exploration import Ending
from harness.ports.exploring import AtStop, Job, Launch, Mechanism

__all__ = ["EffectsOrLines", "mechanism_for"]


def mechanism_for(points: str, launch: Launch) -> Mechanism:
    """``points``: auto, effects or lines."""
    if points == "effects":
        return TwoImports(launch)
    return LinePoints(launch) if points == "lines" else EffectsOrLines(launch)


class EffectsOrLines:
    """See `Mechanism`: that of effects, tried at the start; where it is refused, that of lines.

    What `start` tells has ``points_why`` then: what was refused.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._used: TwoImports | LinePoints = TwoImports(launch)
        self.name, self.sampled = self._used.name, self._used.sampled

    def begin(self) -> None:
        """See `BeginsEarly`."""
        self._used.begin()

    def call(self, request: Mapping[str, Any], environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """See `CallsEarly`."""
        assert isinstance(self._used, TwoImports), "the app is not imported yet"
        return self._used.call(request, environment, log)

    def start(self) -> Mapping[str, Any]:
        """See `Mechanism`."""
        try:
            told = self._used.start()
            self.sampled = self._used.sampled
            return told
        except Refused as refused:
            self._used = LinePoints(self._launch)
            self.name, self.sampled = self._used.name, self._used.sampled
            return MappingProxyType({**self._used.start(), "points_why": refused.why})

    @property
    def imports_anew(self) -> bool:
        """See `ImportsAnew`."""
        return isinstance(self._used, TwoImports) and self._used.imports_anew

    def let_go(self) -> None:
        """See `LetsGo`."""
        self._used.let_go()

    def modules(self) -> Mapping[str, str]:
        """See `KnowsModules`."""
        return self._used.modules()

    def files(self) -> Sequence[str]:
        """See `KnowsFiles`."""
        return self._used.files()

    def publish(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], later: float = 0.0) -> None:
        """See `Mechanism`."""
        self._used.publish(task, args, kwargs, later)

    def deliver(self, job: Job, at_stop: AtStop) -> Ending:
        """See `Mechanism`."""
        return self._used.deliver(job, at_stop)

    def close(self) -> None:
        """See `Mechanism`."""
        self._used.close()
