"""One task after another in the same system: each finds everything as if it were the first one there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.explore.choosing import mechanism_for
from harness.explore.exploration import explore
from harness.explore.proof import Plain
from harness.explore.rules import Question
from harness.explore.surroundings import Services
from harness.model.exploration import Exploration, Flaw
from harness.ports.exploring import BeginsEarly, ExploresHere, Mechanism
from harness.ports.queues import Queues
from harness.ports.store import Store

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

    def explore(
        self,
        question: Question,
        *,
        seed: int,
        say: Callable[[str], None] = lambda text: None,
        check: Callable[[], None] = lambda: None,
        tell: Callable[[Flaw], None] = lambda flaw: None,
    ) -> Exploration:
        """See `harness.explore.exploration.explore`. After an error it is of no use any more."""
        services, mechanism = self._begin()
        if self._facts is None:
            say("importing the app")
            self._facts = mechanism.start()
        return explore(mechanism, services, question, seed=seed, say=say, check=check, tell=tell, facts=self._facts)

    def _begin(self) -> tuple[Services, Mechanism]:
        before, self._services = self._services, None
        self._close_queues()
        lasts = before is not None and before.lasts
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
