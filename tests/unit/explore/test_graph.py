"""The graph against brute force: all schedules of crashes, without merging anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.explore.graph import Graph, Survey
from harness.explore.judge import Judge
from harness.explore.rules import Limits, RulesOf
from tests.unit.explore.simulated import SETTINGS, Program, Simulated, brute_force

_KEYS = st.sampled_from(["a", "b"])
_EFFECTS = st.one_of(
    st.tuples(st.just("set"), _KEYS, st.integers(0, 2)),
    st.tuples(st.just("add"), _KEYS, st.just(1)),
    st.tuples(st.just("post"), st.sampled_from(["order", "plain"])),
    st.tuples(st.just("insert"), st.just("payment")),
)
_GUARDED = st.tuples(st.just("unless"), st.sampled_from(["a", "done"]), st.lists(_EFFECTS, min_size=1, max_size=2).map(tuple))
_MARKED = st.just(("set", "done", 1))
#: Small tasks: effects, with and without guards that an earlier delivery may have set.
_PROGRAMS = st.lists(st.one_of(_EFFECTS, _GUARDED, _MARKED), min_size=1, max_size=4).map(tuple)


def surveyed(program: Program, kills: int, rules: dict[str, Any] | None = None) -> tuple[Survey, Simulated]:
    """The graph with at most so many kills, judged against one clean execution."""
    simulated = Simulated(program, rules)
    simulated.publish("shop.pay", [], {})
    first = simulated.look()
    goal = _clean_end(simulated, first)
    judge = Judge(simulated, first, goal, at_most_once=False)
    limits = Limits(kills=kills, flaws=10_000, worlds=10_000, seconds=1e9)
    graph = Graph(simulated, simulated, judge, RulesOf({"shop.pay": {**SETTINGS, **(rules or {})}}), limits, now=lambda: 0.0)
    return graph.explore(first), simulated


def _clean_end(simulated: Simulated, first: Any) -> Any:
    from harness.explore.clean import execute

    return execute(simulated, simulated, first, Limits()).end


def _fresh(survey: Survey, kills: int) -> list[Any]:
    """Spots that only cold deliveries lead to: brute force knows no process that lives on."""
    return [spot for spot in survey.spots if spot.kills <= kills and not any(step.delivery.warm for step in spot.steps)]


def _succeeds(program: Program) -> bool:
    return brute_force(program, 0).ends == {(end, "SUCCESS") for end, _ in brute_force(program, 0).ends}


@settings(max_examples=150, deadline=None)
@given(_PROGRAMS, st.integers(1, 3))
def test_worlds_and_ends_are_those_of_all_schedules(program: Program, kills: int) -> None:
    if not _succeeds(program):
        return
    survey, _ = surveyed(program, kills)
    brute = brute_force(program, kills)
    found = _fresh(survey, kills)
    assert {spot.node.key for spot in found if spot.back is not None} == brute.left
    ends = {(spot.node.key, next(iter(spot.ends.values())).value) for spot in found if not spot.waiting}
    assert ends == brute.ends


@settings(max_examples=150, deadline=None)
@given(_PROGRAMS)
def test_verdict_is_that_of_all_double_crashes_where_there_are_no_more_worlds(program: Program) -> None:
    if not _succeeds(program):
        return
    survey, _ = surveyed(program, 2)
    brute = brute_force(program, 2)
    ((goal, _),) = brute_force(program, 0).ends
    (before,) = {"[{}, [], {}, []]"}
    wrong = {end for end in brute.ends if end != (goal, "SUCCESS") and not (end[1] == "FAILURE" and end[0] == before)}
    assert bool(wrong) == bool(survey.suspicions)
    blamed = {(one.spot.node.key, next(iter(one.spot.ends.values())).value) for one in survey.suspicions}
    assert blamed == wrong


@settings(max_examples=60, deadline=None)
@given(st.lists(_EFFECTS, min_size=1, max_size=2).map(tuple), st.sampled_from([0, 5]))
def test_retries_lead_to_no_world_that_brute_force_has_not(effects: Sequence[Any], countdown: int) -> None:
    """Of two messages at a time the graph leaves out further crashes, and says so; what it has is true."""
    program: Program = (("retry", countdown), *effects)
    if not _succeeds(program):
        return
    survey, _ = surveyed(program, 2)
    brute = brute_force(program, 2)
    found = _fresh(survey, 2)
    assert {spot.node.key for spot in found if spot.back is not None} <= brute.left
    once = brute_force(program, 1)
    assert {end for end, _ in once.ends} <= {spot.node.key for spot in found if not spot.waiting}


def test_a_world_that_is_known_is_not_delivered_again() -> None:
    program: Program = tuple(("set", f"row{n}", 1) for n in range(6))
    survey, simulated = surveyed(program, 10)
    assert len({spot.key for spot in survey.spots}) == len(survey.spots)
    crashed = [spot for spot in survey.spots if spot.back is not None]
    assert len(crashed) == 7  # nothing done … all six done
    assert simulated.delivered <= 2 + 7 + 2  # clean; first and one for each world that a crash left; the last of them warm too


def test_a_stop_that_is_missed_is_missed_in_the_worlds() -> None:
    """The graph depends on each stop: it is no accident that it agrees with brute force."""
    program: Program = (("set", "a", 1), ("add", "b", 1), ("post", "order"))
    survey, _ = surveyed(program, 1)
    blind = Simulated(program)
    real = blind.deliver

    def deliver(job: Any, at_stop: Any) -> Any:
        from harness.ports.exploring import Decision

        return real(job, lambda stop: Decision.GO_ON if stop.number == 2 else at_stop(stop))

    blind.deliver = deliver  # type: ignore[method-assign]
    blind.publish("shop.pay", [], {})
    first = blind.look()
    judge = Judge(blind, first, _clean_end(blind, first), at_most_once=False)
    graph = Graph(blind, blind, judge, RulesOf({"shop.pay": SETTINGS}), Limits(kills=1, flaws=99), now=lambda: 0.0)
    assert {s.node.key for s in graph.explore(first).spots} < {s.node.key for s in survey.spots}


def test_what_a_delivery_leaves_last_is_learnt_too() -> None:
    """A message that it publishes at its end is in the queue at no stop of its own."""
    from harness.explore.clean import execute

    simulated = Simulated((("in", "one", (("call", 1),)), ("in", "part", (("set", "a", 1),))))
    simulated.publish("shop.pay", [], {})
    clean = execute(simulated, simulated, simulated.look(), Limits())
    assert [[message.id for message in clean.seen[place].pending] for place in ((0, 1), (0, 2))] == [[], ["part0"]]
