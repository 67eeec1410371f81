"""What a run says that it measured, held against the truth: due times and ends read from its journals by code of the test's own."""

from __future__ import annotations

import csv
import json
import math
import shutil
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.e2e.support import Project, end, project, wait_until

_RABBITMQ = shutil.which("rabbitmq-server") or Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists()


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    made = project(tmp_path)
    made.env["SHOP_SECONDS"] = "0.002"
    return made


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """All that all processes wrote in the pass with faults, by nothing of the harness's."""
    for path in sorted((folder / "reports" / "latest" / "journal" / "faults").glob("*.journal")):
        for line in path.read_bytes().replace(b"\0", b"").splitlines():
            yield json.loads(line)


def truth(folder: Path) -> list[float]:
    """Seconds from the moment each call was due to its task's end, in order; every call has one."""
    seen = list(records(folder))
    ids = {r["no"]: r["id"] for r in seen if r["k"] == "call_ok"}
    ends: dict[str, int] = {}
    for r in seen:
        if r["k"] == "end":
            ends[r["id"]] = max(ends.get(r["id"], 0), r["m"])
    # The clock's zero of the load: the plan's due times are whole steps after it, and a call is sent as soon as it is due.
    t0 = min(r["m"] - r["due"] for r in seen if r["k"] == "call")
    due = {r["no"]: r["due"] for r in seen if r["k"] == "call"}
    return sorted((ends[ids[no]] - t0 - at) * 1e-9 for no, at in due.items())


def measured(document: dict[str, Any], metric: str, **part: str) -> dict[str, Any]:
    wanted = {"metric": metric, "task": "", "queue": "", "worker": "", "phase": "", **part}
    (found,) = (m["summary"] for m in document["measures"] if all(m[key] == value for key, value in wanted.items()))
    return dict(found)


def test_a_frozen_broker_is_not_omitted(shop: Project) -> None:
    """Coordinated omission: whoever waits for slow answers before asking again would report milliseconds here."""
    path = shop.scenario(
        load=[{"send": "shop.work", "args": [1], "rate": "50/s", "for": "5s"}],
        timeline=[{"at": "1500ms", "for": "2s", "fault": "broker.pause"}],
        system={"redelivery": "15s", "workers": {"pay": {"replicas": 2, "concurrency": 2}}},
    )
    done = shop.run("run", str(path), "--runtime", "processes", "--reports", "reports")
    assert done.returncode in (0, 4), done.stdout + done.stderr  # 4: this machine was too busy to send in time
    document, true = shop.result(), truth(shop.folder)
    assert len(true) == 250
    for name, percent in (("p50", 50), ("p95", 95), ("p99", 99)):
        value = true[math.ceil(round(percent / 100 * len(true), 9)) - 1]
        assert measured(document, "end_to_end_latency")[name] == pytest.approx(value, rel=0.05, abs=0.005)
    assert measured(document, "end_to_end_latency")["p99"] > 1.5
    assert measured(document, "end_to_end_latency", phase="faulty")["p50"] > 0.5
    assert document["little"] is None or document["little"]["holds"] is not False

    seconds = document["per_second"]
    assert sum(seconds["due"]) == sum(seconds["sent"]) == sum(seconds["finished"]) == 250
    assert max(v or 0 for v in seconds["cpu"]["pay-1"]) > 0 and max(v or 0 for v in seconds["memory"]["pay-1"]) > 10_000_000
    assert max(v or 0 for v in seconds["broker_memory"]) > 100_000 and max(v or 0 for v in seconds["broker_connections"]) >= 3
    rows = list(csv.DictReader((shop.folder / "reports/latest/measures.csv").open()))
    whole = next(r for r in rows if r["metric"] == "end_to_end_latency" and not (r["task"] or r["queue"] or r["phase"]))
    assert float(whole["p99"]) == measured(document, "end_to_end_latency")["p99"] and int(whole["count"]) == 250
    per_second = list(csv.DictReader((shop.folder / "reports/latest/per-second.csv").open()))
    assert [int(r["due"]) for r in per_second] == seconds["due"] and "cpu:pay-1" in per_second[0]
    assert "queue wait" in done.stdout and "queue wait" in (shop.folder / "reports/latest/summary.md").read_text()


@pytest.mark.parametrize(
    "broker", ["redis", pytest.param("rabbitmq", marks=[pytest.mark.exhaustive, pytest.mark.skipif(not _RABBITMQ, reason="no RabbitMQ")])]
)
def test_littles_law_holds(shop: Project, broker: str) -> None:
    shop.env["SHOP_SECONDS"] = "0.2"
    path = shop.scenario(
        load=[{"send": "shop.work", "args": [1], "rate": "40/s", "for": "8s"}],
        system={"broker": broker, "redelivery": None, "workers": {"pay": {"replicas": 2, "pool": "threads", "concurrency": 16}}},
        thresholds={"end_to_end_latency": ["p(95) < 60s"]},
    )
    for _ in range(3):  # on a machine that is busy with other tests the error can be too large to say anything
        done = shop.run("run", str(path), "--runtime", "processes", "--reports", "reports")
        assert done.returncode in (0, 4), done.stdout + done.stderr
        document = shop.result()
        law = document["little"]
        assert law is None or law["holds"] is not False, law
        if law is not None and law["holds"]:
            break
    assert law["holds"] and law["samples"] >= 20 and law["computed"] > 4, law
    assert next(c["verdict"] for c in document["checks"] if c["name"] == "thresholds") == "pass"
    seconds = document["per_second"]
    assert max(v or 0 for v in seconds["broker_memory"]) > 100_000 and max(v or 0 for v in seconds["broker_connections"]) >= 3


def scraped(address: str) -> dict[str, float]:
    """Sample with its labels -> value."""
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        text = answer.read().decode()
    families = text_string_to_metric_families(text)  # refuses whatever is not OpenMetrics
    found = {}
    for sample in (s for family in families for s in family.samples):
        assert set(sample.labels) <= {"task", "queue", "le"}
        found[sample.name + "".join(f" {v}" for k, v in sorted(sample.labels.items()) if k != "queue")] = sample.value
    return found


def test_metrics_while_it_runs(shop: Project) -> None:
    path = shop.scenario(load=[{"send": "shop.work", "args": [1], "rate": "20/s", "for": "90s"}])
    process = shop.command("run", str(path), "--runtime", "processes", "--reports", "reports", "--metrics", "0", "--json")
    assert process.stdout is not None
    try:
        notes = (json.loads(line) for line in process.stdout)
        address = next(e["text"] for e in notes if e.get("phase") == "note" and "metrics at" in e["text"]).split()[-1]
        assert address.startswith("http://127.0.0.1:") and address.endswith("/metrics")
        done = "celery_harness_succeeded_total shop.work"
        first = wait_until(lambda: (f := scraped(address)) and f.get(done, 0) > 10 and f, "ten tasks succeeded")
        later = wait_until(lambda: (f := scraped(address)) and f.get(done, 0) > first[done] and f, "the count goes on")
        assert later["celery_harness_published_total shop.work"] >= later["celery_harness_delivered_total shop.work"] >= later[done]
        for name in ("publish", "wait", "run", "end_to_end"):
            assert later[f"celery_harness_{name}_seconds_count shop.work"] > 0
        used = wait_until(lambda: (f := scraped(address)) and f["celery_harness_workers_memory_bytes"] > 1e7 and f, "memory is sampled")
        assert used["celery_harness_broker_memory_bytes"] > 1e5 and used["celery_harness_broker_connections"] > 0
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address.replace("/metrics", "/"), timeout=30)
        out, err = end(process, signal.SIGINT)  # all was seen: nobody waits for the rest of the load
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, out + err
    with pytest.raises(OSError):
        scraped(address)


def test_a_port_that_is_taken_ends_it_before_anything_starts(shop: Project) -> None:
    path = shop.scenario()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = shop.run("run", str(path), "--runtime", "processes", "--reports", "reports", "--metrics", str(port))
    assert done.returncode == 3 and f"--metrics {port}" in done.stderr and "any free port" in done.stderr
    assert not (shop.folder / "reports").exists()
    assert shop.run("run", str(path), "--metrics", "0", "--jobs", "2").returncode == 2
