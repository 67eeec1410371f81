"""One app and one first world, explored again and again: each time with other arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.explore.exploration import explore
from harness.explore.rules import Question
from harness.model.exploration import Exploration
from harness.ports.exploring import BeginsAnew, Mechanism, Surroundings

__all__ = ["Ground"]


class Ground:
    """Nothing of one exploration is left to the next: the first world is set back, and what varies is learnt anew.

    ``mechanism`` was started by nobody, and ``surroundings`` were not looked at. Whoever made them closes them.
    """

    def __init__(self, mechanism: Mechanism, surroundings: Surroundings) -> None:
        self._mechanism, self._surroundings = mechanism, surroundings
        self._facts: Mapping[str, Any] | None = None
        self._used = False

    def facts(self) -> Mapping[str, Any]:
        """See `Mechanism.start`."""
        if self._facts is None:
            self._facts = self._mechanism.start()
        return self._facts

    def explore(
        self, question: Question, *, seed: int, say: Callable[[str], None] = lambda text: None, check: Callable[[], None] = lambda: None
    ) -> Exploration:
        """See `harness.explore.exploration.explore`. After any error but a ScenarioError it is of no use any more."""
        if self._facts is None:
            say("importing the app")
        facts, surroundings = self.facts(), self._surroundings
        if self._used:
            assert isinstance(surroundings, BeginsAnew)
            surroundings = surroundings.anew()
        self._used = True
        return explore(self._mechanism, surroundings, question, seed=seed, say=say, check=check, facts=facts)
