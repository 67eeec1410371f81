"""Verdicts on simulated tasks: right ones are certified, broken ones fail with the shortest story."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import EnvironmentFault, HarnessError, ScenarioError
from harness.explore.exploration import explore
from harness.explore.rules import Limits, Question
from harness.model.exploration import Exploration
from tests.unit.explore.simulated import Program, Simulated, State

ASK = Question("shop.pay", (7,))


def explored(program: Program, settings: dict[str, Any] | None = None, question: Question = ASK) -> Exploration:
    simulated = Simulated(program, settings)
    return explore(simulated, simulated, question, now=lambda: 0.0)


RIGHT = {
    "keyed request": (("post", "order-7"), ("set", "order", "paid")),
    "guarded counter in one transaction": (("unless", "applied", (("set", "applied", 1),)), ("set", "balance", 90)),
    "insert unless it is there": (("unless", "payment", (("insert", "payment"),)), ("post", "order-7")),
    "asks for its message again until it is ready": (("unless", "ready", (("set", "ready", 1), ("again",))), ("post", "order-7")),
    "retry once": (("retry", 5), ("post", "order-7"), ("set", "order", "paid")),
    "memory that only saves work": (("memo", "order", (("post", "order-7"), ("set", "order", "paid"))),),
}

LEASE: Program = (("lock", "order", 60, "retry", 30), ("post", "order-7"), ("set", "order", "paid"), ("unlock", "order"))

BROKEN: dict[str, tuple[Program, str, int]] = {
    "request without a key": ((("post", "plain-7"), ("set", "order", "paid")), "EFFECT", 1),
    "counter": ((("add", "balance", -10), ("set", "order", "paid")), "EFFECT", 1),
    "marker before effect": ((("unless", "done", (("set", "done", 1), ("post", "order-7"))),), "EFFECT", 1),
    "plain insert": ((("insert", "payment"), ("post", "order-7")), "PARTIAL", 1),
    "plain insert at the end": ((("post", "order-7"), ("insert", "payment")), "STATE", 1),
    "lock without expiry, silently": ((("lock", "order", None, "return"), ("post", "order-7"), ("unlock", "order")), "EFFECT", 1),
    "lock without expiry, retried": ((("lock", "order", None, "retry", 5), ("post", "order-7"), ("unlock", "order")), "LEAK", 1),
    "dedup shorter than redelivery": ((("lock", "seen", 60, "return"), ("post", "plain-7")), "EFFECT", 1),
    "two crashes": ((("set", "a", 1), ("unless", "b", (("set", "b", 1), ("first", ())))), "", 0),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_tasks_are_certified(name: str) -> None:
    result = explored(RIGHT[name])
    assert (result.verdict, result.flaws, result.doubts) == ("certified", (), ())
    assert result.coverage.worlds > 1 and result.coverage.replayed > 0
    assert result.coverage.unvisited == 0 or result.coverage.bounds


@pytest.mark.parametrize("name", [name for name in BROKEN if BROKEN[name][1]])
def test_broken_tasks_fail_with_the_shortest_story(name: str) -> None:
    program, word, kills = BROKEN[name]
    result = explored(program)
    assert result.verdict == "fails"
    flaw = result.flaws[0]
    assert (flaw.word, flaw.confirmed) == (word, True)
    assert sum(step.killed_at is not None for step in flaw.path) == kills
    assert flaw.fix and flaw.place is not None and flaw.story


def test_story_names_the_effect_that_lasted_and_what_came_again() -> None:
    flaw = explored((("post", "plain-7"), ("set", "order", "paid"))).flaws[0]
    assert flaw.headline == "After a crash at shop.py:11: api.requests plain-7: 2, expected 1."
    assert flaw.place is not None and flaw.place.line == 11
    assert list(flaw.story) == [
        "Killed before set order (shop.py:12, pay). The last effect before that was: post plain-7 (shop.py:11, pay).",
        "What it left: api.requests plain-7: 1, before not there.",
        "The broker delivered the message again.",
        "It did again: post plain-7 (shop.py:11, pay).",
        "It succeeded.",
        "api.requests plain-7: 2, expected 1.",
    ]
    assert "idempotency key" in flaw.fix


def explored_without_clock(program: Program, settings: dict[str, Any] | None = None) -> Exploration:
    simulated = Simulated(program, settings)
    simulated.no_clock = "the vDSO cannot be written"
    return explore(simulated, simulated, ASK, now=lambda: 0.0)


def test_without_a_clock_it_is_delivered_at_once_and_says_so() -> None:
    result = explored_without_clock(LEASE, {"max_retries": None})
    assert (result.verdict, result.coverage.waits) == ("certified", ())
    assert result.coverage.excluded[0].startswith("deliveries later than at once, ") and "the vDSO" in result.coverage.excluded[0]


def test_without_a_clock_nothing_is_found_after_a_wait() -> None:
    """A lease that a row holds would not have run out for the task."""
    result = explored_without_clock(BROKEN["lock without expiry, retried"][0])
    assert (result.verdict, result.flaws) == ("inconclusive", ())
    assert result.doubts == ("what happens once a retry is due cannot be told, since the task's clock cannot be set",)


def test_waiting_finds_what_immediate_redelivery_does_not() -> None:
    flaw = explored(BROKEN["dedup shorter than redelivery"][0]).flaws[0]
    assert any(step.wait >= 60 for step in flaw.path) or flaw.differences[0]["after"] == 0 or flaw.differences
    right = explored(LEASE, {"max_retries": None})
    assert (right.verdict, right.flaws) == ("certified", ())
    assert "after each deadline in the world" in right.coverage.waits


def test_what_is_told_by_its_age_is_tried_when_it_is_old() -> None:
    """Nothing expires; but the task reckons from the time that is written there. The count and its time come at once."""
    program: Program = (("unless_since", "done", 600, (("post", "order-7"), ("add_stamped", "done", "count"))),)
    flaw = explored(program).flaws[0]
    assert (flaw.word, [delivery.wait > 600 for delivery in flaw.path]) == ("EFFECT", [False, True])
    right: Program = (("unless_since", "done", 2 * 86400, (("post", "order-7"), ("add_stamped", "done", "count"))),)
    found = explored(right)
    assert found.verdict == "certified" and {"almost a day later", "an hour later"} <= {*found.coverage.waits}
    assert any("after some minutes" in told for told in found.coverage.excluded)


@pytest.mark.parametrize(("lease", "expected"), [(600, ("certified", [])), (1e12, ("fails", ["STORM"]))])
def test_a_circle_out_of_which_time_leads_is_none(lease: float, expected: tuple[str, list[str]]) -> None:
    """A lease by the time of its taking, and retries that come sooner than it is over: the worlds are alike, but for its age."""
    program: Program = (
        ("wait_for", "taken", lease, 150),
        ("stamp", "taken"),
        ("post", "order-7"),
        ("unstamp", "taken"),
        ("set", "paid", 1),
    )
    found = explored(program, {"max_retries": None})
    assert (found.verdict, [flaw.word for flaw in found.flaws[:1]]) == expected


@pytest.mark.parametrize(("days", "later"), [(400, True), (10_000, False)])
def test_what_is_another_in_another_season_is_tried_then(days: int, later: bool) -> None:
    found = explored((("by_period", days), ("unless", "order", (("set", "order", "paid"),))))
    assert ("more than a year later" in found.coverage.waits) is later
    assert any(delivery.wait > 86_400 for flaw in found.flaws for delivery in flaw.path) is later


def test_one_that_does_something_else_in_another_year_is_not_deterministic() -> None:
    found = explored((("set", "order", "paid"), ("after_days", 300, (("set", "year", "over"),))))
    assert found.verdict == "inconclusive" and "one more than a year later at set year" in found.headline


def test_crashes_may_use_up_the_retries() -> None:
    """True of any number of crashes: each costs the attempts that wait for the lease to run out."""
    flaw = explored(LEASE).flaws[0]
    assert (flaw.word, sum(step.killed_at is not None for step in flaw.path)) == ("PARTIAL", 2)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_fewer_crashes_than_retries_excuse_nothing(most: int) -> None:
    """One attempt was left that no crash disturbed."""
    result = explored(BROKEN["lock without expiry, retried"][0], {"max_retries": most})
    assert (result.verdict, sum(step.killed_at is not None for step in result.flaws[0].path)) == ("fails", 1)


@pytest.mark.parametrize(("parts", "verdict"), [(3, "fails"), (6, "inconclusive")])
def test_more_messages_than_are_followed_are_no_pass(parts: int, verdict: str) -> None:
    program: Program = (("in", "one", (("call", parts),)), ("in", "part", (("add", "total", 1),)))
    result = explored(program)
    assert result.verdict == verdict
    assert verdict == "fails" or any("messages in the broker at a time" in doubt for doubt in result.doubts)


def test_memory_of_a_process_that_lives_is_tried() -> None:
    """Its memory says that nothing has been read yet is stale: only the same process shows it."""
    program: Program = (("memo", "read", (("set", "order", "paid"),)), ("unless", "order", (("post", "never"),)))
    assert explored(program).verdict == "certified"
    stale: Program = (("set", "order", "open"), ("memo", "paid", (("set", "order", "paid"),)))
    result = explored(stale)
    assert result.verdict == "fails"
    assert any(step.warm for step in result.flaws[0].path)
    assert "to the same process" in " ".join(result.flaws[0].story)
    assert explored((*stale, ("unlock", "nothing"))).verdict == "fails", "a stop after the last change leaves the same world"


def test_early_acks_lose_the_call_unless_that_is_declared() -> None:
    program = RIGHT["keyed request"]
    early = {"acks_late": False}
    result = explored(program, early)
    assert (result.verdict, result.flaws[0].word) == ("fails", "LOST")
    assert "acks_late" in result.flaws[0].fix
    declared = explored(program, early, Question("shop.pay", (7,), semantics="at_most_once"))
    assert declared.verdict == "certified"
    assert any("at_most_once" in words for words in declared.coverage.excluded)


def test_at_most_once_allows_less_and_never_more() -> None:
    question = Question("shop.pay", (7,), semantics="at_most_once")
    assert explored(BROKEN["marker before effect"][0], question=question).verdict == "certified"
    result = explored(BROKEN["request without a key"][0], question=question)
    assert (result.verdict, result.flaws[0].word) == ("fails", "EFFECT")


def test_retries_without_limit_are_a_storm() -> None:
    program = BROKEN["lock without expiry, retried"][0]
    result = explored(program, {"max_retries": None})
    assert (result.verdict, result.flaws[0].word) == ("fails", "STORM")
    assert len(result.flaws[0].story) < 12


def test_a_retry_without_limit_that_waits_for_a_lease_is_none() -> None:
    program: Program = (("lock", "order", 300, "retry", 30), ("post", "order-7"), ("unlock", "order"))
    assert explored(program, {"max_retries": None}).verdict == "certified"


def test_bounds_that_were_reached_are_no_pass() -> None:
    program: Program = tuple(("set", f"row{n}", 1) for n in range(8))
    result = explored(program, question=Question("shop.pay", (7,), limits=Limits(worlds=4)))
    assert result.verdict == "inconclusive"
    assert result.coverage.bounds == ("4 worlds",) and result.coverage.unvisited > 0


def test_bound_of_time_is_the_clock_of_the_caller() -> None:
    ticks = iter(range(10_000))
    program: Program = tuple(("set", f"row{n}", 1) for n in range(8))
    simulated = Simulated(program)
    question = Question("shop.pay", (7,), limits=Limits(seconds=3))
    result = explore(simulated, simulated, question, now=lambda: float(next(ticks)))
    assert (result.verdict, result.coverage.bounds) == ("inconclusive", ("3 s",))


def test_a_task_that_changes_nothing_is_inconclusive() -> None:
    result = explored((("unlock", "nothing"),))
    assert result.verdict == "inconclusive"
    assert "changes nothing" in result.doubts[0]


def test_a_task_that_fails_by_itself_is_refused_with_its_error() -> None:
    with pytest.raises(ScenarioError, match=r"shop\.pay fails without any crash: no such order"):
        explored((("post", "order-7"), ("fail", "no such order")))


def test_a_task_that_asks_for_its_message_for_ever_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"rejects its message and asks for it again without any crash, 11 times on end"):
        explored((("post", "order-7"), ("again",)))


def test_a_task_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(ScenarioError, match=r"no task shop\.pai\n  did you mean shop\.pay\?"):
        explored(RIGHT["keyed request"], question=Question("shop.pai"))


def test_a_task_that_does_not_do_the_same_twice_is_inconclusive() -> None:
    simulated = Simulated((("unless", "coin", (("post", "heads"),)), ("set", "order", "paid")))

    def wander(state: State, delivered: int) -> None:
        if delivered == 2:
            state.rows["coin"] = 1

    simulated.wander = wander
    result = explore(simulated, simulated, ASK, now=lambda: 0.0)
    assert result.verdict == "inconclusive"
    assert result.doubts[0] == (
        "two clean executions differ at crash point 1 (shop.py:11): the first stood at post heads, the second at set order"
    )


def test_a_finding_that_true_kills_do_not_show_is_our_own_error() -> None:
    simulated = Simulated((("post", "order-7"), ("set", "order", "paid")))
    resets = []

    def setup(state: State) -> None:
        resets.append(1)
        if len(resets) > 1:  # the replay finds another world than the graph did
            state.rows["left over"] = 1

    simulated.setup = setup
    with pytest.raises(EnvironmentFault, match="contradicts itself"):
        explore(simulated, simulated, ASK, now=lambda: 0.0)


def test_stopping_is_heard_between_effects() -> None:
    class Stopped(HarnessError):
        pass

    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 30:
            raise Stopped("enough")

    simulated = Simulated(RIGHT["keyed request"])
    with pytest.raises(Stopped):
        explore(simulated, simulated, ASK, now=lambda: 0.0, check=check)


def test_same_seed_same_result() -> None:
    assert explored(RIGHT["retry once"]) == explored(RIGHT["retry once"])


CALLS: Program = (("in", "one", (("call", 1),)), ("in", "part", (("set", "order", "paid"),)))


@pytest.mark.parametrize(
    ("late", "part", "declared", "verdict"),
    [
        (True, {"acks_late": False}, {}, "fails"),
        (True, {"acks_late": False}, {"shop.part": "at_most_once"}, "certified"),
        (True, {}, {}, "certified"),
        (False, {"acks_late": True}, {"shop.pay": "at_most_once"}, "certified"),
    ],
)
def test_what_a_task_calls_is_acknowledged_as_its_own_task_has_it(
    late: bool, part: dict[str, Any], declared: dict[str, str], verdict: str
) -> None:
    simulated = Simulated(CALLS, {"acks_late": late})
    simulated.part = part
    question = Question("shop.pay", (7,), semantics=declared.get("shop.pay", ""), declared=declared)
    result = explore(simulated, simulated, question, now=lambda: 0.0)
    assert result.verdict == verdict, result.headline
    if verdict == "fails":
        assert result.flaws[0].word == "LOST" and "takes the call of shop.part with it" in result.headline
    told = "whether calls of shop.part are done at all: it is declared at_most_once" in result.coverage.excluded
    assert told == ("shop.part" in declared)
