"""Drawn sets of arguments: what is asked again, what counts as the same failure, and the one verdict on all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.explore.clean import NoSuccess
from harness.explore.drawing import Asked, Wants
from harness.explore.exploration import CHANGES_NOTHING, OTHER_ARGUMENTS
from harness.explore.sets import explore_sets
from harness.model.exploration import Coverage, Exploration, Flaw

WANTS = Wants("shop:app", "shop.pay", "shop.testing:orders", {}, "", 3, 7)


def found(
    args: Sequence[Any], verdict: str = "certified", *, word: str = "EFFECT", where: str = "db.payments", doubt: str = ""
) -> Exploration:
    flaw = Flaw(word, f"{word} {args}", (), (), (), ({"collection": where},), "")
    return Exploration(
        task="shop.pay",
        args=list(args),
        kwargs={},
        verdict=verdict,
        headline="It ends as one clean execution does.",
        coverage=Coverage(
            5, 8, 20, 1, excluded=(OTHER_ARGUMENTS, "power loss"), covered=("5 worlds, by", "these arguments and first rows")
        ),
        flaws=(flaw,) if verdict == "fails" else (),
        doubts=(doubt,) if doubt else (),
        seconds=1.0,
        proof=f"proof of {args}",
    )


@dataclass
class Drawn:
    """Asks for these numbers in turn, until it is told that it is enough. ``answers``: what it was told."""

    numbers: Sequence[int]
    answers: list[str] = field(default_factory=list)

    def draw(self, wants: Wants, ask: Asked, check: Callable[[], None]) -> None:
        for number in self.numbers:
            self.answers.append(ask([number], {}, None))
            if self.answers[-1] == "enough":
                return


@dataclass
class Explored:
    """``judge``: what becomes of a number. ``calls``: (number, quick) as they were asked for."""

    judge: Callable[[int], Exploration]
    calls: list[tuple[int, bool]] = field(default_factory=list)

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any], rows: Any, say: Callable[[str], None], quick: bool) -> Exploration:
        self.calls.append((args[0], quick))
        return self.judge(args[0])


def broken_above(limit: int) -> Callable[[int], Exploration]:
    return lambda number: found([number], "fails" if number > limit else "certified")


def test_the_last_set_that_fails_is_told_with_all_its_ways_to_fail() -> None:
    drawn, explored = Drawn([0, 500, 200, 50, 101, 100, 101]), Explored(broken_above(100))
    result = explore_sets(drawn, WANTS, explored)
    assert drawn.answers == ["passes", "fails", "fails", "passes", "fails", "passes", "fails"]
    assert (result.verdict, result.args) == ("fails", [101])
    assert explored.calls == [(0, False), (500, False), (200, True), (50, True), (101, True), (100, True), (101, False)]
    assert result.drawn is not None
    assert [(one.args, one.verdict) for one in result.drawn.sets] == [([0], "certified"), ([500], "fails")]
    assert (result.drawn.smaller, result.drawn.bounded) == (4, False)


def test_another_failure_is_not_a_smaller_one() -> None:
    def judge(number: int) -> Exploration:
        return found([number], "fails", word="EFFECT" if number > 100 else "LEAK", where="db.payments" if number > 50 else "cache.keys")

    drawn = Drawn([500, 70, 20, 101])
    result = explore_sets(drawn, WANTS, Explored(judge))
    assert drawn.answers == ["fails", "passes", "passes", "fails"]
    assert result.args == [101]


def test_making_it_smaller_ends_at_its_bound() -> None:
    drawn = Drawn(range(1000, 900, -1))
    result = explore_sets(drawn, WANTS, Explored(broken_above(100)))
    assert drawn.answers == ["fails"] * 61 + ["passes"] * 39
    assert result.args == [940] and result.drawn is not None and (result.drawn.smaller, result.drawn.bounded) == (60, True)


def test_all_sets_are_certified_together() -> None:
    drawn, explored = Drawn([1, 2, 1, 3]), Explored(broken_above(100))
    result = explore_sets(drawn, WANTS, explored)
    assert [number for number, _ in explored.calls] == [1, 2, 3]
    assert result.verdict == "certified"
    assert result.headline == (
        "It ends as one clean execution does, with each of 3 sets of arguments, drawn from shop.testing:orders with seed 7."
    )
    assert result.coverage.worlds == 15
    assert result.coverage.excluded == ("arguments other than these 3, and other first rows", "power loss")
    assert result.coverage.covered == (
        "15 worlds over all sets, by",
        "each of 3 sets of arguments, drawn from shop.testing:orders with seed 7",
    )
    again = explore_sets(Drawn([3, 1, 2]), WANTS, Explored(broken_above(100)))
    assert again.proof == result.proof
    assert explore_sets(Drawn([1, 2]), WANTS, Explored(broken_above(100))).proof != result.proof


def raising(number: int) -> Exploration:
    raise NoSuccess(f"shop.pay fails without any crash: ValueError: no order {number}\nTraceback", where="shop.py:7")


def test_a_set_with_which_the_task_fails_by_itself_says_nothing() -> None:
    drawn = Drawn([-1, 1, 2])
    result = explore_sets(drawn, WANTS, Explored(lambda number: raising(number) if number < 0 else found([number])))
    assert drawn.answers == ["nothing", "passes", "passes"]
    assert result.verdict == "certified" and "with each of 2 sets" in result.headline
    assert result.coverage.excluded[-1].startswith("1 of the sets that were drawn, which say nothing: shop.pay fails without any crash")


def test_more_than_half_that_say_nothing_are_inconclusive() -> None:
    drawn = Drawn([1, -1, -2, -3, -4, -5])
    unchanged = Explored(lambda number: found([number], "inconclusive", doubt=CHANGES_NOTHING) if number < 0 else found([number]))
    result = explore_sets(drawn, WANTS, unchanged)
    assert drawn.answers == ["passes", "nothing", "nothing", "nothing", "enough"]
    assert (result.verdict, result.proof) == ("inconclusive", "")
    assert result.doubts == (f"4 of 5 sets say nothing, more than half: {CHANGES_NOTHING}",)


def test_a_task_that_fails_with_each_set_is_refused_with_its_traceback() -> None:
    with pytest.raises(ScenarioError) as caught:
        explore_sets(Drawn([-1, -2]), WANTS, Explored(raising))
    assert caught.value.where == "shop.py:7"
    assert caught.value.what == (
        "shop.pay fails without any crash: ValueError: no order -1; so it is with each of the 2 sets of arguments that was drawn\nTraceback"
    )


def test_one_that_is_inconclusive_leaves_all_undecided_and_a_failure_goes_first() -> None:
    def judge(number: int) -> Exploration:
        return found([number], "fails") if number > 100 else found([number], "inconclusive", doubt="the bound of 60 s left out 3")

    undecided = explore_sets(Drawn([1]), WANTS, Explored(judge))
    assert (undecided.verdict, undecided.doubts) == ("inconclusive", ("with (1): the bound of 60 s left out 3",))
    assert explore_sets(Drawn([1, 101]), WANTS, Explored(judge)).verdict == "fails"
