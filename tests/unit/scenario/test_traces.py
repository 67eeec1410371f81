"""Traces: read with the scenario, every bad line named, and the same from wherever the scenario is saved again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.load.arrivals import plan_calls
from harness.model.result import RunResult, TaskColumns
from harness.model.trace import Trace
from harness.model.verdict import Verdict
from harness.ports.registry import Registry
from harness.scenario import LoadedScenario, load_scenarios

SCENARIO = "version: 1\nsystem: {app: 'shop:app'}\nload:\n  - {send: pay, arrival: trace, trace: %s%s}\n"


def load(folder: Path, trace: str, name: str = "t.csv", more: str = "") -> LoadedScenario:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(trace)
    path = folder / "s.yaml"
    path.write_text(SCENARIO % (name, more))
    (loaded,) = load_scenarios(path, Registry())
    return loaded


def read(folder: Path, trace: str, **options: Any) -> Trace:
    return load(folder, trace, **options).scenario.load[0].played


def errors(folder: Path, trace: str, **options: Any) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(folder, trace, **options)
    return [str(error) for error in getattr(caught.value, "errors", [caught.value])]


def test_times_alone(tmp_path: Path) -> None:
    assert read(tmp_path, "at\n0\n0.5\n\n2e0\n") == Trace((0.0, 0.5, 2.0))


def test_a_mark_at_the_beginning_and_other_columns_do_no_harm(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffhost,at\r\na,0\r\nb,1\r\n") == Trace((0.0, 1.0))


def test_lines_in_any_order_keep_their_own(tmp_path: Path) -> None:
    trace = read(tmp_path, 'at,task,args,kwargs\n2,refund,"[1, ""x""]",\n1,,,"{""a"": 1}"\n1,,[3],\n')
    assert trace.at == (1.0, 1.0, 2.0)
    assert trace.own == ((None, None, {"a": 1}), (None, [3], None), ("refund", [1, "x"], None))
    file = str(tmp_path / "t.csv")
    assert [place for place, _ in trace.kinds] == [f"{file}:2", f"{file}:3", f"{file}:4"]


def test_columns_that_are_empty_everywhere_are_none(tmp_path: Path) -> None:
    assert read(tmp_path, "at,task,args\n1,,\n2,, \n").own == ()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("x,,,", "`at` is a number of seconds, not 'x'"),
        (",,,", "`at` is a number of seconds, not ''"),
        ("nan,,,", "`at` counts seconds from the beginning, so it is not nan"),
        ("-1,,,", "`at` counts seconds from the beginning, so it is not -1"),
        ("inf,,,", "so it is not inf"),
        ("1718115751,,,", "more than a year: it counts from the trace's beginning, not from 1970"),
        ("1", "the line has 1 cells, the header names more"),
        ("1,pay me,,", "`task` takes the full name of one task, not 'pay me'"),
        ("1,,7,", "`args` is a list in JSON, not '7'"),
        ('1,,"{""a"": 1}",', "`args` is a list in JSON"),
        ("1,,[1;],", "`args` is not JSON"),
        ("1,,,[1]", "`kwargs` is an object in JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, what: str) -> None:
    (error,) = errors(tmp_path, f"at,task,args,kwargs\n0,,,\n{line}\n2,,,\n")
    assert error.startswith(f"{tmp_path / 't.csv'}:3:1")
    assert what in error


def test_every_bad_line_is_named_with_the_line_on_which_it_begins(tmp_path: Path) -> None:
    found = errors(tmp_path, 'at,args\n0,"[1,\n2]"\nx,\n1,"[\n"\n')
    assert [error.partition(": ")[0].rsplit(":", 2)[-2] for error in found] == ["4", "5"]


def test_a_file_that_is_wrong_throughout_is_told_once(tmp_path: Path) -> None:
    found = errors(tmp_path, "at\n" + "x\n" * 1000)
    assert len(found) == 21
    assert any("has 1,000 bad lines; the first 20 are told" in error for error in found)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("time,task\n1,a\n", "`at` (seconds from the beginning) is not among them"),
        ("at,arg\n1,\n", "there is no column `arg`; did you mean `args`?"),
        ("at,at\n1,2\n", "the column `at` is there twice"),
        ('at\n"1\n', "this is no CSV"),
        ("at\n", "has no calls"),
        ("", "`at` (seconds from the beginning) is not among them"),
    ],
)
def test_a_bad_file(tmp_path: Path, text: str, what: str) -> None:
    assert any(what in error for error in errors(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO % ("gone.csv", ""))
    with pytest.raises(ScenarioError, match=r"gone\.csv cannot be read: No such file") as caught:
        load_scenarios(tmp_path / "s.yaml", Registry())
    assert caught.value.where.startswith(f"{tmp_path / 's.yaml'}:4:")
    (tmp_path / "gone.csv").write_bytes(b"at\n\xff\n")
    with pytest.raises(ScenarioError, match="is not UTF-8"):
        load_scenarios(tmp_path / "s.yaml", Registry())


def test_its_own_tasks_are_single_calls(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("at,task\n1,a\n")
    (tmp_path / "s.yaml").write_text((SCENARIO % ("t.csv", "")).replace("send: pay", "group: [{send: pay}]"))
    with pytest.raises(ScenarioError, match="it plays single calls, so write `send`"):
        load_scenarios(tmp_path / "s.yaml", Registry())


def test_a_run_is_played_again_as_it_was_due(tmp_path: Path) -> None:
    columns: dict[str, Any] = dict.fromkeys(("id", "task", "label", "fate", "finding", "error"), ("x",) * 4)
    columns |= {"call": (1, 2, 2, 0), "due": (0.5, 2.0, 2.2, 9.0), "latency": (1.0,) * 4, "attempts": ((),) * 4}
    result = RunResult(
        run_id="r", scenario="s", file="s.yaml", description="", seed=0, verdict=Verdict.PASS, exit_code=0, started="", took=1.0,
        runtime="processes", environment={}, tasks=TaskColumns(**columns),
    )  # fmt: skip
    assert read(tmp_path, result.model_dump_json(), name="result.json") == Trace((0.5, 2.0))
    (error,) = errors(tmp_path, json.dumps({"run_id": 3}), name="result.json")
    assert "is not a run's result.json" in error


def test_it_is_found_again_from_where_the_plan_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(tmp_path / "scenarios", "at\n0\n1\n")
    saved = tmp_path / "reports" / "s.yaml"
    saved.parent.mkdir()
    saved.write_text(loaded.text)
    (again,) = load_scenarios(saved, Registry())
    assert again.text == loaded.text
    assert plan_calls(again.scenario.load, 0) == plan_calls(loaded.scenario.load, 0)


def test_the_producer_is_told_what_each_call_says_of_itself(tmp_path: Path) -> None:
    item = load(tmp_path, "at,task\n1,refund\n0,\n").scenario.load[0]
    assert item.planned()["own"] == [[None, None, None], ["refund", None, None]]
    assert "own" not in load(tmp_path, "at\n1\n").scenario.load[0].planned()
