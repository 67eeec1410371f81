"""One task after another in the same system: each finds everything as if it were the first one there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, ScenarioError, TaskRefused
from harness.explore.choosing import mechanism_for
from harness.explore.rules import Question
from harness.model.exploration import Exploration, Flaw
from harness.ports.beginning import BeginsEarly, CallsEarly
from harness.ports.exploring import ExploresHere, Mechanism
from harness.ports.queues import Queues
from harness.ports.store import Store

if TYPE_CHECKING:  # the processes of the app come up while the rest is imported
    from harness.explore.surroundings import Services

__all__ = ["Succession"]


class Succession:
    """Stores and broker are emptied each time; what would come out the same again is not made again.

    That is the process that has imported the app, which runs no task itself, where it would be started with the very same environment; and
    what the user's setup leaves, where that names no time (`Services.successor`).
    """

    def __init__(self, system: ExploresHere, stores: Mapping[str, Store], points: str = "auto") -> None:
        """``system``: open. ``points``: auto, effects or lines. The app's process begins at once, beside whatever the caller does."""
        self._system, self._stores, self._points = system, dict(stores), points
        self._launch = system.zygote()
        self._mechanism: Mechanism | None = mechanism_for(points, self._launch)
        if isinstance(self._mechanism, BeginsEarly):
            self._mechanism.begin()
        self._facts: Mapping[str, Any] | None = None
        self._queues: Mapping[str, Queues] = {}
        self._services: Services | None = None
        self._prepared: HarnessError | bool = False

    def prepare(self) -> None:
        """What the first exploration begins with, beside whatever the caller waits for. If it fails, that one tells of it."""
        assert self._mechanism is not None
        try:
            self._system.begin_exploring(calling=self._mechanism.call if isinstance(self._mechanism, CallsEarly) else None)
            self._facts = self._mechanism.start()
            self._prepared = True
        except HarnessError as exc:
            self._prepared = exc

    def explore(
        self,
        question: Question,
        *,
        seed: int,
        say: Callable[[str], None] = lambda text: None,
        check: Callable[[], None] = lambda: None,
        tell: Callable[[Flaw], None] = lambda flaw: None,
    ) -> Exploration:
        """See `harness.explore.exploration.explore`. TaskRefused where only this one cannot be; after any other error it is of no use."""
        from harness.explore.exploration import explore

        services, mechanism = self._begin()
        if self._facts is None:
            say("importing the app")
            self._facts = mechanism.start()
        try:
            return explore(mechanism, services, question, seed=seed, say=say, check=check, tell=tell, facts=self._facts)
        except ScenarioError as exc:
            self._services = None  # whatever it was in the middle of
            self._end_mechanism()
            raise TaskRefused.of(exc) from exc

    def _begin(self) -> tuple[Services, Mechanism]:
        from harness.explore.proof import Plain
        from harness.explore.surroundings import Services

        if isinstance(self._prepared, HarnessError):
            raise self._prepared
        before, self._services = self._services, None
        self._close_queues()
        lasts = before is not None and before.lasts
        if self._prepared:
            self._prepared = False
        else:
            self._system.begin_exploring(setup=not lasts)
        launch = self._system.zygote()
        if launch != self._launch:
            if lasts:  # rows may have the addresses that were
                lasts = False
                self._system.begin_exploring()
            self._end_mechanism()
            self._launch = launch
        if self._mechanism is None:
            self._mechanism = mechanism_for(self._points, launch)
        self._queues = self._system.queues()
        made = before.successor(self._queues) if before is not None and lasts else None
        self._services = made or Services(self._stores, self._queues, plain=Plain(launch))
        return self._services, self._mechanism

    def _end_mechanism(self) -> None:
        mechanism, self._mechanism, self._facts = self._mechanism, None, None
        if mechanism is not None:
            mechanism.close()

    def _close_queues(self) -> None:
        for one in self._queues.values():
            one.close()
        self._queues = {}

    def close(self) -> None:
        """No process is left; also twice."""
        self._end_mechanism()
        self._close_queues()
