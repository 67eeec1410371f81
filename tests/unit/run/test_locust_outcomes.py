"""What Locust is told of its calls, from records in the order in which files are read."""

from __future__ import annotations

from typing import Any

import pytest

from harness.run.locust_outcomes import LocustLive, Outcomes

MS = 1_000_000
LOCUST, WORKER = 11, 22


def record(kind: str, at: float, pid: int = WORKER, **fields: Any) -> dict[str, Any]:
    """``at`` in milliseconds."""
    return {"k": kind, "m": int(at * MS), "_pid": pid, **fields}


def call(number: int, at: float, pid: int = LOCUST, task: str = "shop.work") -> list[dict[str, Any]]:
    return [
        record("call", at, pid, no=number, n=task),
        record("publish", at + 1, pid, msg=f"m{number}", id=f"t{number}", n=task, call=number, eta=None),
    ]


def run(number: int, start: float, end: float, state: str = "SUCCESS", message: str = "", **fields: Any) -> list[dict[str, Any]]:
    id, msg = f"d{message or number}", message or f"m{number}"
    return [
        record("deliver", start - 1, d=id, msg=msg, id=f"t{number}", call=number),
        record("start", start, d=id, id=f"t{number}"),
        record("end", end, d=id, id=f"t{number}", s=state, **fields),
    ]


def told(outcomes: Outcomes, pid: int = LOCUST) -> list[tuple[str, int, str, float, str]]:
    outcomes.see([])  # a call is over when one more turn has brought nothing
    return [
        (kind, number, task, round(seconds or 0.0, 6), failure) for kind, number, task, seconds, failure in outcomes.take().get(pid, [])
    ]


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes(wall=1_000.0)


def test_a_success(outcomes: Outcomes) -> None:
    outcomes.see([*call(1, 0), *run(1, 11, 31)])
    assert told(outcomes) == [
        ("w", 1, "shop.work", 0.01, ""),
        ("r", 1, "shop.work", 0.02, ""),
        ("e", 1, "shop.work", 0.031, ""),
    ]
    assert told(outcomes) == []


def test_a_workers_file_that_is_read_first(outcomes: Outcomes) -> None:
    outcomes.see(run(1, 11, 31))
    assert told(outcomes) == []
    outcomes.see(call(1, 0))
    assert [row[0] for row in told(outcomes)] == ["w", "r", "e"]


def test_each_process_is_told_of_its_own_calls(outcomes: Outcomes) -> None:
    outcomes.see([*call(1, 0), *call(2, 0, pid=12), *run(1, 5, 6), *run(2, 5, 7)])
    outcomes.see([])
    found = outcomes.take()
    assert {row[1] for row in found[LOCUST]} == {1}
    assert {row[1] for row in found[12]} == {2}


def test_a_retry_ends_with_its_last_execution_and_fails_as_that_does(outcomes: Outcomes) -> None:
    again = record("publish", 20, msg="m1r", id="t1", n="shop.work", call=1, eta=None)
    first, last = run(1, 10, 21, "RETRY", e="builtins.OSError"), run(1, 40, 50, "FAILURE", "m1r", e="builtins.OSError")
    outcomes.see([*call(1, 0), *first[:2], again, first[2]])
    assert [row[0] for row in told(outcomes)] == ["w", "r"]
    outcomes.see(last)
    assert told(outcomes) == [
        ("w", 1, "shop.work", 0.02, ""),
        ("r", 1, "shop.work", 0.01, "builtins.OSError"),
        ("e", 1, "shop.work", 0.05, "builtins.OSError"),
    ]


def test_a_retry_that_succeeds_is_a_success(outcomes: Outcomes) -> None:
    again = record("publish", 20, msg="m1r", id="t1", n="shop.work", call=1, eta=None)
    first = run(1, 10, 21, "RETRY", e="builtins.OSError")
    outcomes.see([*call(1, 0), *first[:2], again, first[2], *run(1, 40, 50, "SUCCESS", "m1r")])
    assert told(outcomes)[-1] == ("e", 1, "shop.work", 0.05, "")


def test_what_a_task_publishes_belongs_to_its_call(outcomes: Outcomes) -> None:
    child = record("publish", 20, msg="m1c", id="t9", n="shop.more", call=1, eta=None)
    first = run(1, 10, 21)
    outcomes.see([*call(1, 0), *first[:2], child, first[2]])
    assert "e" not in [row[0] for row in told(outcomes)]
    outcomes.see(run(1, 30, 45, message="m1c"))
    assert told(outcomes) == [("w", 1, "shop.more", 0.01, ""), ("r", 1, "shop.more", 0.015, ""), ("e", 1, "shop.work", 0.045, "")]


def test_a_delivery_once_more_waits_once_and_runs_twice(outcomes: Outcomes) -> None:
    more = [{**r, "d": "again", "m": r["m"] + 20 * MS} for r in run(1, 10, 20)]
    outcomes.see([*call(1, 0), *run(1, 10, 20), *more])
    assert sorted(row[0] for row in told(outcomes)) == ["e", "r", "r", "w"]


def test_a_wait_counts_from_the_eta(outcomes: Outcomes) -> None:
    asked = record("publish", 1, LOCUST, msg="m1", id="t1", n="shop.work", call=1, eta="1970-01-01T00:16:40.500000+00:00")
    outcomes.see([record("call", 0, LOCUST, no=1, n="shop.work"), asked, *run(1, 520, 530)])
    assert told(outcomes)[0] == ("w", 1, "shop.work", 0.02, "")


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (record("revoked", 30, d="d1", id="t1", why="expired"), "expired"),
        (record("reject", 30, d="d1", id="t1", requeue=0), "rejected"),
        (record("unknown", 30, d="d1", id="t1", msg="m1"), "not registered"),
        (record("failed", 30, id="t1", e="billiard.exceptions.WorkerLostError"), "billiard.exceptions.WorkerLostError"),
    ],
)
def test_what_ends_without_an_end(outcomes: Outcomes, last: dict[str, Any], why: str) -> None:
    outcomes.see([*call(1, 0), *run(1, 10, 20)[:1], last])
    assert told(outcomes) == [("e", 1, "shop.work", 0.03, why)]


def test_what_is_given_back_has_not_ended(outcomes: Outcomes) -> None:
    outcomes.see([*call(1, 0), *run(1, 10, 20)[:1], record("reject", 30, d="d1", id="t1", requeue=1)])
    assert told(outcomes) == []


def test_a_message_that_is_read_one_turn_after_the_end_before_it_belongs_to_the_same_end(outcomes: Outcomes) -> None:
    outcomes.see([*call(1, 0), *run(1, 10, 20)])
    outcomes.see([record("publish", 19, msg="m1b", id="t1b", n="shop.work", call=1, eta=None)])
    assert [row[0] for row in told(outcomes)] == ["w", "r"]
    outcomes.see(run(1, 30, 40, message="m1b"))
    assert [row for row in told(outcomes) if row[0] == "e"] == [("e", 1, "shop.work", 0.04, "")]


def test_a_call_is_told_of_once_whatever_comes_after_its_end(outcomes: Outcomes) -> None:
    outcomes.see([*call(1, 0), *run(1, 10, 20)])
    assert [row[0] for row in told(outcomes)].count("e") == 1
    outcomes.see([record("publish", 90, msg="m1b", id="t1b", n="shop.work", call=1, eta=None), *run(1, 100, 110, message="m1b")])
    assert [row[0] for row in told(outcomes)] == ["w", "r"]


def test_what_is_open_when_locust_is_told_to_stop_has_not_ended(outcomes: Outcomes) -> None:
    never_sent = record("call", 5, LOCUST, no=4, n="shop.work")
    outcomes.see([*call(1, 0), *run(1, 10, 20), *call(2, 0), *call(3, 0), *run(3, 10, 20)[:2], never_sent])
    assert sorted(row[:2] for row in told(outcomes)) == [("e", 1), ("r", 1), ("w", 1), ("w", 3)]
    outcomes.close(500 * MS)
    open_still = [("e", number, "shop.work", seconds, "not ended") for number, seconds in ((2, 0.5), (3, 0.5), (4, 0.495))]
    assert told(outcomes) == open_still
    outcomes.close(600 * MS)
    assert told(outcomes) == []


@pytest.mark.parametrize(
    ("eta", "wait"), [("tomorrow", 0.518), ("1970-01-01T00:16:40.500000", 0.019), ("1970-01-01T00:16:40.500000Z", 0.019)]
)
def test_an_eta_without_a_zone_is_utc_and_an_odd_one_is_none(outcomes: Outcomes, eta: str, wait: float) -> None:
    asked = record("publish", 1, LOCUST, msg="m1", id="t1", n="shop.work", call=1, eta=eta)
    outcomes.see([record("call", 0, LOCUST, no=1, n="shop.work"), asked, *run(1, 519, 530)])
    assert told(outcomes)[0] == ("w", 1, "shop.work", wait, "")


def test_what_is_long_over_is_forgotten(outcomes: Outcomes) -> None:
    for number in range(1, 51):
        at = number * 10_000
        outcomes.see([*call(number, at), *run(number, at + 10, at + 20)])
        assert [row[0] for row in told(outcomes)] == ["w", "r", "e"]
    for kept in (outcomes._calls, outcomes._messages, outcomes._deliveries, outcomes._of_task):
        assert len(kept) <= 8, kept


def test_messages_of_nobodys_call_are_let_pass(outcomes: Outcomes) -> None:
    stranger = record("deliver", 1, d="x", msg="foreign:1:0", id="t", call=0)
    outcomes.see([stranger, record("start", 2, d="x", id="t"), record("end", 3, d="x", id="t", s="SUCCESS")])
    for _ in range(300):
        outcomes.see([])
    assert outcomes.take() == {}
    assert not outcomes._again, "looked at for ever"


def test_what_locust_says_of_itself_is_kept(outcomes: Outcomes) -> None:
    live = LocustLive(outcomes)
    assert live.feed([*call(1, 0), record("locust", 5, LOCUST, what="lost", text="gone")]) == 3
    assert [said["text"] for said in live.said] == ["gone"]
    assert live.published == {"m1"}
