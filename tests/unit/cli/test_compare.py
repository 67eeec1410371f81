"""`compare` on results that exist: what it takes, what it refuses, how it exits."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import main
from harness.cli.compare_inputs import parse_failure, scenario_with
from harness.errors import UsageError
from harness.model.result import RunResult
from harness.reporting.json_file import result_text
from tests.unit.gate.compared import result


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """a1 … a5, b1 … b5 (slower), made one side after the other; short: two seconds; slow: its generator; other: another scenario."""
    chance = random.Random(1)
    for number in range(1, 6):
        for side, slower, minute in (("a", 1.0, number), ("b", 2.0, 10 + number)):
            _write(tmp_path / side / f"{side}{number}", result(chance, 60, 0.0, slower=slower, started=f"2026-01-01T00:{minute:02}:00Z"))
    _write(tmp_path / "short", result(chance, 2))
    _write(tmp_path / "other", result(chance, 2, scenario="other"))
    (tmp_path / "a" / "latest").symlink_to("a1")
    return tmp_path


def _write(folder: Path, made: RunResult) -> None:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(result_text(made.model_copy(update={"run_id": folder.name})))


def _compare(runs: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", "--reports", str(runs / "reports"), *arguments])


def _document(runs: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_compare(runs, "--json", *arguments).stdout)
    return found


def test_two_runs(runs: Path) -> None:
    done = _compare(runs, str(runs / "a" / "a1"), str(runs / "b" / "b1" / "result.json"))
    assert done.exit_code == 0, done.output
    assert "slower" in done.output and "from within the two runs" in done.output
    (page,) = (runs / "reports" / "compare").glob("*/compare.html")
    assert str(page) in done.output.replace("\n", "") and page.with_name("compare.json").is_file()


def test_two_lists_and_folders_of_runs_are_the_same(runs: Path) -> None:
    lists = [[str(runs / side / f"{side}{n}") for n in range(1, 6)] for side in "ab"]
    one = _document(runs, *lists[0], "--", *lists[1])
    other = _document(runs, str(runs / "a"), str(runs / "b"))
    assert one["rows"] == other["rows"] and one["source"] == "runs" and len(other["sides"][0]["runs"]) == 5
    (row,) = [r for r in one["rows"] if (r["metric"], r["statistic"]) == ("end_to_end_latency", "p50")]
    assert row["outcome"] == "worse" and row["low"] > 1.3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["a/a1", "b/b1", "--fail-on", "regression:10%"], 1),
        (["a/a1", "b/b1", "--fail-on", "regression:90%"], 0),
        (["b/b1", "a/a1", "--fail-on", "regression"], 0),
        (["short", "short"], 4),
        (["short", "a/a1", "--fail-on", "regression"], 4),
        (["a/a1", "other"], 2),
        (["a/a1", "other", "--anyway"], 4),
        (["a/a1"], 2),
        (["a/a1", "a/a2", "a/a3"], 2),
        (["a/a1", "nowhere"], 2),
        (["a/a1", "--"], 2),
        (["a/a1", "b/b1", "--fail-on", "slower"], 2),
        (["a/a1", "b/b1", "--a", "x=1"], 2),
        (["a/a1", "b/b1", "--interleave", "2"], 2),
    ],
)
def test_exit_codes(runs: Path, arguments: list[str], code: int) -> None:
    named = [str(runs / a) if "/" in a or a in ("short", "other") else a for a in arguments]
    done = _compare(runs, *named)
    assert done.exit_code == code, done.output
    assert code != 2 or "rror" in done.output


def test_a_file_that_is_no_result_is_bad_input(runs: Path) -> None:
    (runs / "short" / "result.json").write_text("{}")
    assert _compare(runs, str(runs / "short"), str(runs / "a" / "a1")).exit_code == 2


def test_the_same_run_named_twice_counts_once(runs: Path) -> None:
    found = _document(runs, str(runs / "a" / "a1"), str(runs / "a" / "latest"), "--", str(runs / "b" / "b1"))
    assert len(found["sides"][0]["runs"]) == 1


def test_what_fails() -> None:
    assert (parse_failure(""), parse_failure("regression"), parse_failure("regression:5%")) == (None, 0.0, 0.05)
    for text in ("regression:5", "improvement", "regression:"):
        with pytest.raises(UsageError):
            parse_failure(text)


SCENARIO = """\
version: 1
seed: 3
matrix: {broker: [redis, rabbitmq]}
system:
  app: shop:app
  broker: "${{ matrix.broker }}"
  config: {task_acks_late: true}
  workers: {pay: {replicas: 2}}
load:
  - {send: shop.work, count: 3}
"""


def test_settings_of_a_side_are_merged_into_the_scenario(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SCENARIO)
    settings = ["matrix.broker=redis", "worker_prefetch_multiplier=1", "workers.pay.concurrency=4", "drain.timeout=9s"]
    found = scenario_with(file, settings, "--a", 11)
    system = found.scenario.system
    assert (found.path, found.name, found.scenario.seed, found.scenario.drain.timeout) == (file, "shop", 11, 9.0)
    assert system.config == {"task_acks_late": True, "worker_prefetch_multiplier": 1}
    assert (system.workers["pay"].replicas, system.workers["pay"].concurrency, system.broker) == (2, 4, "redis")
    assert "worker_prefetch_multiplier: 1" in found.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "2 cells"),
        (["matrix.broker"], "not KEY=VALUE"),
        (["matrix.broker=redis", "workers.pay.concurency=4"], "--b"),
        (["matrix.broker=redis", "x=[1"], "no YAML"),
        (["matrix.broker=redis", "sytem.path=."], "system"),
    ],
)
def test_settings_that_are_wrong_are_refused(tmp_path: Path, settings: list[str], said: str) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SCENARIO)
    with pytest.raises(UsageError) as caught:
        scenario_with(file, settings, "--b", None)
    assert said in str(caught.value) and "celery-harness-compare-" not in str(caught.value)
