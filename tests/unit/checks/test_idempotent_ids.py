"""Idempotent check: order, made-up ids, and numbers that may be either."""

from __future__ import annotations

from collections.abc import Iterator

from tests.unit.checks.idempotence_kit import Db, Lab, Table, failed, killed, twice
from tests.unit.checks.payments_lab import CALLS, FAIL, INCONCLUSIVE, PASS, lab, tables

# --- order ------------------------------------------------------------------------------------------------------------


def numbered(db: Db, n: int, cents: int) -> Iterator[None]:
    yield
    if not db.find("db.payments", order=n):
        db.insert("db.payments", number=len(db.tables["db.payments"].rows) + 1, order=n)
    yield


def test_gapless_numbers_are_compared_as_a_whole() -> None:
    order = [3, 1, 2, 6, 5, 4]
    assert lab(numbered).judge({2: killed(1)}, order=order).verdict is PASS
    assert lab(numbered).judge({2: killed(1), 4: failed(0)}, order=order).verdict is PASS  # five numbers, no gap

    def gap(db: Db) -> None:
        db.tables["db.payments"].rows[-1]["number"] += 1

    assert lab(numbered).judge({2: killed(1)}, order=order, tamper=gap).verdict is FAIL
    torn = lab(numbered).judge({2: killed(1), 4: failed(0)}, order=order, tamper=gap)
    assert torn.verdict is INCONCLUSIVE, torn.summary
    assert "db.payments.number follows the order" in torn.summary

    def same(db: Db) -> None:
        db.tables["db.payments"].rows[-1]["number"] = 1

    assert lab(numbered).judge({2: killed(1), 4: failed(0)}, order=order, tamper=same).verdict is FAIL


# --- made-up ids ------------------------------------------------------------------------------------------------------


def linked() -> dict[str, Table]:
    return {
        "db.boxes": Table(key=("id",), surrogate=("id",)),
        "db.items": Table(key=("id",), surrogate=("id",), references={"box": "boxes.id"}),
    }


def pack(db: Db, n: int, size: int) -> Iterator[None]:
    yield
    box = db.insert("db.boxes", size=size)
    db.insert("db.items", box=box, name="thing")


def test_ids_are_matched_by_what_they_name() -> None:
    def burn(db: Db, n: int, size: int) -> Iterator[None]:
        db.burn("db.boxes")
        yield from pack(db, n, size)

    assert Lab(linked(), burn, CALLS).judge({2: killed(1), 3: killed(1)}, order=[4, 2, 6, 1, 3, 5]).verdict is PASS

    def swap(db: Db) -> None:
        items = db.tables["db.items"].rows
        items[0]["box"], items[1]["box"] = items[1]["box"], items[1]["box"]

    assert Lab(linked(), pack, CALLS).judge({2: killed(0)}, tamper=swap).verdict is FAIL


def test_rows_that_look_alike_are_told_apart_by_what_points_to_them() -> None:
    alike = [(n, 1) for n in range(1, 6)]

    def crowd(db: Db) -> None:
        items = db.tables["db.items"].rows
        items[0]["box"] = items[1]["box"]

    assert Lab(linked(), pack, alike).judge({2: killed(0)}).verdict is PASS
    assert Lab(linked(), pack, alike).judge({2: killed(0)}, tamper=crowd).verdict is FAIL
    assert Lab(linked(), pack, alike).judge({2: killed(0), 5: failed(0)}).verdict is PASS
    assert Lab(linked(), pack, alike).judge({2: killed(0), 5: failed(0)}, tamper=crowd).verdict is INCONCLUSIVE


def test_a_reference_to_nothing_fails() -> None:
    def dangle(db: Db) -> None:
        db.tables["db.items"].rows[0]["box"] = 999

    assert Lab(linked(), pack, CALLS).judge({2: killed(0)}, tamper=dangle).verdict is FAIL


def test_a_row_with_a_made_up_id_may_be_changed_by_a_later_call() -> None:
    def step(db: Db, n: int, action: str) -> Iterator[None]:
        yield
        if action == "open" and not db.find("db.boxes", label=f"box {n}"):
            db.insert("db.boxes", label=f"box {n}", status="open")
        db.update("db.boxes", {"label": f"box {n}"}, status=action)

    calls = [(1, "open"), (2, "open"), (3, "open"), (1, "shut"), (2, "shut")]
    boxes = Lab(linked(), step, calls)
    boxes.second_order = lambda: [3, 2, 1, 5, 4]  # type: ignore[method-assign]
    assert boxes.judge({4: killed(1)}).verdict is PASS
    wrong = boxes.judge({4: killed(1)}, tamper=lambda db: db.update("db.boxes", {"label": "box 3"}, status="lost"))
    assert wrong.verdict is FAIL


# --- ids and numbers that run in step ---------------------------------------------------------------------------------


def test_one_call_with_an_id_in_a_key() -> None:
    """With a single call nothing varies in the clean passes: the worlds are still the same but for a burned id."""

    def keyed(db: Db, n: int, cents: int) -> Iterator[None]:
        row = db.find("db.payments", order=n)
        if row is None:
            payment = db.burn("db.payments")
            yield  # killed here: rolled back, and the id is gone
            db.tables["db.payments"].rows.append({"id": payment, "order": n})
            yield
        else:
            payment = row["id"]
        if not db.find("api.requests", key=f"payment-{payment}"):
            db.insert("api.requests", key=f"payment-{payment}", cents=cents)

    one = Lab(tables(), keyed, [(70, 500)])
    assert one.judge({1: killed(1)}).verdict is PASS
    dangling = one.judge({1: killed(1)}, tamper=lambda db: db.update("api.requests", {}, key="payment-9"))
    assert dangling.verdict is FAIL


def test_gapless_numbers_beside_burned_ids() -> None:
    def both(db: Db, n: int, cents: int) -> Iterator[None]:
        if n == 2 and db.seed == 3:
            db.burn("db.payments")
        yield from numbered(db, n, cents)

    assert lab(both).judge({2: killed(1)}).verdict is PASS


def test_a_primary_key_that_the_arguments_give_is_data() -> None:
    world = {"db.done": Table(key=("id",), surrogate=("id",))}

    def mark(db: Db, n: int) -> Iterator[None]:
        yield
        if not db.find("db.done", id=n):
            db.tables["db.done"].rows.append({"id": n, "state": "done"})

    numbers = [(n,) for n in (41, 17, 99, 3)]
    assert Lab(world, mark, numbers).judge({2: killed(1), 3: twice()}).verdict is PASS
    wrong = Lab(world, mark, numbers).judge({2: killed(1)}, tamper=lambda db: db.update("db.done", {"id": 17}, id=18))
    assert wrong.verdict is FAIL
