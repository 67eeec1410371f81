"""`load --find-capacity` on a real broker, as a user runs it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.gate_support import told
from tests.e2e.searches import found, shop
from tests.e2e.support import end, processes_of, wait_until


@pytest.mark.exhaustive
def test_the_capacity_of_a_worker_is_found(tmp_path: Path) -> None:
    made = shop(tmp_path)
    done = made.run("load", "s.yaml", "--runtime", "processes", "--find-capacity", "--trial", "3s", "--precision", "30%", timeout=280)
    assert done.returncode == 0, told(done)
    result, folder = found(made, "capacity")
    one = result["capacity"]
    assert 10 < one["low"] < one["estimate"] < one["high"] < 32, done.stdout
    assert {trial["outcome"] for trial in result["trials"]} >= {"kept", "missed"} and "timeline" in " ".join(result["notes"])
    assert done.stdout.count("missed") >= 1 and "The capacity is" in done.stdout
    for trial in result["trials"]:
        run = folder / "trials" / trial["run_id"]
        assert (run / "result.json").is_file() and not (run / "journal").exists()
        assert trial["outcome"] != "kept" or trial["p95"] < 0.5
    assert processes_of(tmp_path) == []


@pytest.mark.exhaustive
def test_what_is_asked_for_is_decided(tmp_path: Path) -> None:
    made = shop(tmp_path)
    command = (
        "load",
        "s.yaml",
        "--runtime",
        "processes",
        "--find-capacity",
        "--trial",
        "3s",
        "--start-rate",
        "60/s",
        "--at-least",
        "50/s",
        "--json",
    )
    done = made.run(*command, timeout=200)
    assert done.returncode == 1, told(done)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events if event["event"] != "trial"] == ["begun", "result"]
    assert events[-1]["result"]["capacity"]["high"] < 50 and "50/s is not reached" in events[-1]["result"]["headline"]


@pytest.mark.exhaustive
def test_a_signal_leaves_what_the_trials_say(tmp_path: Path) -> None:
    made = shop(tmp_path)
    process = made.command("load", "s.yaml", "--runtime", "processes", "--find-capacity", "--trial", "3s")
    trials = tmp_path / "reports" / "capacity"
    wait_until(lambda: len([*trials.glob("*/trials/*/result.json")]) >= 2, "a trial and one more", 60)
    out, err = end(process, signal.SIGINT)
    assert process.returncode == 130, out + err
    result, _ = found(made, "capacity")
    assert result["interrupted"] and result["exit_code"] == 130 and result["trials"] and "INTERRUPTED" in out
    assert processes_of(tmp_path) == []
