from __future__ import annotations

import pytest

from harness.brokers import BROKERS
from harness.errors import ScenarioError
from harness.model.scenario import Scenario
from harness.run.examine import check_app, check_redelivery, examination

SEMANTICS = BROKERS["redis"].semantics


def scenario(drain: str, redelivery: str | None = "2s") -> Scenario:
    system = {"app": "a:b", **({"redelivery": redelivery} if redelivery else {})}
    return Scenario.model_validate({"version": 1, "system": system, "load": [{"send": "x", "count": 1}], "drain": {"timeout": drain}})


def where(*path: object) -> str:
    return "s.yaml:3:5"


@pytest.mark.parametrize("kombu", ["5.3.7", "5.6.0", "4.6.11"])
def test_a_kombu_that_sweeps_too_seldom_for_the_drain_is_refused(kombu: str) -> None:
    with pytest.raises(ScenarioError, match=r"every 100 s.*redelivery after 2 s") as caught:
        check_redelivery(scenario("30s"), kombu, SEMANTICS, where)
    assert caught.value.where == "s.yaml:3:5"
    assert "122s" in caught.value.hint


@pytest.mark.parametrize(
    ("kombu", "drain", "redelivery"),
    [("5.7.0", "30s", "2s"), ("6.0", "30s", "2s"), ("5.3.7", "120s", "2s"), ("5.3.7", "30s", None), ("", "30s", "2s")],
)
def test_everything_else_is_let_through(kombu: str, drain: str, redelivery: str | None) -> None:
    check_redelivery(scenario(drain, redelivery), kombu, SEMANTICS, where)


# --- what the app itself says ------------------------------------------------------------------------------------------

CALLS = {
    "version": 1,
    "system": {"app": "a:b"},
    "load": [
        {"send": "x", "args": [1], "kwargs": {"k": 2}, "count": 1},
        {"send": "x", "args": "a:drawn", "count": 1},
        {"chain": [{"send": "x"}, {"send": "y", "args": [5]}], "count": 1},
        {"chord": {"header": [{"send": "x", "args": [1]}], "body": {"send": "y"}}, "count": 1},
    ],
    "timeline": [
        {"at": "1s", "fault": "worker.kill"},
        {"when": {"task": "x", "reaches": "start"}, "fault": "worker.kill"},
        {"when": {"task": "x", "reaches": "shop/a.py:41#2"}, "fault": "worker.kill"},
    ],
}
ANSWER = {"ok": True, "tasks": ["x", "y"], "calls": [""] * 5, "points": [None]}


def written(*path: object) -> str:
    return ".".join(map(str, path))


def test_calls_with_literal_arguments_and_lines_are_asked_for() -> None:
    asked = examination(Scenario.model_validate(CALLS))
    assert asked["calls"] == [
        {"task": "x", "args": [1], "kwargs": {"k": 2}, "before": 0},
        {"task": "x", "args": [], "kwargs": {}, "before": 0},
        {"task": "y", "args": [5], "kwargs": {}, "before": 1},
        {"task": "x", "args": [1], "kwargs": {}, "before": 0},
        {"task": "y", "args": [], "kwargs": {}, "before": 1},
    ]
    assert asked["points"] == [["shop/a.py", 41]]
    check_app(Scenario.model_validate(CALLS), ANSWER, written)
    for version in ("5.3.0b1", "5.6.2", "6.0.0", ""):
        check_app(Scenario.model_validate(CALLS), {**ANSWER, "celery": version}, written)
    with pytest.raises(ScenarioError, match=r"the app runs on Celery 5\.2\.7") as old:
        check_app(Scenario.model_validate(CALLS), {**ANSWER, "celery": "5.2.7"}, written)
    assert "celery>=5.3" in old.value.hint


@pytest.mark.parametrize(
    ("number", "place"), [(0, "load.0.args"), (2, "load.2.chain.1.args"), (3, "load.3.chord.header.0.args"), (4, "load.3.chord.body.args")]
)
def test_a_call_that_celery_would_refuse_is_refused_where_it_is_written(number: int, place: str) -> None:
    wrong = ["x() missing 1 required argument" if n == number else "" for n in range(5)]
    with pytest.raises(ScenarioError, match=r"cannot be called so: .* missing 1 required argument") as caught:
        check_app(Scenario.model_validate(CALLS), {**ANSWER, "calls": wrong}, written)
    assert caught.value.where == place


def test_a_line_that_no_task_reaches_is_refused() -> None:
    with pytest.raises(ScenarioError, match="holds no code") as caught:
        check_app(Scenario.model_validate(CALLS), {**ANSWER, "points": [["line 41 of shop/a.py holds no code", "nearest: 42"]]}, written)
    assert (caught.value.where, caught.value.hint) == ("timeline.2.when.reaches", "nearest: 42")
