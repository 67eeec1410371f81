"""Which leftovers at the engine are ours to remove, and in which order. On a stand-in for the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from harness.errors import EnvironmentFault
from harness.runtimes.containers import cleanup
from harness.runtimes.containers.cleanup import OWNER, PART, PLACE, RUN, leftovers, place, remove, remove_run
from harness.runtimes.shared.leftovers import owner

_GONE = "4194300 1.0"


def _labels(run: str, owner: str, where: str) -> dict[str, str]:
    return {RUN: run, OWNER: owner, PLACE: where, PART: "broker"}


class _Engine:
    def __init__(self, *labels: dict[str, str]) -> None:
        self.labels = labels
        self.removed: list[str] = []
        self.filters: list[str] = []
        self.client = self
        self.api = self

    @contextlib.contextmanager
    def asking(self, part: str, what: str) -> Iterator[None]:
        yield

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert all, "those that have ended, too"
        self.filters.append(filters["label"])
        return [{"Id": f"c{n}", "Names": [f"/box-{n}"], "Labels": labels} for n, labels in enumerate(self.labels)]

    def networks(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        self.filters.append(filters["label"])
        return [{"Id": f"n{n}", "Name": f"net-{n}", "Labels": labels} for n, labels in enumerate(self.labels)]

    def remove(self, name: str) -> str:
        self.removed.append(name)
        return ""

    def remove_network(self, name: str) -> str:
        self.removed.append(name)
        return f"{name} is in use" if name == "n9" else ""


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(engine: Any) -> Any:
        monkeypatch.setattr(cleanup.Engine, "connect", classmethod(lambda _: engine))
        return engine

    return install


def test_only_of_runs_whose_harness_is_gone(use: Any) -> None:
    engine = use(_Engine(_labels("r0", owner(), place()), _labels("r1", _GONE, place()), _labels("r2", _GONE, "another host")))
    found = leftovers()
    assert found.describe() == ["container box-1 of run r1", "network net-1 of run r1"]
    assert remove(found) == [] and engine.removed == ["c1", "n1"], "containers first: they hold the network"
    assert set(engine.filters) == {RUN}, "nothing without our label is even looked at"


def test_labels_that_say_nothing_of_the_place_are_left_alone(use: Any) -> None:
    use(_Engine({RUN: "r0", OWNER: _GONE}))
    assert not leftovers()


def test_nothing_where_no_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> Any:
        raise EnvironmentFault("no container engine answers")

    monkeypatch.setattr(cleanup.Engine, "connect", classmethod(refuse))
    found = leftovers()
    assert not found and found.describe() == [] and remove(found) == []


def test_a_run_is_removed_whoever_owns_it() -> None:
    engine: Any = _Engine(_labels("r0", owner(), place()))
    assert remove_run(engine, "r0") == []
    assert engine.removed == ["c0", "n0"] and set(engine.filters) == {f"{RUN}=r0"}


def test_what_cannot_be_removed_is_said(use: Any) -> None:
    use(_Engine())
    assert remove(cleanup.ContainerLeftovers([], [("n9", "net-9 of run r")])) == ["n9 is in use"]
