"""Deliveries in children of two warm processes, each of which has imported the app for itself: as a worker that is started again does.

Whatever the app draws while it is imported is another thing in a redelivery than in the delivery before it, and so is the order of sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import ScenarioError
from harness.explore.hash_seeds import seeded
from harness.explore.mechanism import EffectStops
from harness.model.exploration import Ending
from harness.ports.exploring import AtStop, Job, Launch

__all__ = ["TwoImports"]

#: With it most small sets of words have another order than with 0: of "order", "paid" and "now", say, with 1 and 2 they have the same.
_ANOTHER = "3"


class TwoImports:
    """See `Mechanism`. What was delivered before goes to the second process, or to the first where the app cannot be imported twice.

    ``imports_anew``: see `ImportsAnew`.
    """

    name = EffectStops.name

    def __init__(self, launch: Launch) -> None:
        self.sampled = ""
        self.imports_anew = False
        self._first = self._last = EffectStops(launch)
        self._second = EffectStops(replace(launch, environment=seeded(launch.environment, _ANOTHER)))

    def begin(self) -> None:
        """See `BeginsEarly`."""
        self._first.begin()
        self._second.begin()

    def call(self, request: Mapping[str, Any], environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """See `CallsEarly`."""
        return self._first.call(request, environment, log)

    def start(self) -> Mapping[str, Any]:
        """See `FromZygote`. `Refused` where the kernel does not do what is needed. One import after the other: they share a world."""
        try:
            self.begin()
            told = self._first.start()
            self._start_second()
        except BaseException:
            self.close()
            raise
        self.sampled = self._first.sampled or self._second.sampled
        return MappingProxyType({**told, "imports_anew": self.imports_anew})

    def _start_second(self) -> None:
        try:
            self._second.start()
            self.imports_anew = True
        except ScenarioError:  # the app holds a file, say, that nobody else may hold: the certificate says so
            self._second.close()

    def modules(self) -> Mapping[str, str]:
        """See `KnowsModules`."""
        return {**self._second.modules(), **self._first.modules()}

    def files(self) -> Sequence[str]:
        """See `KnowsFiles`."""
        return sorted({*self._first.files(), *self._second.files()})

    def publish(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], later: float = 0.0) -> None:
        """See `Mechanism`."""
        self._first.publish(task, args, kwargs, later)

    def deliver(self, job: Job, at_stop: AtStop) -> Ending:
        """See `Mechanism`. What is warm stays where it is."""
        if not job.warm:
            again = self.imports_anew and (job.anew or job.message.redelivered)
            chosen = self._second if again else self._first
            if chosen is not self._last:
                self._last.end_warm()
            self._last = chosen
        return self._last.deliver(job, at_stop)

    def let_go(self) -> None:
        """See `LetsGo`."""
        self._last.let_go()

    def close(self) -> None:
        """See `Mechanism`."""
        self._first.close()
        self._second.close()
