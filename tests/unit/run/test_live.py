from __future__ import annotations

from typing import Any

from harness.run.live import LiveState


def r(kind: str, source: int = 10, /, **more: Any) -> dict[str, Any]:
    return {"k": kind, "m": 1, "_pid": source, **more}


def opened(pid: int, name: str, ppid: int = 1) -> dict[str, Any]:
    return r("open", pid, pid=pid, name=name, role="worker", ppid=ppid)


DELIVER = r("deliver", d="d1", msg="m1", id="t1", eta=None)


def test_a_process_is_ready_under_its_name() -> None:
    live = LiveState()
    live.feed([opened(10, "pay-1"), r("ready")])
    assert live.ready == {"pay-1": 10}


def test_outstanding_counts_publishes_without_an_end_whatever_order_they_are_read_in() -> None:
    live = LiveState()
    live.feed([DELIVER, r("start", 11, d="d1", id="t1"), r("end", 11, d="d1", id="t1", s="SUCCESS")])
    live.feed([r("publish", 5, msg="m1"), r("publish", 5, msg="m2")])
    assert live.outstanding == 1


def test_an_end_that_is_read_before_its_delivery_still_counts() -> None:
    live = LiveState()
    live.feed([r("end", 11, d="d1", id="t1", s="SUCCESS"), r("publish", 5, msg="m1"), DELIVER])
    assert live.outstanding == 0
    assert not live.open


def test_a_dead_worker_holds_nothing_and_neither_does_a_dead_child() -> None:
    live = LiveState()
    live.feed([DELIVER, r("deliver", 20, d="d2", msg="m2", id="t2", eta=None), r("start", 21, d="d2", id="t2")])
    live.died([10])
    assert list(live.open) == ["d2"]
    live.died([21])
    assert not live.open


def test_a_held_eta_beyond_the_horizon_does_not_keep_the_drain_waiting() -> None:
    live = LiveState()
    live.feed([r("deliver", d="d1", msg="m1", id="t1", eta="2030-01-01T00:00:00+00:00")])
    assert not live.busy(horizon_wall=1_800_000_000.0)
    assert live.busy(horizon_wall=2_000_000_000.0)


def test_an_eta_that_has_started_is_busy() -> None:
    live = LiveState()
    live.feed([r("deliver", d="d1", msg="m1", id="t1", eta="2030-01-01T00:00:00Z"), r("start", 11, d="d1", id="t1")])
    assert live.busy(horizon_wall=0.0)


def test_a_lost_child_ends_its_delivery() -> None:
    live = LiveState()
    live.feed([DELIVER, r("failed", id="t1", e="WorkerLostError")])
    assert not live.open
    assert live.finished == {"m1"}


def test_what_was_not_begun_is_nobodys_when_the_connection_breaks_and_what_runs_goes_on() -> None:
    live = LiveState()
    live.feed([DELIVER, r("deliver", d="d2", msg="m2", id="t2", eta=None), r("deliver", 20, d="d3", msg="m3", id="t3", eta=None)])
    live.feed([r("start", 11, d="d2", id="t2"), r("disconnected")])
    assert sorted(live.open) == ["d2", "d3"]
    live.feed([r("start", 12, d="d1", id="t1")])  # it was on its way to a pool child
    assert sorted(live.open) == ["d1", "d2", "d3"] and live.open["d1"].started_by == 12
    live.feed([r("end", 12, d="d1", id="t1", s="SUCCESS")])
    assert live.finished == {"m1"} and not live.dropped


def test_unknown_kinds_are_counted_and_ignored() -> None:
    live = LiveState()
    assert live.feed([r("something new")]) == 1
    assert live.records == 1


def test_a_delivery_that_is_put_back_is_nobodys_and_its_message_is_not_finished() -> None:
    live = LiveState()
    live.feed([r("publish", 5, msg="m1"), DELIVER, r("reject", d="d1", id="t1", requeue=1)])
    assert not live.open
    assert live.outstanding == 1
