"""Which connections go through a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.scenario import Scenario
from harness.scenario.links import wanted_links


def scenario(*betweens: Any, **system: Any) -> Scenario:
    parts = {"app": "shop:app", "backend": "redis", "services": {"db": "postgres"}, "workers": {"pay": {"replicas": 2}, "mail-out": {}}}
    timeline = [{"at": "1s", "fault": "net.partition", "between": between} for between in betweens]
    document = {"version": 1, "system": {**parts, **system}, "load": [{"send": "a", "count": 1}], "timeline": timeline}
    return Scenario.model_validate(document)


def test_none_without_a_network_fault() -> None:
    assert wanted_links(scenario()) == frozenset()


@pytest.mark.parametrize(
    ("between", "pair"),
    [
        (["pay", "broker"], ("pay", "broker")),
        (["broker", "pay"], ("pay", "broker")),
        (["pay-2", "backend"], ("pay", "backend")),
        (["db", "pay-1"], ("pay", "db")),
        (["mail-out", "db"], ("mail-out", "db")),
        (["mail-out-1", "db"], ("mail-out", "db")),
        (["producer", "broker"], ("producer", "broker")),
        (["backend", "producer"], ("producer", "backend")),
    ],
)
def test_a_pair_of_a_fault(between: list[str], pair: tuple[str, str]) -> None:
    assert wanted_links(scenario(between)) == {pair}


def test_pairs_of_several_faults_count_once() -> None:
    found = wanted_links(scenario(["pay", "broker"], ["pay-1", "broker"], ["pay", "db"]))
    assert found == {("pay", "broker"), ("pay", "db")}


def test_a_server_that_asks_for_a_proxy_gets_one_for_every_client() -> None:
    assert wanted_links(scenario(broker={"kind": "redis", "proxy": True})) == {
        ("pay", "broker"),
        ("mail-out", "broker"),
        ("producer", "broker"),
    }
    assert {d for _, d in wanted_links(scenario(backend={"kind": "redis", "proxy": True}))} == {"backend"}


@pytest.mark.parametrize(
    "between", [["pay", "mail-out"], ["broker", "backend"], ["pay"], "pay", ["pay", "shelf"], ["shop", "broker"], None]
)
def test_what_the_loader_refuses_makes_no_link(between: Any) -> None:
    assert wanted_links(scenario(between)) == frozenset()


def test_without_a_backend_there_is_no_link_to_one() -> None:
    assert wanted_links(scenario(["pay", "backend"], backend=None)) == frozenset()
