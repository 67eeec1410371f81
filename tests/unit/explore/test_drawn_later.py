"""What a task draws only after a crash, such as another name for a file that is there: no clean execution shows that it varies."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.explore.confirm import Contradiction
from harness.explore.exploration import FAILS, explore
from harness.explore.rules import Question
from harness.ports.exploring import Node
from tests.unit.explore.simulated import Simulated, State


class Drawing(Simulated):
    """Learns that a row's value varies, where it does between worlds that should be equal. ``odd``: says so of no row of its own."""

    varies = False

    def learn(self, nodes: Sequence[Node]) -> None:
        self.varies |= len({node.image.rows.get("other") for node in nodes}) > 1

    def again(self, node: Node) -> Node:
        image = copy.deepcopy(node.image)
        if self.varies and "other" in image.rows:
            image.rows["other"] = "some value"
        return replace(node, key=image.shape())

    def look(self, later: float = 0.0, kind: str = "") -> Node:
        return self.again(super().look(later, kind))


def _drawing(state: State, delivered: int) -> None:
    if "a" in state.rows:
        state.rows["other"] = uuid.uuid4().hex


def _drawing_and_another(state: State, delivered: int) -> None:
    _drawing(state, delivered)
    if "a" in state.rows:
        state.rows["late"] = delivered > 12


def _explored(simulated: Simulated) -> str:
    return explore(simulated, simulated, Question("shop.pay")).verdict


def test_it_is_found_and_confirmed_by_walks_that_differ_from_one_another() -> None:
    simulated = Drawing((("set", "a", 1), ("set", "b", 1)))
    simulated.wander = _drawing
    assert _explored(simulated) == FAILS and simulated.varies


def test_whatever_else_differs_is_our_error() -> None:
    simulated = Drawing((("set", "a", 1), ("set", "b", 1)))
    simulated.wander = _drawing_and_another
    with pytest.raises(Contradiction):
        _explored(simulated)
