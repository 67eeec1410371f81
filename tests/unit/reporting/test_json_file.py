from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import pytest

from harness.errors import EnvironmentFault
from harness.model.result import RunResult
from harness.ports.reporter import Progress
from harness.reporting import WRITERS, JsonLines
from harness.reporting.json_file import SCHEMA_FILE, result_schema, result_text, schema_text
from tests.unit.reporting import sample


@pytest.mark.parametrize("name", sorted(set(sample.ALL) - {"large"}))
def test_result_json_holds_the_whole_result(name: str) -> None:
    result = sample.ALL[name]()
    assert RunResult.model_validate_json(result_text(result)) == result


def test_result_json_has_one_key_per_line() -> None:
    lines = result_text(sample.failing()).splitlines()
    assert len(lines) == len(RunResult.model_fields) + 2
    assert lines[1] == '"schema_version": 1,'


def test_committed_schema_is_the_models() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run: python -c 'from harness.reporting.json_file import write_schema; write_schema()'"


def test_results_satisfy_the_schema() -> None:
    for make in (sample.failing, sample.environment, sample.hostile):
        jsonschema.validate(json.loads(result_text(make())), result_schema())


def test_a_figure_that_is_no_number_is_null_in_the_file() -> None:
    result = sample.passing()
    check = result.checks[0].model_copy(update={"numbers": {"spread": float("nan")}})
    document = json.loads(result_text(result.model_copy(update={"checks": (check,)})), parse_constant=pytest.fail)
    assert document["checks"][0]["numbers"] == {"spread": None}


def test_every_writer_writes_its_file_and_nothing_else(tmp_path: Path) -> None:
    written = [writer().write(sample.failing(), tmp_path) for writer in WRITERS.values()]
    assert (
        sorted(p.name for p in tmp_path.iterdir())
        == sorted(p.name for p in written)
        == ["junit.xml", "measures.csv", "per-second.csv", "report.html", "result.json", "summary.md"]
    )


def test_a_folder_that_cannot_be_written_is_an_environment_fault(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(EnvironmentFault, match="cannot be written") as caught:
        WRITERS["json"]().write(sample.tiny(0), blocked)
    assert "--reports" in caught.value.hint
    assert blocked.read_text() == "in the way"


def test_json_lines_are_one_object_per_event() -> None:
    out = io.StringIO()
    listener = JsonLines(out)
    listener.begun("celery-harness run x.yaml", "processes")
    listener.progress(Progress(phase="run", text="", at=1.5, done=3, total=9))
    listener.finished(sample.hostile(), Path("reports/x"))
    begun, progress, last = [json.loads(line) for line in out.getvalue().splitlines()]
    assert begun == {"event": "begun", "title": "celery-harness run x.yaml", "environment": "processes"}
    assert progress == {"event": "progress", "phase": "run", "text": "", "at": 1.5, "done": 3, "total": 9}
    assert last["event"] == "result"
    assert RunResult.model_validate(last["result"]) == sample.hostile()
