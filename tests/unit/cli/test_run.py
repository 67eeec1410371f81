"""`celery-harness run` over several runs: how each is called, what closes them, and what one that breaks does to the others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import jobs, main
from harness.cli import run as module
from harness.cli.run import Options
from harness.errors import EnvironmentFault, Interrupted, UsageError
from harness.model.result import RunResult
from harness.reporting.json_file import result_document
from harness.run.runner import _on
from tests.unit.reporting import sample

MATRIX = "scenarios/acks/kills-by-acknowledgement-broken.yaml"
ONE = "scenarios/acks/late-ack-keeps-the-order.yaml"


def outcomes(monkeypatch: pytest.MonkeyPatch, *found: RunResult | Exception) -> None:
    """Instead of real runs, in turn."""
    waiting = list(found)

    def run_one(loaded: Any, runtime: Any, options: Any, listener: Any) -> tuple[RunResult, Path]:
        outcome = waiting.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        listener.begun(loaded.name, "processes")
        listener.finished(outcome, Path("reports/x"))
        return outcome, Path("reports/x")

    monkeypatch.setattr(module, "run_one", run_one)


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", "--runtime", "processes", *arguments])


def test_every_cell_says_its_values_and_a_table_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, sample.passing(), sample.failing(), sample.inconclusive(), sample.passing())
    done = ran(MATRIX)
    lines = done.output.splitlines()
    titles = [line for line in lines if line.startswith("kills-by")]
    assert titles[1] == "kills-by-acknowledgement-broken [acks_late=true, prefetch=4]   2 of 4" and len(titles) == 4
    table = lines[next(number for number, line in enumerate(lines) if line.startswith("    verdict")) :]
    assert [line.split()[1] for line in table if line.startswith("  ") and line[2] in "✓✕?"] == ["pass", "FAIL", "inconclusive", "pass"]
    assert sum("[acks_late=" in line for line in table) == 4
    assert table[-1].startswith("✕ FAIL  4 runs: 2 passed, 1 failed, 1 inconclusive") and done.exit_code == 1


def test_repetitions_are_told_apart_by_their_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, *[sample.passing()] * 3)
    done = ran(ONE, "--repeat", "3", "--seed", "7")
    assert "late-ack-keeps-the-order, seed 8   2 of 3\n" in done.output
    assert done.output.splitlines()[-1].startswith("✓ PASS  3 runs: 3 passed") and done.exit_code == 0


def test_a_single_run_is_told_without_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, sample.passing())
    done = ran(ONE)
    assert done.output.startswith("late-ack-keeps-the-order\nprocesses\n") and "1 run" not in done.output


def test_one_that_breaks_is_told_by_its_title_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, EnvironmentFault("no port", hint="free one"), *[sample.passing()] * 3)
    done = ran(MATRIX)
    assert "error in kills-by-acknowledgement-broken [acks_late=true, prefetch=1]: no port\n  free one\n" in done.output
    assert "4 runs: 3 passed, 1 not judged" in done.output and done.exit_code == 3


def test_what_had_ended_before_a_signal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, sample.passing(), Interrupted(2))
    done = ran(MATRIX)
    assert "? INTERRUPTED  4 runs: 1 passed, 3 not ended" in done.output and done.exit_code == 130


def test_programs_get_lines_of_json_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, *[sample.passing()] * 4)
    events = [json.loads(line) for line in ran(MATRIX, "--json").output.splitlines()]
    begun = [event["title"] for event in events if event["event"] == "begun"]
    assert begun[0] == "kills-by-acknowledgement-broken [acks_late=true, prefetch=1]" and len(begun) == 4


# --- side by side ---------------------------------------------------------------------------------------------------------


def children(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    """What the child processes do instead of running a scenario, in turn."""
    waiting = list(programs)
    monkeypatch.setattr(jobs, "_command", lambda one, options: [sys.executable, "-c", waiting.pop(0)])


def telling(file: Path, result: RunResult, **changes: Any) -> str:
    file.write_text(json.dumps({"event": "result", "folder": "reports/x", "result": {**result_document(result), **changes}}))
    return f"print(open({str(file)!r}).read()); raise SystemExit({result.exit_code})"


def test_side_by_side_the_table_grows_and_the_end_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = "import sys; sys.stderr.write('error: x.yaml:1:1: no task\\n  known: b\\n'); raise SystemExit(2)"
    passing, failing = telling(tmp_path / "passing", sample.passing()), telling(tmp_path / "failing", sample.failing())
    children(monkeypatch, passing, failing, broken, telling(tmp_path / "odd", sample.failing(), took=None))
    done = ran(MATRIX, "-j", "2")
    assert done.output.count("scenario [cell]") == 1 and done.output.count("[acks_late=") == 4
    assert "      EFFECT Two orders were charged twice.\n      Report  reports/x/report.html\n" in done.output
    assert "      x.yaml:1:1: no task\n" in done.output and "known: b" in done.output
    assert "4 runs: 1 passed, 2 failed, 1 refused" in done.output and done.exit_code == 1


def test_a_child_that_says_nothing_is_the_environments_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    children(monkeypatch, "raise SystemExit(9)", *[telling(tmp_path / "passing", sample.passing())] * 3)
    done = ran(MATRIX, "-j", "4")
    assert "      ended without a result\n" in done.output and done.exit_code == 3


def test_a_child_that_cannot_be_started_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []
    begin = subprocess.Popen

    def popen(*args: Any, **options: Any) -> subprocess.Popen[str]:
        if len(started) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(begin(*args, **options))
        return started[-1]

    children(monkeypatch, *["import time; time.sleep(600)"] * 4)
    monkeypatch.setattr(subprocess, "Popen", popen)
    done = ran(MATRIX, "-j", "3")
    assert [child.poll() for child in started] == [-signal.SIGTERM] * 2
    said = "kills-by-acknowledgement-broken [acks_late=false, prefetch=1] cannot be started, so all runs were stopped: [Errno 11]"
    assert isinstance(done.exception, EnvironmentFault) or done.exit_code == 3
    assert said in done.output + str(done.exception)


def test_each_cell_has_the_runtime_that_it_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first cell's stood for all of them, and a cell passed in processes that said containers."""
    system = "system: {app: 'app:app', broker: redis}\nload: [{send: t.noop, count: 3}]\nchecks: {no_loss: {}}\n"
    file = tmp_path / "m.yaml"
    file.write_text("version: 1\nmatrix: {where: [processes, containers, auto]}\nruntime: ${{ matrix.where }}\n" + system)
    monkeypatch.setenv("CELERY_HARNESS_RUNTIME", "containers")
    assert [one.runtime for one in module._load([file], Options("auto", tmp_path))] == ["processes", "containers", "containers"]
    assert {one.runtime for one in module._load([file], Options("processes", tmp_path))} == {"processes"}
    monkeypatch.setenv("CELERY_HARNESS_RUNTIME", "rubbish")
    with pytest.raises(UsageError, match="there is no runtime rubbish"):
        module._load([file], Options("auto", tmp_path))


@pytest.mark.parametrize("said", ["", "runtime: auto\n", "runtime: containers\n"])
def test_the_plan_that_repeats_a_run_names_its_runtime(said: str) -> None:
    text = f"version: 1\n{said}description: 'one\n  runtime: two'\nload: []\n"
    assert _on("processes", text) == "version: 1\nruntime: processes\ndescription: 'one\n  runtime: two'\nload: []\n"
