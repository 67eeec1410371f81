"""`load --stress` and `--soak` on a real broker, as a user runs them."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.gate_support import told
from tests.e2e.searches import SHOP, SICK, found, shop
from tests.e2e.support import end, wait_until


@pytest.mark.timeout(700)
@pytest.mark.parametrize(
    ("text", "within", "code", "said"),
    [
        pytest.param(SHOP, "30s", 0, "recovers in", id="healthy", marks=pytest.mark.exhaustive),
        pytest.param(SICK, "12s", 1, "STORM: up to", id="sick", marks=pytest.mark.exhaustive),
    ],
)
def test_an_overload_and_what_becomes_of_it(tmp_path: Path, text: str, within: str, code: int, said: str) -> None:
    made = shop(tmp_path, text)
    for _ in range(3):  # inconclusive, and rightly so, where other tests take the processor from the shop
        done = made.run("load", "s.yaml", "--runtime", "processes", "--stress", "--trial", "3s", "--recover-within", within, timeout=200)
        if done.returncode != 4:
            break
        shutil.rmtree(made.folder / "reports")
    assert done.returncode == code and said in done.stdout, told(done)
    result, folder = found(made, "stress")
    assert result["recovery"]["broke"] and result["recovery"]["backlog_peak"] > 5 * result["recovery"]["backlog_before"]
    assert (result["recovery"]["backlog_gone"] is None) is bool(code)
    assert (folder / result["run_id"] / "report.html").is_file()


@pytest.mark.exhaustive
def test_a_soak_that_is_too_short_says_so(tmp_path: Path) -> None:
    made = shop(tmp_path, thresholds={"end_to_end_latency": ["p(95) < 15s"]})
    done = made.run("load", "s.yaml", "--runtime", "processes", "--soak", "8s", "--rate", "12/s")
    assert done.returncode == 4, told(done)
    result, folder = found(made, "soak")
    names = [drift["name"] for drift in result["drifts"]]
    assert names == ["memory of pay-1", "memory of the broker", "end to end p50", "end to end p95"]
    assert {drift["outcome"] for drift in result["drifts"]} == {"cannot tell"} and "let it last longer" in done.stdout
    run = json.loads((folder / result["run_id"] / "result.json").read_text())
    assert run["calls"] == 96 and [check["name"] for check in run["checks"]] == ["no_loss", "thresholds"]


def test_an_interrupted_soak_says_what_it_has_seen(tmp_path: Path) -> None:
    made = shop(tmp_path)
    process = made.command("load", "s.yaml", "--runtime", "processes", "--soak", "5m", "--rate", "10/s")
    journals = tmp_path / "reports" / "soak"
    wait_until(lambda: sum(path.read_bytes().count(b'"k":"end"') for path in journals.glob("*/*/journal/faults/*")) > 20, "work", 60)
    out, err = end(process, signal.SIGINT)
    assert process.returncode == 130, out + err
    result, _ = found(made, "soak")
    assert result["interrupted"] and result["exit_code"] == 130 and "what was seen until then" in result["headline"]
    assert [drift["name"] for drift in result["drifts"]] == ["memory of pay-1", "memory of the broker", "end to end p50", "end to end p95"]
