"""A change that no stop announces is a crash point that was missed."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import EnvironmentFault
from harness.explore.explaining import demand_stops
from harness.model.exploration import Stop
from harness.model.world import Collection, StoreState, World
from harness.ports.exploring import Node


def files(**texts: str) -> StoreState:
    rows = tuple({"path": path.replace("_", "."), "kind": "file", "sha256": text} for path, text in texts.items())
    return StoreState("docs", {"files": Collection("files", rows, key=("path",))})


def requests(*paths: str) -> StoreState:
    return StoreState("api", {"requests": Collection("requests", tuple({"path": path} for path in paths))})


def node(*states: StoreState) -> Node:
    return Node("", World({state.store: state for state in states}), (), None)


def stop(words: str, target: str, kind: str = "file", **more: Any) -> Stop:
    return Stop(1, "call", kind, target, words, words, **more)


BEFORE = node(files(a_txt="1"), requests())


@pytest.mark.parametrize(
    ("stops", "after"),
    [
        ([stop("write to a.txt", "docs: a.txt")], [files(a_txt="2"), requests()]),
        ([stop("rename a.txt to b.txt", "docs: b.txt")], [files(b_txt="1"), requests()]),
        ([stop("POST /x sent to api", "api", "net")], [files(a_txt="1"), requests("/x")]),
        ([stop("write to a.txt", "docs: a.txt"), stop("POST /x sent to api", "api", "net")], [files(a_txt="2"), requests("/x")]),
        ([stop("write to b.txt", "docs: b.txt", exact=False)], [files(a_txt="2"), requests()]),
        ([stop("start the program cp", "cp", "other")], [files(a_txt="2"), requests()]),
        ([stop("write to b.txt", "docs: b.txt")], [files(a_txt="2", b_txt="2"), requests()]),
    ],
)
def test_what_a_stop_announces_may_change(stops: list[Stop], after: list[StoreState]) -> None:
    demand_stops(BEFORE, node(*after), stops)


@pytest.mark.parametrize(
    ("stops", "after", "what"),
    [
        ([stop("write to a.txt.new", "docs: a.txt.new")], [files(a_txt="2", a_txt_new="x"), requests()], r"docs: a\.txt changed"),
        ([stop("write to a.txt", "docs: a.txt")], [files(a_txt="2"), requests("/x")], "api changed after write to a"),
        ([stop("POST /x sent to api", "api", "net")], [files(b_txt="1"), requests("/x")], "docs changed"),
    ],
)
def test_what_no_stop_announces_is_our_error(stops: list[Stop], after: list[StoreState], what: str) -> None:
    with pytest.raises(EnvironmentFault, match=what):
        demand_stops(BEFORE, node(*after), stops)
