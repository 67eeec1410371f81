"""The map of stops: which world a crash of the first delivery leaves, and how that ends by itself."""

from __future__ import annotations

from tests.unit.explore.test_exploration import explored


def drawn(*program: object) -> list[tuple[int, int, int, str]]:
    return [(wake.first, wake.last, wake.world, wake.ends) for wake in explored(program).wakes]  # type: ignore[arg-type]


def test_a_crash_between_two_effects_ends_wrong_and_no_other_does() -> None:
    assert drawn(("post", "plain-7"), ("set", "order", "paid")) == [(1, 1, 1, "same"), (2, 2, 2, "EFFECT"), (3, 3, 3, "EFFECT")]


def test_a_right_task_ends_well_from_everywhere() -> None:
    wakes = explored((("post", "order-7"), ("set", "order", "paid"))).wakes
    assert {wake.ends for wake in wakes} == {"same"} and [wake.first for wake in wakes] == [1, 2, 3]
    assert [wake.changed for wake in wakes] == [0, 1, 2]


def test_equal_worlds_have_one_number_and_stops_that_leave_it_stand_together() -> None:
    assert drawn(("set", "order", "paid"), ("set", "order", "paid"), ("set", "order", "new"), ("set", "order", "paid")) == [
        (1, 1, 1, "same"),
        (2, 3, 2, "same"),
        (4, 4, 3, "same"),
        (5, 5, 2, "same"),
    ]
