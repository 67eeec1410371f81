"""Idempotent check: things that several calls touch, what is left behind, shapes of stores, size."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from harness.model.finding import Word
from tests.unit.checks.idempotence_kit import UNSENT, Db, Lab, Table, failed, judge, killed, lost, twice
from tests.unit.checks.payments_lab import FAIL, INCONCLUSIVE, PASS, lab, tables

# --- several calls on one thing ---------------------------------------------------------------------------------------


def count_up(db: Db, n: int, cents: int) -> Iterator[None]:
    row = db.find("cache.keys", key="count")
    assert row is not None
    row["value"] += 1
    yield
    db.update("db.orders", {"no": n}, status="paid")
    yield


def only_count(db: Db, n: int, cents: int) -> Iterator[None]:
    row = db.find("cache.keys", key="count")
    assert row is not None
    row["value"] += 1
    yield


def test_counter_with_decided_calls() -> None:
    assert lab(count_up).judge({2: failed(2), 3: killed(0)}).verdict is PASS
    assert lab(count_up).judge({2: failed(0), 3: killed(0)}).verdict is PASS
    assert lab(count_up).judge({2: failed(0), 3: killed(1)}).verdict is FAIL
    assert lab(count_up).judge({2: failed(1), 3: killed(0)}).verdict is FAIL


def test_counter_with_undecided_calls_takes_any_subset() -> None:
    assert lab(only_count).judge({2: failed(0), 4: failed(1), 3: killed(0)}).verdict is PASS
    assert lab(only_count).judge({2: failed(1), 4: failed(1), 3: killed(1)}).verdict is FAIL


def test_a_counter_that_might_be_a_maximum_is_told_only_where_it_matters() -> None:
    def visit(db: Db, n: int, cents: int) -> Iterator[None]:
        row = db.find("cache.keys", key="visits")
        db.upsert("cache.keys", {"key": "visits"}, value=(row["value"] if row else 0) + 1)
        yield
        db.update("db.orders", {"no": n}, status="paid")

    assert lab(visit).judge({3: killed(1)}).verdict is FAIL  # all succeeded: it must end as in the clean passes
    assert lab(visit).judge({2: failed(0), 3: killed(0)}).verdict is PASS
    torn = lab(visit).judge({2: failed(0), 3: killed(1)})
    assert (torn.verdict, "highest" in torn.summary) == (INCONCLUSIVE, True)


def test_too_many_undecided_sums_are_said_to_be_inconclusive() -> None:
    def odd_sums(db: Db, n: int, cents: int) -> Iterator[None]:
        row = db.find("cache.keys", key="sum")
        db.upsert("cache.keys", {"key": "sum"}, value=(row["value"] if row else 0) + cents)
        yield

    calls = [(n, 3**n) for n in range(1, 21)]
    many = Lab(tables(), odd_sums, calls)
    failing = {n: failed(1) for n in range(1, 20)} | {20: killed(0)}
    result = many.judge(failing)
    assert result.verdict is INCONCLUSIVE
    assert "too many" in result.summary
    assert many.judge(failing | {20: killed(1)}).verdict is FAIL  # more than all of them together


def test_last_writer_wins() -> None:
    def settle(db: Db, n: int, cents: int) -> Iterator[None]:
        db.upsert("cache.keys", {"key": "mode"}, value=["red", "green", "blue"][n % 3])
        yield

    calls = [(1, 0), (2, 0), (3, 0), (6, 0)]  # both clean passes end with the same
    shared = Lab(tables(), settle, calls)
    shared.second_order = lambda: [2, 1, 4, 3]  # type: ignore[method-assign]
    assert shared.judge({2: killed(0)}, order=[1, 2, 3, 4]).verdict is PASS

    def spoil(db: Db) -> None:
        db.upsert("cache.keys", {"key": "mode"}, value="black")

    assert shared.judge({2: killed(0)}, order=[1, 2, 3, 4], tamper=spoil).verdict is FAIL
    assert shared.judge({2: lost(0)}, order=[1, 2, 3, 4], tamper=spoil).verdict is INCONCLUSIVE


def test_a_maximum_is_no_sum() -> None:
    def highest(db: Db, n: int, cents: int) -> Iterator[None]:
        row = db.find("cache.keys", key="max")
        db.upsert("cache.keys", {"key": "max"}, value=max(row["value"] if row else 0, cents))
        yield

    peaks = Lab(tables(), highest, [(1, 10), (2, 30), (3, 25), (4, 100)])
    assert peaks.judge({2: killed(1), 4: twice()}).verdict is PASS
    assert peaks.judge({4: failed(0), 2: killed(0)}).verdict is PASS


def test_hash_fields_belong_to_their_calls() -> None:
    def field(db: Db, n: int, cents: int) -> Iterator[None]:
        row = db.find("cache.keys", key="paid")
        db.upsert("cache.keys", {"key": "paid"}, value={**(row["value"] if row else {}), f"order-{n}": cents})
        yield

    assert lab(field).judge({1: lost(0), 2: failed(0), 3: twice()}).verdict is PASS

    def spoil(db: Db) -> None:
        db.find("cache.keys", key="paid")["value"]["order-3"] = 5  # type: ignore[index]

    assert lab(field).judge({1: lost(0), 3: twice()}, tamper=spoil).verdict is FAIL


def test_first_come_row_is_no_proof_of_a_part() -> None:
    def day(db: Db, n: int, cents: int) -> Iterator[None]:
        db.upsert("cache.keys", {"key": "day:2024"}, open=True)
        yield
        db.update("db.orders", {"no": n}, status="paid")

    assert lab(day).judge({1: failed(0), 2: killed(0)}).verdict is PASS


# --- things left behind -----------------------------------------------------------------------------------------------


def test_what_every_clean_run_removes_is_a_leak() -> None:
    def locked(db: Db, n: int, cents: int) -> Iterator[None]:
        db.upsert("cache.keys", {"key": f"lock:{n}"}, value="1")
        yield
        db.update("db.orders", {"no": n}, status="paid")
        if db.seed != 3 or n != 2:
            db.delete("cache.keys", key=f"lock:{n}")

    result = lab(locked).judge({2: killed(1)})
    assert [(f.word, f.calls) for f in result.findings] == [(Word.LEAK, (2,))]
    assert "expiry" in result.findings[0].fix


def test_fault_cells_clear_nobody_while_something_wrong_is_unexplained() -> None:
    def stray(db: Db) -> None:
        db.insert("api.requests", order=77, cents=1)

    result = lab().judge({2: killed(1), 3: killed(1)}, tamper=stray)
    assert (result.verdict, result.by_fault) == (FAIL, ((INCONCLUSIVE, "2 calls hit"),))


def test_half_an_effect_is_told_by_both_halves() -> None:
    finding = lab().judge({2: failed(1)}).findings[0]
    assert finding.story is not None
    assert {(c.name.split()[0], c.wrong) for c in finding.story.world} == {("db.orders", True), ("api.requests", False)}


# --- things that go by themselves -------------------------------------------------------------------------------------


def dedup_key(db: Db, n: int, cents: int) -> Iterator[None]:
    if not db.find("cache.keys", key=f"seen:{n}"):
        db.insert("api.requests", order=n, cents=cents)
        yield
        db.insert("cache.keys", key=f"seen:{n}", value="1", expires=True)


def test_what_expires_may_be_gone() -> None:
    result = lab(dedup_key).judge({2: twice()}, tamper=lambda db: db.delete("cache.keys", key="seen:4"))
    assert (result.verdict, result.numbers["expiring"]) == (PASS, 1)
    kept = lab(dedup_key).judge({2: twice()}, tamper=lambda db: db.update("cache.keys", {"key": "seen:4"}, value="2"))
    assert kept.verdict is FAIL


def test_what_expires_during_the_clean_pass_is_left_out() -> None:
    def fleeting(db: Db, n: int, cents: int) -> Iterator[None]:
        db.delete("cache.keys", key=f"seen:{n - 1}")  # its time is up
        yield from dedup_key(db, n, cents)

    assert lab(fleeting).judge({2: killed(0)}).verdict is PASS
    assert lab(fleeting).judge({2: killed(1)}).verdict is FAIL


# --- shapes of stores -------------------------------------------------------------------------------------------------


def test_numbers_that_a_store_keeps_as_text_add_up() -> None:
    def incr(db: Db, n: int, cents: int) -> Iterator[None]:
        row = db.find("cache.keys", key="total")
        db.upsert("cache.keys", {"key": "total"}, value=str(int(row["value"]) + cents if row else cents))
        yield

    assert lab(incr).judge({2: failed(0), 3: killed(0)}).verdict is PASS
    assert lab(incr).judge({2: failed(1), 3: killed(1)}).verdict is FAIL


def test_requests_to_different_paths_are_learnt_apart() -> None:
    def two(db: Db, n: int, cents: int) -> Iterator[None]:
        if not db.find("api.requests", path="/mail", order=n):
            db.insert("api.requests", path="/mail", order=n, id=db.uuid())
        yield
        if not db.find("api.requests", path="/pay", order=n):
            db.insert("api.requests", path="/pay", order=n, id=f"fixed-{n}")

    assert lab(two).judge({2: killed(1)}).verdict is PASS
    spoiled = lab(two).judge({2: killed(1)}, tamper=lambda db: db.update("api.requests", {"id": "fixed-4"}, id="fixed-x"))
    assert (spoiled.verdict, spoiled.findings[0].calls) == (FAIL, (4,))


def test_a_file_that_all_append_to() -> None:
    def ledger(db: Db, n: int, cents: int) -> Iterator[None]:
        row = db.find("cache.keys", key="ledger")
        text = (row["text"] if row else "") + f"{n};{cents};{db.uuid()}\n"
        db.upsert("cache.keys", {"key": "ledger"}, text=text, size=len(text), sha256=str(hash(text)))
        yield

    assert lab(ledger).judge({2: failed(0), 3: killed(0)}, order=[4, 2, 1, 3, 6, 5]).verdict is PASS
    result = lab(ledger).judge({2: failed(0), 3: killed(1)}, order=[4, 2, 1, 3, 6, 5])
    assert (result.verdict, result.findings[0].calls) == (FAIL, (3,))


def test_rows_whose_number_varies_by_itself_make_it_inconclusive() -> None:
    def chatty(db: Db, n: int, cents: int) -> Iterator[None]:
        for _ in range(db.random.randrange(1, 9)):
            db.insert("api.requests", ping=True)
        yield

    result = lab(chatty).judge({2: killed(1)})
    assert result.verdict is INCONCLUSIVE
    assert "different numbers of rows" in result.summary


def test_a_call_that_was_never_sent_must_have_left_nothing() -> None:
    recorded = lab().record({2: killed(1), 6: UNSENT})
    del recorded.history.calls[6]
    assert judge(recorded).verdict is PASS


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.exhaustive
def test_1500_calls_on_three_collections_are_judged_in_seconds() -> None:
    world = {
        "db.orders": Table(key=("id",), surrogate=("id",), rows=[{"id": n, "status": "new", "at": None} for n in range(1, 1501)]),
        "db.receipts": Table(key=("order_id",), surrogate=("order_id",), references={"order_id": "orders.id"}),
        "api.requests": Table(),
    }

    def charge(db: Db, n: int, cents: int) -> Iterator[None]:
        row = db.tables["db.orders"].rows[n - 1]
        db.tables["api.requests"].rows.append({"order": n, "cents": cents})
        yield
        row.update(status="paid", at=db.now())
        db.tables["db.receipts"].rows.append({"order_id": n, "cents": cents})

    recorded = Lab(world, charge, [(n, 500 + n) for n in range(1, 1501)]).record({n: killed(1) for n in range(10, 1500, 100)})
    begun = time.process_time()
    result = judge(recorded)
    took = time.process_time() - begun
    assert (result.verdict, len(result.findings[0].calls)) == (FAIL, 15)
    assert took < 10, f"{took:.1f} s of CPU; about 3 s are meant"
