from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from harness.errors import EnvironmentFault
from harness.model.gate import GateResult
from harness.reporting.annotations import SUMMARY_LIMIT
from harness.reporting.gate_files import write_gate_reports
from harness.reporting.sarif import MOST_RESULTS
from tests.unit.reporting import gate_sample


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def github(project: Path, **more: str) -> dict[str, str]:
    return {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(project), "GITHUB_STEP_SUMMARY": str(project / "summary"), **more}


@pytest.mark.parametrize("name", sorted(gate_sample.ALL))
def test_four_files_and_silence_outside_of_a_ci(name: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = gate_sample.ALL[name]()
    written = write_gate_reports(result, project / "gate", {})
    assert [path.name for path in written] == ["gate.json", "junit.xml", "gate.sarif", "gate.md"]
    assert sorted(path.name for path in (project / "gate").iterdir()) == sorted(path.name for path in written)
    assert GateResult.model_validate_json(written[0].read_bytes()) == result
    assert capsys.readouterr().out == ""


def test_ten_thousand_findings_are_no_more_than_code_scanning_takes(project: Path) -> None:
    write_gate_reports(gate_sample.huge(10_000), project, github(project), io.StringIO())
    run = json.loads((project / "gate.sarif").read_text())["runs"][0]
    assert (
        len(run["results"]) == MOST_RESULTS
        and "5,000 more results" in run["invocations"][0]["toolExecutionNotifications"][-1]["message"]["text"]
    )
    assert (project / "summary").stat().st_size < SUMMARY_LIMIT


def test_github_gets_annotations_and_a_summary(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_gate_reports(gate_sample.mixed(), project / "gate", github(project))
    assert capsys.readouterr().out.startswith("::error file=shop/orders.py,line=41,title=EFFECT%3A Two orders")
    assert (project / "summary").read_text().startswith("# FAIL: reliability gate")


@pytest.mark.parametrize("value", ["", "false", "1"])
def test_only_github_is_told(value: str, project: Path) -> None:
    out = io.StringIO()
    write_gate_reports(gate_sample.mixed(), project, github(project, GITHUB_ACTIONS=value), out)
    assert out.getvalue() == "" and not (project / "summary").exists()


def test_a_summary_that_cannot_be_written_is_said_and_no_more(project: Path) -> None:
    out = io.StringIO()
    write_gate_reports(gate_sample.mixed(), project, github(project, GITHUB_STEP_SUMMARY=str(project / "no" / "summary")), out)
    assert out.getvalue().splitlines()[-1].startswith("::warning title=celery-harness::the job's summary cannot be written: No such file")


def test_a_stream_of_another_encoding_or_without_a_reader_does_no_harm(project: Path) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    raw = io.BytesIO()
    narrow = io.TextIOWrapper(raw, encoding="ascii")
    write_gate_reports(gate_sample.hostile(), project, github(project), narrow)
    write_gate_reports(gate_sample.hostile(), project, github(project), Gone())
    assert raw.getvalue().startswith(b"::error ")


def test_gitlab_gets_code_quality(project: Path) -> None:
    written = write_gate_reports(gate_sample.mixed(), project, {"GITLAB_CI": "true", "CI_PROJECT_DIR": str(project)}, io.StringIO())
    assert written[-1].name == "gl-code-quality.json"
    entries = json.loads(written[-1].read_text())
    assert entries[0] == {
        "description": entries[0]["description"],
        "check_name": "celery-harness/EFFECT",
        "fingerprint": entries[0]["fingerprint"],
        "severity": "critical",
        "location": {"path": "shop/orders.py", "lines": {"begin": 41}},
    }
    assert entries[0]["description"].startswith("EFFECT: Two orders were charged twice.")
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)
    assert {entry["severity"] for entry in entries} == {"critical", "minor"}


def test_a_folder_that_cannot_be_made_is_the_environments_fault(project: Path) -> None:
    (project / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_gate_reports(gate_sample.mixed(), project / "file" / "gate", {})
