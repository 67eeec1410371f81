"""Locust's users where the way to the broker is not plain: encrypted, slow, reset; and what they may not connect to. And the page."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.locust_support import SYSTEM, USERS, failures, of_all, rows, scenario
from tests.e2e.support import processes_of, project, wait_until
from tests.e2e.test_locust import SHAPE, agree, web_page
from tests.parts import parts

SPEC = {"file": "users.py", "users": 3, "for": "4s"}
#: Locust counts a failed request as a failed run, and here requests may fail.
TOLERANT = {**SPEC, "options": ["--exit-code-on-error=0"]}


@pytest.mark.parametrize("processes", parts([1, 2], quick=[]))
def test_users_of_an_encrypted_broker(tmp_path: Path, processes: int) -> None:
    made = project(tmp_path, users=USERS)
    tls = {"kind": "redis", "tls": True}
    path = scenario(made, system={**SYSTEM, "broker": tls, "backend": tls}, locust={**SPEC, "processes": processes})
    done = made.run("load", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    result = agree(made)
    assert result["calls"] > 0
    assert "TLS" in result["environment"]["Broker"]


@pytest.mark.exhaustive
def test_users_do_not_send_to_a_broker_whose_certificate_is_for_somebody_else(tmp_path: Path) -> None:
    made = project(tmp_path, users=USERS)
    path = scenario(made, system={**SYSTEM, "broker": {"kind": "redis", "tls": "wrong_name"}}, locust=SPEC)
    done = made.run("load", str(path))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the certificate is for wrong.example, not for 127.0.0.1" in done.stdout + done.stderr


#: `make test` has whose way latency slows, and whose not, in test_partition_truth.py.
@pytest.mark.exhaustive
def test_a_slow_way_to_the_broker_is_what_users_feel(tmp_path: Path) -> None:
    """200 ms each way of the users' alone, from the second second on: before that a publish takes no such time."""
    made = project(tmp_path, users=USERS)
    slow = {"at": "1s", "for": "3s", "fault": "net.latency", "between": ["producer", "broker"], "latency": "200ms"}
    done = made.run("load", str(scenario(made, locust=SPEC, timeline=[slow])))
    assert done.returncode == 0, done.stdout + done.stderr
    result = agree(made)
    (fault,) = result["faults"]
    assert fault["bit"] is True
    assert of_phase(result, "publish_latency", "faulty")["p50"] > 0.35 > of_phase(result, "publish_latency", "healthy")["p50"]
    assert float(rows(tmp_path / "reports/latest/locust")["publish"]["Max Response Time"]) > 350
    assert of_all(result, "run_time")["p50"] < 0.35, "nobody else's way is slow"


def of_phase(result: dict[str, Any], metric: str, phase: str) -> dict[str, Any]:
    """The summary of a measure in a phase, over all tasks and queues."""
    found = [m for m in result["measures"] if (m["metric"], m["phase"], m["task"], m["queue"], m["worker"]) == (metric, phase, "", "", "")]
    summary: dict[str, Any] = found[0]["summary"]
    return summary


#: What a publish after a reset fails of now and then, however often it may be tried: kombu takes a channel that was closed meanwhile.
KOMBUS_OWN = "'NoneType' object has no attribute 'client'"


@pytest.mark.parametrize(("retries", "processes"), parts([(20, 2), (3, 1)], quick=[(20, 2)]))
def test_publishes_that_a_reset_cuts_are_sent_again_or_counted_as_failed(tmp_path: Path, retries: int, processes: int) -> None:
    made = project(tmp_path, users=USERS)
    reset = {"at": "1s", "for": "1500ms", "fault": "net.partition", "between": ["producer", "broker"], "mode": "reset"}
    policy = {"max_retries": retries, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.3}
    system = {**SYSTEM, "config": {"task_publish_retry_policy": policy}}
    path = scenario(made, system=system, locust={**TOLERANT, "processes": processes}, timeline=[reset])
    done = made.run("load", str(path))
    result = made.result()
    (fault,) = result["faults"]
    assert fault["bit"] is True
    found = rows(tmp_path / "reports/latest/locust")
    assert int(found["publish"]["Request Count"]) == result["calls"]
    failed = int(found["publish"]["Failure Count"])
    assert done.returncode == (4 if failed else 0), done.stdout + done.stderr
    errors = {error: count for (kind, error), count in failures(tmp_path / "reports/latest/locust").items() if kind == "publish"}
    assert failed == sum(errors.values())
    if retries == 3:
        assert any("Connection reset by peer" in error for error in errors), "nobody knows whether the broker has these"
    else:
        assert all(KOMBUS_OWN in error for error in errors), "what is tried for long enough gets through"
    assert failed == sum(result["publishes"].get(state, 0) for state in ("failed", "unknown"))
    assert result["fates"].get("lost", 0) == 0 and result["fates"]["succeeded"] >= result["calls"] - failed


#: `make test` has what is not in egress in conformance/test_agent_guard.py, and other users whose host is, in test_locust.py.
@pytest.mark.exhaustive
def test_what_other_users_connect_to_has_to_be_in_egress(tmp_path: Path) -> None:
    with web_page() as (port, asked):
        made = project(tmp_path, users=SHAPE.replace("PORT", str(port)))
        spec = {"file": "users.py", "options": ["--stop-timeout=10", "--exit-code-on-error=0"]}
        done = made.run("load", str(scenario(made, locust=spec)))
    assert done.returncode == 4, done.stdout + done.stderr
    assert not asked
    assert any(f"127.0.0.1:{port}" in said for said in made.result()["undeclared"])


def _listening(folder: Path) -> set[Any]:
    return {c.laddr for one in processes_of(folder) for c in one.net_connections("tcp") if c.status == psutil.CONN_LISTEN}


@pytest.mark.exhaustive
def test_the_page_answers_on_loopback_and_goes_with_the_run(tmp_path: Path, free_port: int) -> None:
    made = project(tmp_path, users=USERS)
    path = made.scenario(runtime="processes", system=SYSTEM)
    options = ("--locustfile", "users.py", "--users", "2", "--run-time", "4s", f"--web={free_port}")
    harness = made.command("load", str(path), *options)
    try:
        stats = wait_until(lambda: _numbers(free_port), "the page shows numbers", 60)
        listens = wait_until(lambda: _listening(tmp_path), "somebody listens")
        out, err = harness.communicate(timeout=90)
    finally:
        harness.kill()
    assert harness.returncode == 0, out + err
    assert {one["method"] for one in stats["stats"] if one["name"] == "shop.work"} >= {"publish", "end to end"}
    assert [at.ip for at in listens if at.port == free_port] == ["127.0.0.1"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port), 2)
    agree(made)
    assert not processes_of(tmp_path)


def _numbers(port: int) -> dict[str, Any] | None:
    with contextlib.suppress(OSError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
            assert b"Locust" in page.read()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/requests", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        if any(one["method"] == "end to end" for one in found["stats"]):
            return found
    time.sleep(0.1)
    return None
