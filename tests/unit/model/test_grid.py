from __future__ import annotations

from harness.model.grid import Grid


def test_moments_are_counted_in_their_steps_and_the_very_end_in_the_last() -> None:
    grid = Grid(4, 0.5)
    assert [grid.index(at) for at in (0.0, 0.49, 0.5, 1.99, 2.0)] == [0, 0, 1, 3, 3]
    assert grid.counts([0.1, 0.2, 2.0, None]) == (2, 0, 0, 1)


def test_what_lies_outside_is_left_out() -> None:
    grid = Grid(3)
    assert [grid.index(at) for at in (None, -0.1, 3.1)] == [None] * 3
    assert grid.counts([-0.1, 3.1, 2.9999999999]) == (0, 0, 1)


def test_a_step_begins_where_it_says_in_spite_of_binary_fractions() -> None:
    assert Grid(600, 0.1).index(0.3) == 3  # 0.3 / 0.1 is 2.9999999999999996
