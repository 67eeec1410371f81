"""Worlds of real workers against what was foreseen."""

from __future__ import annotations

from typing import Any

from harness.explore.foreseen import ForeseenEnd, _normal
from harness.model.history import Evidence, FaultRecord, History
from harness.model.replaying import Foreseen
from harness.model.scenario import Scenario
from harness.model.verdict import Verdict
from harness.model.world import Collection, StoreState, World
from harness.ports.check import CleanPass, Recorded


def world(*rows: dict[str, Any]) -> World:
    return World({"api": StoreState("api", {"requests": Collection("requests", rows)})})


def charge(token: str) -> dict[str, Any]:
    return {"path": "/charges", "cents": 900, "token": token}


_TWICE = {
    "collection": "api.requests",
    "row": {"path": "/charges", "cents": 900, "token": "0f8fad5b-d9cb-469f-a165-70867728950e"},
    "before": 0,
    "after": 2,
    "expected": 1,
}


def judged(after: World, *differences: dict[str, Any], bit: bool = True, torn: int = 0) -> tuple[ForeseenEnd, Verdict]:
    end = ForeseenEnd(Foreseen(word="EFFECT", differences=differences))
    fault = FaultRecord(0, "task.crash", "when it comes", evidence=Evidence(bit, "the worker died" if bit else "never begun: another"))
    clean = tuple(CleanPass(History(), world(), world(charge(token))) for token in ("7c9e6679-7425-40de-944b-e07fc1f90ae7", "21f7f8de8051"))
    scenario = Scenario.model_validate({"version": 1, "system": {"app": "shop:app"}})
    recorded = Recorded(scenario, History(faults=[fault], quiet_at=1.0, torn=torn), {}, clean, world(), after)
    return end, end.judge(recorded).verdict


def test_the_same_end_with_other_tokens_is_as_foreseen() -> None:
    end, verdict = judged(world(charge("9b2e1c55-4a4c-4d26-8f5c-3a3b6b7a0c11"), charge("c56a4180-65aa-42ec-a945-5fd21dec0538")), _TWICE)
    assert (verdict, end.otherwise, end.missed) == (Verdict.PASS, (), ())


def test_another_end_is_told_both_ways() -> None:
    end, verdict = judged(world(), _TWICE)
    assert verdict is Verdict.FAIL
    assert end.otherwise is not None
    assert [text.partition(":")[0] for text in end.otherwise] == ["foreseen, and not there", "there, and not foreseen"]
    assert end.otherwise[0].endswith("2, expected 1") and end.otherwise[1].endswith("0, expected 1")


def test_a_right_world_is_another_end_too() -> None:
    end, verdict = judged(world(charge("9b2e1c55-4a4c-4d26-8f5c-3a3b6b7a0c11")), _TWICE)
    assert verdict is Verdict.FAIL and end.otherwise is not None and len(end.otherwise) == 1


def test_a_random_name_says_no_more_than_a_random_value() -> None:
    """A hash of Redis whose fields are messages' ids; how many there are counts."""
    one, other, third = (
        "200f2031-6109-4e84-9373-6bfdc8889b32",
        "98603726-ab06-4175-a3a3-f4b173ed83ea",
        "4904c808-87f1-4e81-b44d-b7a0d86f67b3",
    )

    def sold(after: dict[str, str], expected: dict[str, str]) -> str:
        return _normal({"collection": "cache.keys", "row": {"key": "sold"}, "after": {"value": after}, "expected": {"value": expected}})

    assert sold({one: "2"}, {one: "1"}) == sold({other: "2"}, {third: "1"})
    assert sold({one: "1", other: "2"}, {one: "1"}) == sold({third: "2", other: "1"}, {one: "1"})
    assert len({sold({one: "1"}, {}), sold({one: "2"}, {}), sold({one: "1", other: "1"}, {}), sold({one: "1", "book": "1"}, {})}) == 4


def test_where_a_crash_did_not_strike_nothing_is_concluded() -> None:
    end, verdict = judged(world(), _TWICE, bit=False)
    assert verdict is Verdict.INCONCLUSIVE
    assert end.missed == ("task.crash: never begun: another",)


def test_where_records_are_torn_nothing_is_concluded_of_either_end() -> None:
    for differences in ((), (_TWICE,)):
        end, verdict = judged(world(charge("9b2e1c55-4a4c-4d26-8f5c-3a3b6b7a0c11")), *differences, torn=2)
        assert (verdict, end.torn) == (Verdict.INCONCLUSIVE, 2)
