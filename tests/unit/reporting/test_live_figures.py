from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.errors import EnvironmentFault, UsageError
from harness.model.history import Depth, Usage
from harness.reporting import metrics_endpoint
from harness.reporting.live_figures import LiveFigures
from harness.reporting.metrics_endpoint import MetricsEndpoint

T0 = 1000.0


def r(kind: str, at: float, **fields: Any) -> dict[str, Any]:
    return {"k": kind, "m": round((T0 + at) * 1e9), "_pid": 1, "_name": "secret-name", **fields}


def publish(at: float, msg: str = "m1", **more: Any) -> dict[str, Any]:
    return r("publish", at, **{"msg": msg, "id": "t1", "n": "app.pay", "q": "payments", "call": 1, "cause": "", **more})


def deliver(at: float, d: str = "d1", msg: str = "m1", **more: Any) -> dict[str, Any]:
    return r(
        "deliver",
        at,
        **{"d": d, "msg": msg, "id": "t1", "n": "app.pay", "q": "payments", "re": 0, "copy": 0, "call": 1, "cause": "", **more},
    )


CALL = r("call", 0.0, no=1, n="app.pay", due=-500_000_000)


def values(*records: dict[str, Any], figures: LiveFigures | None = None) -> dict[str, float]:
    figures = figures or LiveFigures(T0)
    figures.see(records)
    text = generate_latest(figures.registry).decode()  # type: ignore[no-untyped-call]
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]  # type: ignore[no-untyped-call]
    return {s.name.removeprefix("celery_harness_"): s.value for s in samples if "le" not in s.labels}


def test_one_call_from_due_to_done() -> None:
    found = values(
        CALL, publish(0.0), r("published", 0.01, msg="m1"), deliver(0.1), r("start", 0.2, d="d1"), r("end", 0.5, d="d1", s="SUCCESS")
    )
    assert [found[f"{name}_total"] for name in ("published", "delivered", "started", "succeeded")] == [1, 1, 1, 1]
    sums = {name: found[f"{name}_seconds_sum"] for name in ("publish", "wait", "run", "end_to_end")}
    assert sums == pytest.approx({"publish": 0.01, "wait": 0.2, "run": 0.3, "end_to_end": 1.0})


def test_files_of_several_processes_are_read_in_any_order() -> None:
    """A pool child's file may come before its main process's, and both before the producer's."""
    early = [r("start", 0.2, d="d1"), r("end", 0.5, d="d1", s="SUCCESS")]
    found = values(*early, deliver(0.1), CALL, publish(0.0), r("published", 0.01, msg="m1"))
    assert found["succeeded_total"] == found["started_total"] == found["published_total"] == 1
    assert found["run_seconds_sum"] == pytest.approx(0.3)


def test_retry_redelivery_copy_failure() -> None:
    found = values(
        publish(0.0), deliver(0.1), r("start", 0.1, d="d1"), deliver(1.0, "d2", re=1), r("start", 1.1, d="d2"), deliver(1.0, "d3", copy=1),
        r("start", 1.2, d="d3"), r("end", 1.3, d="d2", s="RETRY"), publish(1.3, "m2", cause="d2"), deliver(1.4, "d4", "m2"),
        r("start", 1.5, d="d4"), r("end", 1.6, d="d4", s="FAILURE"), r("end", 1.7, d="d3", s="IGNORED"),
    )  # fmt: skip
    names = ("published", "delivered", "started", "redelivered", "duplicated", "retried", "failed")
    assert [found[f"{name}_total"] for name in names] == [2, 4, 4, 1, 1, 1, 1]
    assert "succeeded_total" not in found


def test_the_wait_counts_from_the_eta() -> None:
    opened = r("open", -1.0, w=round((1_700_000_000 - 1) * 1e9))
    found = values(opened, publish(0.0, eta="2023-11-14T22:13:25Z"), deliver(0.1), r("start", 5.25, d="d1"))
    assert found["wait_seconds_sum"] == pytest.approx(0.25)


def test_gauges_and_the_age_of_the_oldest() -> None:
    figures = LiveFigures(T0)
    figures.see([publish(0.5), publish(2.0, "m2"), deliver(0.6), r("end", 1.0, d="d1", s="SUCCESS")])
    figures.sample(Depth(4.0, 1, 2), Usage(4.0, {"a": 1.0, "gone": 9.0}, {"a": 100, "b": 50}, 7, 3))
    figures.sample(None, Usage(6.0, {"a": 2.0, "b": 0.3}, {"a": 100}, None, 3))
    found = values(figures=figures)
    assert (found["ready_messages"], found["unacked_messages"], found["oldest_seconds"]) == (1, 2, 2.0)
    assert (found["workers_memory_bytes"], found["broker_memory_bytes"], found["broker_connections"]) == (100, 7, 3)
    assert found["workers_cpu_cores"] == 0.5


def test_names_are_escaped_and_nothing_else_is_shown() -> None:
    name = 'app.p"ay\n\\x{le="1"} 5'
    figures = LiveFigures(T0)
    delayed = "0." * 27 + "1.payments"
    figures.see([publish(0.0, n=name, q=delayed, id="secret-id", args="[4111111111111111]")])
    text = generate_latest(figures.registry).decode()  # type: ignore[no-untyped-call]
    (sample,) = [s for f in text_string_to_metric_families(text) for s in f.samples if s.name == "celery_harness_published_total"]  # type: ignore[no-untyped-call]
    assert sample.labels == {"task": name, "queue": "payments"}
    assert "secret" not in text and "4111" not in text


def test_what_was_done_with_is_forgotten() -> None:
    figures = LiveFigures(T0)
    for n in range(100):
        figures.see([publish(n, f"m{n}"), deliver(n, f"d{n}", f"m{n}"), r("start", n, d=f"d{n}"), r("end", n, d=f"d{n}", s="SUCCESS")])
    assert not figures._messages and not figures._of and not figures._open and not figures._early


def test_what_comes_back_after_its_end_is_a_redelivery_although_the_broker_flags_none() -> None:
    figures = LiveFigures(T0)
    once = [publish(0.0), deliver(0.1), r("start", 0.2, d="d1"), r("end", 0.3, d="d1", s="SUCCESS")]
    found = values(*once, deliver(60.0, "d2"), r("start", 60.1, d="d2"), r("end", 60.2, d="d2", s="SUCCESS"), figures=figures)
    assert (found["delivered_total"], found["redelivered_total"], found["wait_seconds_count"]) == (2, 1, 1)
    assert not figures._messages and not figures._open


def test_a_publish_that_is_read_after_the_end_leaves_nothing_open() -> None:
    figures = LiveFigures(T0)
    figures.see([deliver(0.1), r("end", 0.3, d="d1", s="SUCCESS"), publish(0.0), r("published", 0.01, msg="m1")])
    assert not figures._open and values(figures=figures)["publish_seconds_count"] == 1
    figures.see([r("open", 2000.0)])
    assert not figures._messages and not figures._ended


def test_calls_and_records_without_a_receipt_are_forgotten_in_time() -> None:
    figures = LiveFigures(T0)
    call = {"n": "app.pay", "due": 0}
    figures.see([r("call", 0.0, no=1, **call), r("call", 0.0, no=2, **call), r("start", 0.1, d="lost"), r("open", -1.0, w=0)])
    figures.see([publish(1.0), publish(1.0, "m2", call=2, eta="1970-01-01T00:40:00Z"), deliver(500.0), r("end", 550.0, d="d1", s="RETRY")])
    figures.see([r("call", 700.0, no=3, **call)])
    assert set(figures._due) == {1, 2, 3} and not figures._early
    figures.see([r("call", 1250.0, no=4, **call)])
    assert set(figures._due) == set(figures._calls) == {2, 3, 4}, "1 was retried at 550 s, and 2 waits for its ETA at 2,400 s"


def test_the_endpoint_needs_its_package_and_a_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = MetricsEndpoint(0)
    try:
        port = int(endpoint.address.rpartition(":")[2].partition("/")[0])
        with pytest.raises(EnvironmentFault, match=str(port)):
            MetricsEndpoint(port)
        endpoint.see([publish(0.0)])  # before it began: nobody's
        endpoint.sample(None, None)
        assert "published_total" not in endpoint._text().decode()
        assert endpoint.begin("s", T0) == f"metrics at {endpoint.address}"
        endpoint.see([publish(0.0)])
        endpoint.end()
        assert "published_total" in endpoint._text().decode()
    finally:
        endpoint.close()
    monkeypatch.setattr(metrics_endpoint, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"celery-harness\[load\]"):
        MetricsEndpoint(0)
