"""All that is wrong with a scenario file, collected and told at once."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import ScenarioError
from harness.scenario.tree import Place

__all__ = ["Problems", "ScenarioErrors"]


class ScenarioErrors(ScenarioError):
    """Several errors of one scenario. ``errors`` has them in the order of the file; ``where`` is the first one's."""

    def __init__(self, errors: Sequence[ScenarioError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)), where=self.errors[0].where)

    def __str__(self) -> str:
        return self.what


class Problems:
    """Collects errors. The same error at the same place (seen from two matrix cells, say) counts once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place, str], ScenarioError] = {}
        self._settled: set[Place] = set()

    def add(self, place: Place, what: str, hint: str = "", *, settles: bool = False) -> None:
        """One more. ``settles``: whatever else is found wrong there follows from it and is not told."""
        if place not in self._settled:
            self._found.setdefault((place, what), ScenarioError(what, where=str(place), hint=hint))
        if settles:
            self._settled.add(place)

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_any(self) -> None:
        """ScenarioError where there is one, ScenarioErrors where there are several; nothing where there are none."""
        ordered = [self._found[place, what] for place, what in sorted(self._found, key=lambda found: found[0])]
        if len(ordered) == 1:
            raise ordered[0]
        if ordered:
            raise ScenarioErrors(ordered)
