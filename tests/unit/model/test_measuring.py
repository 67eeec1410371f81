from __future__ import annotations

import math

import pytest

from harness.model import measuring
from harness.model.histograms import decode, merge
from harness.model.measures import Measure
from harness.model.measuring import measures, nearest_rank, place_of, summary
from harness.model.sampling import LATENCIES, Samples
from tests.unit.checks.histories import REDIS, Build


def rows_of(b: Build) -> dict[tuple[str, str, str, str, str], Measure]:
    found, left = measures(Samples(b.history, REDIS))
    assert left == ""
    return {(m.metric, m.task, m.queue, m.worker, m.phase): m for m in found}


def test_percentiles_are_nearest_rank_and_never_a_value_in_between() -> None:
    ranked = [float(n) for n in range(1, 1001)]
    assert [nearest_rank(ranked, p) for p in (50, 90, 95, 99, 99.9)] == [500, 900, 950, 990, 999]
    assert [place_of(p, 1) for p in (0.1, 50, 99.9)] == [0, 0, 0]
    assert nearest_rank([], 50) is None
    assert nearest_rank([1.0, math.inf], 99) is None


def test_what_never_ended_is_in_every_percentile_and_not_in_the_mean() -> None:
    found = summary([1.0, 3.0, math.inf])
    assert (found.count, found.never, found.mean, found.min, found.max, found.p50, found.p99) == (3, 1, 2.0, 1.0, None, 3.0, None)
    empty = summary([])
    assert (empty.count, empty.mean, empty.min, empty.p50) == (0, None, None, None)


def test_rows_by_task_queue_worker_and_phase() -> None:
    b = Build()
    for n in range(20):
        b.done(float(n), task="app.pay", took=0.1)
    b.run(b.call(30.0, "app.mail", queue="mail"), pid=2, took=0.5)
    b.fault("worker.pause", 10.0, 15.0)
    rows = rows_of(b)
    assert rows["run_time", "", "", "", ""].summary.count == 21
    assert rows["run_time", "app.mail", "", "", ""].summary.p50 == pytest.approx(0.5)
    assert rows["run_time", "", "mail", "", ""].summary.count == rows["run_time", "", "", "w-2", ""].summary.count == 1
    assert rows["queue_wait", "", "", "w-1", ""].summary.count == 20
    assert ("publish_latency", "", "", "w-1", "") not in rows and ("end_to_end_latency", "", "", "w-1", "") not in rows
    phases = {key[4]: m.summary.count for key, m in rows.items() if key[:4] == ("end_to_end_latency", "", "", "")}
    assert phases.pop("") == sum(phases.values()) == 21
    assert phases["faulty"] == 5


def test_phases_of_a_row_merge_into_it() -> None:
    b = Build()
    for n in range(50):
        b.done(float(n), took=0.01 * n)
    b.fault("worker.pause", 10.0, 25.0)
    rows = rows_of(b)
    for metric in LATENCIES:
        parts = [m.histogram for key, m in rows.items() if key[:4] == (metric, "", "", "") and key[4]]
        assert len(parts) > 1 and merge(parts) == rows[metric, "", "", "", ""].histogram
        assert sum(decode(rows[metric, "", "", "", ""].histogram).values()) == 50


def test_a_call_that_was_never_published_counts_where_its_task_goes() -> None:
    b = Build()
    b.done(1.0)
    number = b.call(2.0, publish="failed").call
    b.history.calls[number].messages.clear()
    row = rows_of(b)["end_to_end_latency", "", "celery", "", ""].summary
    assert (row.count, row.never, row.p99) == (2, 1, None)


def test_too_many_rows_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    b = Build()
    for task in range(30):
        for n in range(task + 1):
            b.done(float(n), task=f"app.t{task:02}")
    monkeypatch.setattr(measuring, "MOST_ROWS", 100)
    found, left = measures(Samples(b.history, REDIS))
    assert len(found) <= 100
    tasks = {m.task for m in found} - {""}
    assert "app.t29" in tasks and "app.t00" not in tasks
    assert left.startswith("no measures of their own have those with the fewest samples: task app.t") and " more" in left
    assert {m.metric for m in found if not m.task} == set(LATENCIES)


def test_what_never_started_waits_for_ever() -> None:
    b = Build()
    for n in range(3):
        b.done(float(n))
    b.deliver(b.call(3.0), died=4.0, died_by=0, ack=3.2)  # lost in a worker's memory
    b.held(b.call(4.0), "resting")  # in a queue that nobody consumes
    b.call(5.0, publish="failed", failed="ConnectionError")
    lost = b.retry(b.call(6.0), 1.0)  # its first message was started, its second never
    b.deliver(b.call(7.0), revoked="revoked", ack=7.2)  # nobody waits for it
    b.held(b.call(8.0, eta=500.0), "delayed")  # its time has not come
    b.deliver(lost, 8.0, died=9.0, died_by=0, ack=8.1)
    row = rows_of(b)["queue_wait", "", "", "", ""].summary
    assert (row.count, row.never, row.p99) == (8, 4, None)
    assert rows_of(b)["queue_wait", "", "", "w-1", ""].summary.never == 0


@pytest.mark.parametrize("outcome", ["failed", "unknown", "begun"])
def test_a_publish_that_failed_or_stayed_unknown_takes_for_ever(outcome: str) -> None:
    b = Build()
    b.done(1.0)
    b.call(2.0, publish=outcome)
    number = b.call(3.0, publish=outcome).call
    b.history.calls[number].messages.clear()
    b.call(4.0, ok=None)  # it went well, and its own record is lost
    b.message("link", ok=None, cause="d1")  # a task's own publish is none of the load's
    row = rows_of(b)["publish_latency", "", "celery", "", ""].summary
    assert (row.count, row.never, row.p99) == (3, 2, None)
