from __future__ import annotations

from harness.model.world import Collection, Row, StoreState, World, sharing


def world(*rows: Row) -> World:
    return World({"db": StoreState("db", {"t": Collection("t", rows)})})


def test_rows_that_stayed_are_shared_and_nothing_else_changes() -> None:
    before, after = world({"n": 1}, {"n": 2}), world({"n": 1}, {"n": 3}, {"n": 4})
    shared = sharing(after, before)
    assert shared == after
    rows, old = shared.collections()["db.t"].rows, before.collections()["db.t"].rows
    assert rows[0] is old[0]
    assert rows[1] is not old[1]


def test_a_world_that_lost_rows_stays_as_it_is() -> None:
    assert sharing(world({"n": 1}), world({"n": 1}, {"n": 2})) == world({"n": 1})
    assert sharing(world(), world({"n": 1})) == world()
