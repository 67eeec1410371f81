"""What the commands refuse before anything starts, and what accepting does to the file."""

from __future__ import annotations

import json
import signal
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import main
from harness.cli.gate_cells import CellRunner, load_plan
from harness.errors import EnvironmentFault
from harness.gate.files import read_baseline, read_gate
from harness.gate.results import CellRun
from harness.gate.settings import gate_settings
from harness.model.gate import GateResult, Measures, Shard
from harness.model.verdict import Verdict
from tests.unit.gate.makers import cell, gate

_SCENARIO: dict[str, Any] = {
    "version": 1,
    "tags": ["ci"],
    "system": {"app": "shop:app", "broker": "redis"},
    "load": [{"send": "shop.work", "count": 1}],
    "checks": {"no_loss": {}},
}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The command line sets its own for signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    _scenario(tmp_path, "a")
    return tmp_path


def _scenario(folder: Path, name: str, **changes: Any) -> None:
    (folder / "scenarios" / f"{name}.yaml").write_text(json.dumps({**_SCENARIO, **changes}, indent=1))


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def _write(folder: Path, result: GateResult, name: str = "reports/gate/gate.json") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(result.model_dump_json())
    return name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the runtime of a gate is pinned, and none is named"),
        (["--runtime", "auto"], "a gate pins its runtime"),
        (["--runtime", "processes", "--tags", "none-such"], "has the tag none-such"),
        (["--runtime", "processes", "--shard", "2/2"], "the plan has only 1 cells"),
        (["--runtime", "processes", "--shard", "half"], "is not a part of a whole"),
        (["--runtime", "processes", "--budget", "5"], "'5' is not a duration"),
        (["--runtime", "processes", "nowhere"], "nowhere: no such file"),
        (["--runtime", "processes", "--baseline", "typo.json"], "typo.json: there is no such baseline"),
    ],
)
def test_a_gate_refuses_bad_input(project: Path, arguments: list[str], words: str) -> None:
    done = _run("gate", *arguments)
    assert done.exit_code == 2 and words in done.output, done.output
    assert not (project / "reports").exists()


def test_a_gate_refuses_overrides_where_they_are_written(project: Path) -> None:
    _scenario(project, "b", system={**_SCENARIO["system"], "config": {"task_acks_late": True}})
    done = _run("gate", "--runtime", "processes")
    line = next(n for n, text in enumerate((project / "scenarios/b.yaml").read_text().splitlines(), 1) if "task_acks_late" in text)
    assert done.exit_code == 2 and f"scenarios/b.yaml:{line}:" in done.output and "--allow-overrides" in done.output
    _scenario(project, "b", tags=["nightly"], system={**_SCENARIO["system"], "config": {"task_acks_late": True}})
    assert _run("gate", "--runtime", "processes", "--budget", "1ms").exit_code == 4, "without the tag it is not the gate's business"


def test_a_gate_tells_everything_that_does_not_load(project: Path) -> None:
    _scenario(project, "b", version=7)
    _scenario(project, "c", checks={"no_los": {}})
    done = _run("gate", "--runtime", "processes")
    assert done.exit_code == 2 and "b.yaml" in done.output and "c.yaml" in done.output


def test_a_gate_without_time_lists_what_it_left_out(project: Path) -> None:
    done = _run("gate", "--runtime", "processes", "--budget", "1ms")
    assert done.exit_code == 4 and "nothing ran, 1 left out" in done.output and "scenarios/a.yaml: it takes about" in done.output
    written = json.loads((project / "reports/gate/gate.json").read_text())
    assert [one["key"] for one in written["left_out"]] == written["plan"] == ["scenarios/a.yaml"]


def test_a_gate_refuses_a_broken_baseline(project: Path) -> None:
    (project / "celery-harness-baseline.json").write_text("{")
    done = _run("gate", "--runtime", "processes")
    assert done.exit_code == 2 and "celery-harness-baseline.json:1:2" in done.output


def test_an_environment_that_lets_nothing_run_is_every_cells_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no CI server finds an older gate's pass in the place of the report."""

    def refused(*_: Any) -> Any:
        raise EnvironmentFault("no engine answers", where="docker")

    monkeypatch.setattr("harness.cli.gate_run.warm_runner", refused)
    done = _run("gate", "--runtime", "containers")
    assert done.exit_code == 3 and "no engine answers" in done.output
    suites = ElementTree.parse(project / "reports/gate/junit.xml").getroot()
    assert [case.get("type") for case in suites.iter("error")] == ["ENVIRONMENT"]


_MISTAKES = [
    ["--tags", "none-such"],
    ["nowhere"],
    ["--budget", "x"],
    ["--baseline", "no.json"],
    ["--shard", "x"],
    ["--seed", "x"],
    ["--sed=1"],
]


@pytest.mark.parametrize("arguments", _MISTAKES, ids=" ".join)
@pytest.mark.parametrize("reports", ["reports", "out"])
def test_a_gate_that_is_refused_leaves_no_older_report(project: Path, arguments: list[str], reports: str) -> None:
    """Wherever it would have written."""
    _write(project, gate(cell("a")), f"{reports}/gate/gate.json")
    asked = [] if reports == "reports" else [f"--reports={reports}"]
    assert _run("gate", "--runtime", "processes", *asked, *arguments).exit_code == 2
    assert list((project / reports / "gate").iterdir()) == []


def test_a_gate_whose_section_is_wrong_leaves_no_older_report_and_help_leaves_all(project: Path) -> None:
    _write(project, gate(cell("a")), "out/gate/gate.json")
    section = project / "pyproject.toml"
    section.write_text('[tool.celery-harness.gate]\nreports = "out"\nbugdet = "5m"\n')
    assert _run("gate", "--help").exit_code == 0 and (project / "out/gate/gate.json").exists()
    assert _run("gate", "--runtime", "processes").exit_code == 2
    assert list((project / "out/gate").iterdir()) == []


def test_accepting_samples_of_the_seed_that_the_gate_had(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run("gate", "--runtime", "processes", "--budget", "1ms", "--seed", "5").exit_code == 4
    written = read_gate(project / "reports/gate/gate.json")
    assert written.seed == 5
    settings = gate_settings(project, {"runtime": "processes", "seed": 5})
    (planned,) = load_plan(project, settings, None)
    ran = cell("scenarios/a.yaml", file="scenarios/a.yaml", digest=planned.planned.digest, samples=(Measures(p50=1.0, samples=5),))
    _write(project, written.model_copy(update={"cells": (ran,), "left_out": ()}))
    monkeypatch.setattr(CellRunner, "run", lambda *_, **__: CellRun(Verdict.PASS, 0, 1.0, measures=Measures(p50=1.1, samples=5)))
    done = _run("baseline", "accept", "--runs", "2")
    assert done.exit_code == 0, done.output
    assert "2 samples" in _run("baseline", "show").output


def test_accepting_writes_the_baseline_and_says_what_changes(project: Path) -> None:
    _write(project, gate(cell("a", took=1.0), commit="abc+"))
    dry = _run("baseline", "accept", "--runs", "1", "--dry-run")
    assert dry.exit_code == 0 and "would write" in dry.output and not (project / "celery-harness-baseline.json").exists()
    done = _run("baseline", "accept", "--runs", "1", "--baseline", "b.json")
    assert done.exit_code == 2, "no sample at all, and this tree is not the gate's"
    one = cell("a", took=1.0, samples=({"p50": 0.1, "samples": 5},))
    _write(project, gate(one, commit="abc+"))
    done = _run("baseline", "accept", "--runs", "1", "--baseline", "b.json")
    assert done.exit_code == 0 and "+ a: pass, 1 sample, 1.0 s" in done.output and "not committed" in done.output, done.output
    written = read_baseline(project / "b.json")
    assert written is not None and written.commit == "abc+"
    again = _run("baseline", "accept", "--runs", "1", "--baseline", "b.json")
    assert again.exit_code == 0 and "nothing changes" in again.output
    assert "a: pass, 1 sample" in _run("baseline", "show", "--baseline", "b.json").output


def test_accepting_refuses_failures_and_other_trees(project: Path) -> None:
    _write(project, gate(cell("a", Verdict.FAIL)))
    assert _run("baseline", "accept").exit_code == 2
    assert _run("baseline", "accept", "--with-failures").exit_code == 0
    _write(project, gate(cell("a")))
    done = _run("baseline", "accept")
    assert done.exit_code == 2 and "the gate was made at abc, and this is" in done.output and "--runs 1" in done.output


def test_there_is_nothing_to_show_or_to_accept(project: Path) -> None:
    assert "there is no baseline" in _run("baseline", "show").output
    done = _run("baseline", "accept")
    assert done.exit_code == 2 and "reports/gate/gate.json" in done.output


def test_merging_writes_the_reports_of_the_whole(project: Path) -> None:
    plan = ("a", "b")
    one = _write(project, gate(cell("a"), plan=plan, shard=Shard(index=1, count=2)), "s1/gate/gate.json")
    other = gate(cell("b", Verdict.FAIL, summary="it broke"), plan=plan, shard=Shard(index=2, count=2))
    two = _write(project, other, "s2/gate/gate.json")
    done = _run("merge", one, str(Path(two).parent))
    assert done.exit_code == 1 and "1 passed, 1 failed" in done.output
    assert {"gate.json", "junit.xml", "gate.sarif", "gate.md"} <= {path.name for path in (project / "reports/gate").iterdir()}
    lines = _run("merge", one, two, "--json").output.splitlines()
    assert json.loads(lines[-1])["result"]["exit_code"] == 1
    missing = _run("merge", one)
    assert missing.exit_code == 2 and "missing: shard 2/2" in missing.output
