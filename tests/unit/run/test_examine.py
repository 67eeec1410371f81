from __future__ import annotations

import pytest

from harness.brokers import BROKERS
from harness.errors import ScenarioError
from harness.model.scenario import Scenario
from harness.run.examine import check_redelivery

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
