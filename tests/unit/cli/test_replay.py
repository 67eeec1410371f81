"""What `explore` saves, what it refuses to save, and what `replay` refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from harness.assembly import registry
from harness.cli import main
from harness.cli.explore_saved import with_saved_flaws
from harness.cli.replay import _told
from harness.explore.foreseen import ForeseenEnd
from harness.model.exploration import Coverage, Delivery, Exploration, Flaw, Outcome, Rerun, Stop
from harness.model.finding import CheckResult
from harness.model.replaying import Foreseen
from harness.model.result import RunResult
from harness.model.scenario import ExploreItem
from harness.model.verdict import Verdict
from harness.scenario import load_scenarios

_PLAIN = "version: 1\nsystem: {app: shop:app, services: {documents: files}, broker: {kind: redis, proxy: true}}\n"
_ITEM = ExploreItem(task="shop.charge", args=(7,))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.yaml").write_text(_PLAIN + "explore: [{task: shop.charge, args: [7]}]\n")
    return tmp_path


def stop(number: int) -> Stop:
    return Stop(number, "rename", "file", "documents: x", "rename x to y", "rename documents: rename x to y")


def found(path: tuple[Delivery, ...], ends: tuple[Outcome, ...], stops: tuple[Stop, ...], **changes: Any) -> Exploration:
    difference = {"collection": "documents.files", "row": {"path": "y"}, "before": None, "after": None, "expected": {"size": 4}}
    rerun = Rerun(ends, "done", 5.0, 5.0, refused=changes.pop("refused", ""))
    flaw = Flaw("EFFECT", "It is not there.", (), path, stops, (difference,), "Write it.", True, rerun=rerun)
    return Exploration("shop.charge", [7], {}, "fails", "It fails.", Coverage(1, 1, 1, 1), (flaw,), **changes)


def saved(folder: Path, exploration: Exploration) -> tuple[str, str]:
    (loaded,) = load_scenarios(Path("plain.yaml"), registry())
    (flaw,) = with_saved_flaws(exploration, loaded, _ITEM, folder / "run").flaws
    return flaw.saved, flaw.rerun.refused if flaw.rerun else ""


def test_each_crash_of_the_path_is_a_fault_with_its_address(folder: Path) -> None:
    (folder / "run").mkdir()
    path = (Delivery(0, 4), Delivery(), Delivery(0, 9), Delivery(0, 2), Delivery())
    ends = (Outcome.KILLED, Outcome.RETRY, Outcome.SUCCESS, Outcome.KILLED, Outcome.SUCCESS)
    name, refused = saved(folder, found(path, ends, (stop(4), stop(2))))
    assert (name, refused) == (os.path.join("run", "plans", "shop.charge-1.yaml"), "")  # noqa: PTH118 (as it is told)
    (loaded,) = load_scenarios(Path(name), registry())  # it is a scenario as any other
    scenario = loaded.scenario
    points = [item.when.model_dump(exclude_none=True, exclude={"task", "call"}) for item in scenario.timeline if item.when]
    identity = "rename documents: rename x to y"
    assert points == [
        {"reaches": "effect", "nth": 1, "effect": {"number": 4, "identity": identity, "delivery": 1}},
        {"reaches": "before_ack", "nth": 2},  # the retry's own ack came first
        {"reaches": "effect", "nth": 1, "effect": {"number": 2, "identity": identity, "delivery": 4}},
    ]
    assert scenario.system.broker_spec.proxy is False
    (workers,) = scenario.system.workers.values()
    assert (workers.replicas, workers.concurrency, workers.prefetch_multiplier) == (1, 1, 1)
    assert workers.options == ("--max-tasks-per-child=1",)  # the retry, too, is to run in a fresh process
    assert scenario.foreseen is not None and scenario.foreseen.ended == "succeeded"
    assert scenario.system.redelivery == 5.0 and scenario.runtime == "processes"
    assert dict(scenario.system.env) == {"PYTHONHASHSEED": "0", "CELERY_HARNESS_HASH_VARIES": "1"}  # `hash` as in the explorer's children


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"refused": "it has no end"}, "it has no end"),
        ({"environment": {"points": "lines"}}, "it was found at lines"),
        ({"drawn": SimpleNamespace(rows="shop:rows")}, "its first rows were drawn"),
    ],
)
def test_what_real_workers_cannot_repeat_is_not_saved(folder: Path, changes: dict[str, Any], words: str) -> None:
    name, refused = saved(folder, found((Delivery(0, 4),), (Outcome.KILLED,), (stop(4),), **changes))
    assert name == "" and words in refused
    assert not (folder / "run").exists()


def test_nothing_can_be_confirmed_where_nothing_was_foreseen(folder: Path) -> None:
    (folder / "load.yaml").write_text(_PLAIN + "checks: {no_loss: {}}\nload: [{send: shop.charge, args: [7], count: 1}]\n")
    done = CliRunner().invoke(main, ["replay", "load.yaml", "--confirm"])
    assert done.exit_code == 2
    assert "says nothing of what `explore` has foreseen" in done.output + (done.stderr if done.stderr_bytes else "")


def concluded(capsys: pytest.CaptureFixture[str], *, otherwise: tuple[str, ...] | None, torn: int = 0, **run: Any) -> tuple[int, str]:
    """(exit code, last line of JSON) of a run that ended so."""
    foreseen = Foreseen(word="LOST")
    end = ForeseenEnd(foreseen)
    end.otherwise, end.torn = otherwise, torn
    failed = CheckResult(name="no_loss", question="?", verdict=Verdict.FAIL, summary="1 of 1 is lost")
    judged = CheckResult(name=end.name, question="?", verdict=Verdict.INCONCLUSIVE, summary="the check itself failed: KeyError: 'x'")
    told = {
        "run_id": "r",
        "scenario": "s",
        "file": "s.yaml",
        "description": "",
        "seed": 0,
        "started": "",
        "took": 1.0,
        "runtime": "processes",
    }
    result = RunResult.model_validate(
        {**told, "verdict": Verdict.FAIL, "exit_code": 1, "environment": {}, "checks": (failed, judged), **run}
    )
    loaded: Any = SimpleNamespace(scenario=SimpleNamespace(foreseen=foreseen))
    return _told(loaded, result, end, as_json=True), capsys.readouterr().out


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ({"otherwise": None}, "nothing was compared: the check itself failed: KeyError: 'x'"),
        ({"otherwise": None, "checks": ()}, "nothing was compared: the run came to no end"),
        ({"otherwise": None, "exit_code": 0}, "nothing was compared: the check itself failed: KeyError: 'x'"),
        ({"otherwise": (), "torn": 2}, "records of the journal are torn (2), so what became of the call is not certain"),
        ({"otherwise": ("another",), "torn": 1}, "records of the journal are torn (1), so what became of the call is not certain"),
        ({"otherwise": (), "deaths": ("main-1 ended by itself at 2.0 s (exit 1)",)}, "main-1 ended by itself at 2.0 s (exit 1)"),
    ],
)
def test_where_nothing_is_certain_nothing_is_concluded(capsys: pytest.CaptureFixture[str], run: dict[str, Any], why: str) -> None:
    code, told = concluded(capsys, **run)
    assert (code, json.loads(told)) == (4, {"confirm": "undecided", "word": "LOST", "why": [why], "exit_code": 4})


@pytest.mark.parametrize("code", [2, 3, 130, 143])
def test_where_the_run_itself_came_to_no_end_its_own_code_stands(capsys: pytest.CaptureFixture[str], code: int) -> None:
    assert concluded(capsys, otherwise=None, exit_code=code) == (code, "")


def test_what_was_compared_is_concluded(capsys: pytest.CaptureFixture[str]) -> None:
    assert [concluded(capsys, otherwise=one)[0] for one in [(), ("another",)]] == [1, 3]
