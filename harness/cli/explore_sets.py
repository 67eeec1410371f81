"""An item whose arguments or first rows are drawn: one system, one process that draws, and set after set in the same app."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.cli.explore_items import question_of
from harness.errors import UsageError
from harness.explore.drawing import Drawer, Wants
from harness.explore.exploration import resolve_task
from harness.explore.ground import Ground
from harness.explore.sets import explore_sets
from harness.model.scenario import ExploreItem
from harness.ports.exploring import ExploresHere, Mechanism, Surroundings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.cli.explore_system import Witness
    from harness.model.exploration import Exploration
    from harness.scenario import LoadedScenario

__all__ = ["explore_drawn"]

#: Mechanism and surroundings in a first world that `setup` has made of these values: what it is called with.
Parts = Callable[..., "AbstractContextManager[tuple[Mechanism, Surroundings]]"]


def explore_drawn(
    loaded: LoadedScenario,
    item: ExploreItem,
    system: ExploresHere,
    parts: Parts,
    *,
    say: Callable[[str], None],
    check: Callable[[], None],
    witness: Witness | None = None,
) -> Exploration:
    """The verdict on all sets of one item. ``parts``: makes a first world, from no value or the drawn one."""
    if witness and item.rows is not None:
        hint = "write `setup` without an argument, and no `rows`"
        raise UsageError(f"{item.task} has no certificate: its first rows are drawn", hint=hint)
    scenario = loaded.scenario
    wants = Wants(
        scenario.system.app,
        item.task,
        item.args,
        item.kwargs,
        item.rows or "",
        item.examples,
        scenario.seed,
    )
    made = _Grounds(system, parts, drawn_rows=bool(wants.rows), witness=witness)
    with closing(Drawer(system.drawer())) as drawer, closing(made) as grounds:
        drawer.start()  # it imports the app while the first world is made
        if not wants.rows:
            wants = replace(wants, task=resolve_task(item.task, grounds.of(None).facts().get("tasks") or {}))

        def one(args: Sequence[Any], kwargs: Mapping[str, Any], rows: Any, say: Callable[[str], None], quick: bool) -> Exploration:
            question = replace(question_of(item, loaded), args=tuple(args), kwargs=dict(kwargs))
            if quick:
                question = replace(question, limits=replace(question.limits, flaws=1, replays=0))
            return grounds.of(rows).explore(question, seed=scenario.seed, say=say, check=check)

        found = explore_sets(drawer, wants, one, say=say, check=check)
        grounds.ended(drawer.modules)
        return found


class _Grounds:
    """One at a time: other rows are another first world, for which the app is imported anew."""

    def __init__(self, system: ExploresHere, parts: Parts, *, drawn_rows: bool, witness: Witness | None) -> None:
        self._system, self._parts, self._drawn_rows, self._witness = system, parts, drawn_rows, witness
        self._stack = ExitStack()
        self._rows: str | None = None
        self._ground: Ground | None = None
        self._mechanism: Mechanism | None = None

    def of(self, rows: Any) -> Ground:
        """With these rows, where rows are drawn."""
        text = json.dumps(rows, sort_keys=True)
        if self._ground is None or text != self._rows:
            self.close()
            self._stack = ExitStack()
            given = (rows,) if self._drawn_rows else ()
            self._mechanism, surroundings = self._stack.enter_context(self._parts(*given))
            if self._witness:
                self._witness.begun(self._system)
            self._ground, self._rows = Ground(self._mechanism, surroundings), text
        return self._ground

    def ended(self, drew: Sequence[str]) -> None:
        """A verdict was found. ``drew``: see `Witness`."""
        if self._witness and self._mechanism is not None:
            self._witness.ended(self._mechanism, drew)

    def close(self) -> None:
        """Also twice."""
        self._ground = None
        self._stack.close()
