"""What counts as wrong at the end, where some of it expires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.explore.judge import MAY_FAIL, Judge
from harness.model.exploration import Message, Outcome
from harness.model.world import Collection, StoreState, World
from harness.ports.exploring import Node
from tests.unit.explore.simulated import Simulated

#: key -> (value, seconds that are left)
Keys = Mapping[str, tuple[Any, float]]


class Cache(Simulated):
    """Keys of which each expires."""

    def __init__(self) -> None:
        super().__init__(())

    def node(self, at: float, keys: Keys) -> Node:
        rows = tuple({"key": key, "value": value} for key, (value, _) in keys.items())
        world = World({"cache": StoreState("cache", {"keys": Collection("keys", rows, key=("key",))})})
        return Node(repr(keys), world, (), keys, tuple(left for _, left in keys.values()), at=at)

    def lives(self, node: Node) -> Mapping[tuple[str, str], float]:
        return {("cache.keys", key): left for key, (_, left) in node.image.items()}

    def restore(self, node: Node, wait: float = 0.0) -> float:
        self.moved = self.node(node.at + wait, {key: (value, left - wait) for key, (value, left) in node.image.items() if left > wait})
        return 0.0

    def look(self, later: float = 0.0, kind: str = "") -> Node:
        return self.moved

    def differences(self, expected: Node, found: Node, before: Node, *, whole: bool = False) -> tuple[Mapping[str, Any], ...]:
        worlds = {name: node.image for name, node in (("before", before), ("after", found), ("expected", expected))}
        told = [
            {
                "collection": "cache.keys",
                "row": {"key": key},
                **{name: {"value": w[key][0]} if key in w else None for name, w in worlds.items()},
            }
            for key in {*expected.image, *found.image}
        ]
        return tuple(one for one in told if one["after"] != one["expected"])


CACHE = Cache()
DONE: Keys = {"reset:7": ("open", 3600), "recent:7": (["paid"], 3600)}


@pytest.mark.parametrize(
    ("found", "after", "word"),
    [
        (DONE, 0, None),
        ({"recent:7": (["paid"], 3600)}, 1, "EFFECT"),  # it was never made, although it would not have been there for long
        ({"reset:7": ("open", 3600), "recent:7": (["paid", "paid"], 3600)}, 1, "EFFECT"),
        ({}, 3602, None),  # it has been there, and is over
        ({"recent:7": (["paid"], 3600)}, 3602, None),
        ({**DONE, "lock:7": (1, 60)}, 1, None),
        ({**DONE, "draft:8": (1, 60)}, 1, None),  # a clean execution has one too, for a time
        ({**DONE, "reset:8": ("open", 3600)}, 1, "EFFECT"),
        ({**DONE, "voucher:7": (1, 60)}, 1, "EFFECT"),
        ({**DONE, "released:7": (1, 60)}, 1, "EFFECT"),  # no lease
        ({**DONE, "blocked:7": (1, 60)}, 1, "EFFECT"),  # no lock
        ({**DONE, "redlock:7": (1, 60)}, 1, None),
    ],
)
def test_what_expires_is_forgiven_where_it_has_expired_or_is_held_for_a_while(found: Keys, after: float, word: str | None) -> None:
    goal = CACHE.node(1000, DONE)
    judge = Judge(CACHE, CACHE.node(1000, {}), goal, at_most_once=False, between=[CACHE.node(1000, {**DONE, "draft:7": (1, 60)})])
    fault = judge.judge(CACHE.node(1000 + after, found), [Outcome.SUCCESS], lost=False, killed=True)
    assert (fault and fault.word) == word


def test_at_most_once_lets_a_row_stand_as_it_was_on_the_way() -> None:
    done: Keys = {"sent": (2, 9e9), "state": ("sent", 9e9)}
    between = [CACHE.node(0, {"sent": (1, 9e9), "state": ("sending", 9e9)}), CACHE.node(0, {"sent": (2, 9e9), "state": ("sending", 9e9)})]
    judge = Judge(CACHE, CACHE.node(0, {"state": ("new", 9e9)}), CACHE.node(0, done), at_most_once=True, between=between)
    for found in ({"sent": (1, 9e9), "state": ("sending", 9e9)}, {"sent": (1, 9e9), "state": ("sent", 9e9)}, {"state": ("sending", 9e9)}):
        assert judge.judge(CACHE.node(0, found), [Outcome.KILLED], lost=True, killed=True) is None
    for found in ({"sent": (3, 9e9), "state": ("sending", 9e9)}, {"sent": (1, 9e9), "state": ("lost", 9e9)}):
        fault = judge.judge(CACHE.node(0, found), [Outcome.KILLED], lost=True, killed=True)
        assert fault is not None and fault.word == "EFFECT" and len(fault.differences) == 1


def test_at_most_once_looks_at_more_than_people_read() -> None:
    goal = CACHE.node(0, {f"part:{n}": (1, 1e6) for n in range(20)})
    judge = Judge(CACHE, CACHE.node(0, {}), goal, at_most_once=True)
    assert judge.judge(CACHE.node(1, {}), [], lost=True, killed=True) is None
    fault = judge.judge(CACHE.node(1, {"z": (1, 1e6)}), [], lost=True, killed=True)
    assert fault is not None and [one["row"] for one in fault.differences] == [{"key": "z"}]


@pytest.mark.parametrize(
    ("collection", "counts", "word"),
    [
        ("db.~schema", (0, 1, 0), None),  # made where it is missing, before the work that failed
        ("db.~schema", (1, 0, 1), "PARTIAL"),
        ("files.~permissions", (0, 1, 0), "PARTIAL"),
    ],
)
def test_a_table_that_a_failed_call_has_made_is_no_part_of_its_work(
    collection: str, counts: tuple[int, int, int], word: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    difference = {"collection": collection, "row": {"name": "t"}, **dict(zip(("before", "after", "expected"), counts, strict=True))}
    monkeypatch.setattr(CACHE, "differences", lambda *nodes, whole=False: (difference,))
    judge = Judge(CACHE, CACHE.node(0, {}), CACHE.node(0, {"a": (1, 9)}), at_most_once=False)
    fault = judge.judge(CACHE.node(1, {"b": (1, 9)}), [Outcome.FAILURE], lost=False, killed=True)
    assert (fault and fault.word) == word


@pytest.mark.parametrize(
    ("end", "killed", "word"), [(Outcome.REJECTED, True, "LOST"), (Outcome.REJECTED, False, None), (Outcome.FAILURE, True, None)]
)
def test_a_call_that_is_rejected_undone_is_lost_without_anybody_being_told(end: Outcome, killed: bool, word: str | None) -> None:
    before = CACHE.node(0, {})
    judge = Judge(CACHE, before, CACHE.node(1, DONE), at_most_once=False)
    fault = judge.judge(before, [end], lost=False, killed=killed)
    assert (fault and fault.word) == word
    assert judge.excludes() == ((MAY_FAIL,) if (end, killed) == (Outcome.FAILURE, True) else ())


@pytest.mark.parametrize(
    ("left", "after", "wrong"),
    [
        (43200, 1, True),
        (21600, 1, False),
        (21500, 90, False),
        (21604, 1, False),  # a second more or less is no prolonging
        (43200, 4000, False),  # until midnight, of which another has come
    ],
)
def test_what_expires_may_not_live_longer_than_after_a_clean_execution(left: float, after: float, wrong: bool) -> None:
    first, goal = CACHE.node(1000, {}), CACHE.node(1000, {"vip:7": (1, 21599)})
    held = CACHE.node(1000, {"vip:7": (1, 21600)})
    judge = Judge(CACHE, first, goal, at_most_once=False, between=[held], goals=[CACHE.node(91061, {"vip:7": (1, 21599)})])
    fault = judge.judge(CACHE.node(1000 + after, {"vip:7": (1, left)}), [Outcome.SUCCESS], lost=False, killed=True)
    assert (fault is not None) is wrong
    if fault is not None:
        (told,) = fault.differences
        assert (told["collection"], told["row"], told["after"], told["expected"]) == (
            "cache.~lives",
            {"key": "vip:7"},
            {"left": "12 h"},
            {"left": "6 h"},
        )


def test_what_lives_until_a_moment_of_the_calendar_is_not_prolonged() -> None:
    first, goal = CACHE.node(1000, {}), CACHE.node(1000, {"today:7": (1, 36000)})
    judge = Judge(CACHE, first, goal, at_most_once=False, goals=[CACHE.node(91061, {"today:7": (1, 32339)})])
    assert judge.judge(CACHE.node(4000, {"today:7": (1, 43000)}), [Outcome.SUCCESS], lost=False, killed=True) is None


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("fence", "2", None),
        ("quay:fence:7", "12", None),
        ("quay/fencing_token", "2", None),
        ("page", {"fence": "2", "text": ["a"]}, None),
        ("page", {"fence": "2", "text": ["b"]}, "EFFECT"),
        ("page", {"fence": "2"}, "EFFECT"),
        ("fence", "0", "EFFECT"),  # a fence goes up
        ("fence", "x", "EFFECT"),
        ("fences", "2", "EFFECT"),
        ("fence_price", "2", "EFFECT"),
        ("offence", "2", "EFFECT"),
        ("lease_epoch", "2", None),
        ("token", "2", "EFFECT"),
    ],
)
def test_a_fence_that_is_further_is_no_effect_and_told(key: str, value: Any, word: str | None) -> None:
    goal = CACHE.node(1000, {key: ({"fence": "1", "text": ["a"]} if key == "page" else "1", 1e9)})
    judge = Judge(CACHE, CACHE.node(1000, {}), goal, at_most_once=False)
    fault = judge.judge(CACHE.node(1001, {key: (value, 1e9)}), [Outcome.SUCCESS], lost=False, killed=True)
    assert (fault and fault.word) == word
    assert bool(judge.excludes()) == (word is None)


@pytest.mark.parametrize(("left", "after", "wrong"), [(3600, 1, True), (43100, 100, False), (39000, 4300, False)])
def test_what_a_crash_leaves_may_not_live_for_much_less(left: float, after: float, wrong: bool) -> None:
    """By the time that has gone by since it was made it may."""
    first, goal = CACHE.node(1000, {}), CACHE.node(1000, {"vip:7": (1, 43199)})
    for declared, expected in ((False, wrong), (True, False)):
        judge = Judge(CACHE, first, goal, at_most_once=declared, goals=[CACHE.node(91061, {"vip:7": (1, 43199)})])
        fault = judge.judge(CACHE.node(1000 + after, {"vip:7": (1, left)}), [Outcome.SUCCESS], lost=False, killed=True)
        assert (fault is not None) is expected


@pytest.mark.parametrize(
    ("eta", "after", "n", "wrong"),
    [(0.0, 1, 7, True), (10_800.0, 1, 7, False), (7_200.0, 3_601, 7, False), (0.0, 1, 8, False)],
)
def test_what_is_published_may_not_be_due_long_before(eta: float, after: float, n: int, wrong: bool) -> None:
    def published(at: float, eta: float, n: int) -> Node:
        message = Message("1", "shop.remind", 0, False, eta, {"headers": {"argsrepr": f"({n},)", "kwargsrepr": "{}"}})
        return replace(CACHE.node(at, {}), pending=(message,))

    runs = [[published(1001, 10_799.0, 7), published(1002, 10_798.0, 7)], [published(91_061, 10_799.5, 7)]]
    judge = Judge(CACHE, CACHE.node(1000, {}), CACHE.node(1002, {}), at_most_once=False, runs=runs)
    fault = judge.early(published(1000 + after, eta, n))
    assert (fault.differences[0]["after"] if fault else None) == ({"due": "at once"} if wrong else None)
