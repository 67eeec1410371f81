"""Which leftovers at the engine are ours to remove, and in which order. On a stand-in for the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli import housekeeping
from harness.cli.housekeeping import clean
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


def _refuse(*_: Any) -> Any:
    raise EnvironmentFault("no container engine answers")


def test_no_answer_is_not_taken_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup.Engine, "connect", classmethod(_refuse))
    with pytest.raises(EnvironmentFault):
        leftovers()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    told = CliRunner().invoke(clean, ["--dry-run"])
    assert told.exit_code == 3 and "no container engine answers" in told.output and "nothing was left" not in told.output


def test_a_machine_that_has_no_engine_has_nothing_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(housekeeping, "_SOCKET", tmp_path / "docker.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cleanup, "leftovers", _refuse)
    assert CliRunner().invoke(clean, ["--dry-run"]).exit_code == 0


def test_what_is_still_there_was_not_removed(use: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Not the whole command: it would remove what the runs of other tests left to be looked at."""
    engine = use(_Engine(_labels("r1", _GONE, place())))
    engine.remove = lambda name: f"{name} is busy"
    assert housekeeping._containers_cleaned(dry_run=False) == "trouble"
    out, err = capsys.readouterr()
    assert "still there: container box-0 of run r1" in err and "removed" not in out


def test_a_run_is_removed_whoever_owns_it() -> None:
    engine: Any = _Engine(_labels("r0", owner(), place()))
    assert remove_run(engine, "r0") == []
    assert engine.removed == ["c0", "n0"] and set(engine.filters) == {f"{RUN}=r0"}


def test_what_cannot_be_removed_is_said(use: Any) -> None:
    use(_Engine())
    assert remove(cleanup.ContainerLeftovers([], [("n9", "net-9 of run r")])) == ["n9 is in use"]
