"""`load` without a run: what is refused, what is handed on, and what it exits with."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.assembly import registry
from harness.cli import load as module
from harness.cli.load import load, with_locust
from harness.cli.run import Chosen
from harness.errors import EnvironmentFault, UsageError
from harness.scenario import LoadedScenario, load_scenarios
from tests.unit.reporting import sample

SCENARIO: dict[str, Any] = {
    "version": 1,
    "seed": 7,
    "system": {"app": "shop:app", "broker": "redis", "workers": {"pay": {"replicas": 1}}},
    "load": [{"send": "shop.work", "args": [1], "count": 4}],
    "checks": {"no_loss": {}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users.py").write_text("")
    return tmp_path


def scenario(folder: Path, **changes: Any) -> Path:
    """``None`` takes a key away."""
    document = {key: value for key, value in {**SCENARIO, **changes}.items() if value is not None}
    path = folder / "s.yaml"
    path.write_text(json.dumps(document))
    return path


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(load, arguments)


def loaded(path: Path) -> LoadedScenario:
    return load_scenarios(path, registry())[0]


def test_a_schedule_has_no_place_for_users(folder: Path) -> None:
    path = scenario(folder, load=None, schedule=[{"send": "shop.work", "args": [1]}])
    with pytest.raises(UsageError, match="schedule"):
        with_locust(loaded(path), {"file": "users.py"}, [])


def test_the_text_that_repeats_the_run_can_be_loaded(folder: Path) -> None:
    extra = ["--csv=/mine", "--web-port=8089", "--master-bind-port=5557", "--expect-workers=2"]
    made = with_locust(loaded(scenario(folder)), {"file": "users.py", "users": 3, "duration": 3}, extra)
    assert made.scenario.locust is not None and made.scenario.locust.options == tuple(extra)
    again = folder / "again.yaml"
    again.write_text(made.text)
    spec = loaded(again).scenario.locust
    assert spec is not None and (spec.users, spec.duration, spec.options) == (3, 3.0, ())


@pytest.mark.parametrize(("said", "seconds"), [("400ms", 1), ("2.5s", 3), ("30", 30), ("1m 30s", 90)])
def test_a_time_is_rounded_up_to_what_locust_counts(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str, seconds: int) -> None:
    seen: list[float | None] = []

    def run_in_turn(cells: list[Chosen], options: Any) -> int:
        for cell in cells:
            spec = cell.loaded.scenario.locust
            assert spec is not None
            seen.append(spec.duration)
        return 0

    monkeypatch.setattr(module, "run_in_turn", run_in_turn)
    done = ran(str(scenario(folder)), "--locustfile", "users.py", "--run-time", said, "--runtime", "processes")
    assert done.exit_code == 0, done.output
    assert seen == [seconds]


@pytest.mark.parametrize("users", [("--locustfile", "users.py"), ()], ids=["Locust", "open loop"])
def test_figures_are_shown_as_long_as_it_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, users: tuple[str, ...]) -> None:
    told: list[str] = []

    def run_in_turn(cells: list[Chosen], options: Any) -> int:
        (observer,) = options.observers
        told.append(observer.begin("s", 0.0).split()[-1])
        with urllib.request.urlopen(told[0], timeout=10) as answer:
            return 0 if answer.status == 200 else 1

    monkeypatch.setattr(module, "run_in_turn", run_in_turn)
    monkeypatch.setattr("harness.cli.run.run_in_turn", run_in_turn)
    done = ran(str(scenario(folder)), *users, "--metrics", "0", "--runtime", "processes")
    assert done.exit_code == 0 and len(told) == 1, done.output
    with pytest.raises(OSError):
        urllib.request.urlopen(told[0], timeout=10)


@pytest.mark.parametrize("option", ["--run-time", "--spawn-rate"])
def test_zero_is_no_load(folder: Path, option: str) -> None:
    done = ran(str(scenario(folder)), "--locustfile", "users.py", option, "0")
    assert isinstance(done.exception, UsageError), done.output


def test_a_failure_comes_before_an_environment_that_broke(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = [sample.failing(), EnvironmentFault("the disk is full")]

    def run_one(*_: Any) -> Any:
        one = found.pop(0)
        if isinstance(one, Exception):
            raise one
        return one, Path()

    monkeypatch.setattr("harness.cli.run.run_one", run_one)
    path = scenario(folder, matrix={"seconds": [1, 2]}, drain={"timeout": "${{ matrix.seconds }}s"})
    done = ran(str(path), "--locustfile", "users.py", "--runtime", "processes")
    assert done.exit_code == 1, done.output
    assert not found
