"""Right tasks that look wrong must pass, wrong tasks that look right must fail: the oracle of `idempotent` on small applications."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.model.finding import Word
from harness.model.verdict import Verdict
from tests.unit.checks.idempotence_kit import UNSENT, Db, Lab, Run, Table, Task, failed, killed, lost, twice

ORDERS = [(n, 500 + 37 * n) for n in range(1, 9)]
PLAN = {3: killed(1), 5: twice()}


def tables() -> dict[str, Table]:
    return {
        "db.orders": Table(key=("id",), surrogate=("id",), rows=[{"id": n, "status": "new", "at": None} for n in range(1, 13)]),
        "db.payments": Table(key=("id",), surrogate=("id",), references={"order_id": "orders.id"}),
        "db.log": Table(key=("id",), surrogate=("id",)),
        "db.stats": Table(key=("name",), rows=[{"name": "orders", "count": 0, "cents": 0}]),
        "db.done": Table(key=("task",)),
        "db.invoices": Table(key=("no",)),
        "db.locks": Table(key=("name",)),
        "db.outbox": Table(key=("id",), surrogate=("id",), references={"payment": "payments.id"}),
        "db.queue": Table(key=("order",), rows=[{"order": n} for n in range(1, 13)]),
        "api.requests": Table(),
        "mail.messages": Table(),
        "cache.keys": Table(key=("key",)),
        "files.files": Table(key=("path",)),
    }


def once(db: Db, n: int) -> bool:
    """A guard in the same transaction as what follows it up to the next yield."""
    if db.find("db.done", task=n):
        return False
    db.insert("db.done", task=n)
    return True


def post(db: Db, path: str, key: str | None = None, **body: Any) -> None:
    """The API; a repeated key is no second effect."""
    if key is None or not db.find("api.requests", key=key):
        db.insert("api.requests", method="POST", path=path, key=key, body=body)


# --- right ------------------------------------------------------------------------------------------------------------


def upsert_with_time(db: Db, n: int, cents: int) -> Iterator[None]:
    db.upsert("cache.keys", {"key": f"receipt:{n}"}, value={"cents": cents, "at": db.now()})
    yield
    db.update("db.orders", {"id": n}, status="paid", at=db.now())


def random_id_in_log(db: Db, n: int, cents: int) -> Iterator[None]:
    yield
    yield
    if once(db, n):
        db.insert("db.log", request=db.uuid(), text=f"{db.uuid()} charged {cents}", order=n)


def outbox(db: Db, n: int, cents: int) -> Iterator[None]:
    if once(db, n):
        payment = db.insert("db.payments", order_id=n, cents=cents)
        db.insert("db.outbox", payment=payment, sent=False)
    yield
    for row in db.tables["db.outbox"].rows:
        if not row["sent"]:
            post(db, "/mail", key=f"outbox-{row['id']}", payment=row["payment"])
            row["sent"] = True


def burned_ids(db: Db, n: int, cents: int) -> Iterator[None]:
    if db.find("db.payments", order_id=n):
        db.burn("db.payments")  # INSERT … ON CONFLICT DO NOTHING takes a number all the same
        return
    db.burn("db.payments")
    yield
    payment = db.insert("db.payments", order_id=n, cents=cents)
    db.insert("db.log", payment=f"payment-{payment}", order=n)


def gapless_invoice(db: Db, n: int, cents: int) -> Iterator[None]:
    yield
    if once(db, n):
        db.insert("db.invoices", no=len(db.tables["db.invoices"].rows) + 1, order=n, cents=cents)


def counter_with_guard(db: Db, n: int, cents: int) -> Iterator[None]:
    yield
    if once(db, n):
        row = db.find("db.stats", name="orders")
        assert row is not None
        row.update(count=row["count"] + 1, cents=row["cents"] + cents)


def temp_then_rename(db: Db, n: int, cents: int) -> Iterator[None]:
    db.upsert("files.files", {"path": f"out/{n}.tmp"}, text=f"report {cents}")
    yield
    db.delete("files.files", path=f"out/{n}.tmp")
    db.upsert("files.files", {"path": f"out/{n}.txt"}, text=f"report {cents}")


def shared_row_first_come(db: Db, n: int, cents: int) -> Iterator[None]:
    db.upsert("db.done", {"task": "day"}, day="2024-06-11")
    yield
    db.update("db.orders", {"id": n}, status="paid")


def lease_that_expires(db: Db, n: int, cents: int) -> Iterator[None]:
    if not db.find("db.done", task=n):
        db.upsert("cache.keys", {"key": f"lock:{n}"}, value=db.uuid(), expires=True)
    yield
    db.update("db.orders", {"id": n}, status="paid")
    db.upsert("db.done", {"task": n})


def consumed_queue(db: Db, n: int, cents: int) -> Iterator[None]:
    yield
    if db.delete("db.queue", order=n):
        db.insert("mail.messages", to=f"customer{n}@example.com", subject="paid", message_id=f"<{db.uuid()}@x>")


def keyed_charge(db: Db, n: int, cents: int) -> Iterator[None]:
    post(db, "/charges", key=f"order-{n}", order=n, cents=cents, sent_at=db.now())
    yield
    db.update("db.orders", {"id": n}, status="paid", at=db.now())


def list_once(db: Db, n: int, cents: int) -> Iterator[None]:
    yield
    if once(db, n):
        row = db.find("cache.keys", key="paid")
        db.upsert("cache.keys", {"key": "paid"}, value=[*(row["value"] if row else []), n])


def last_writer(db: Db, n: int, cents: int) -> Iterator[None]:
    db.update("db.orders", {"id": n}, status="paid")
    yield
    db.upsert("cache.keys", {"key": "last"}, value=n)


RIGHT = [
    upsert_with_time,
    random_id_in_log,
    outbox,
    burned_ids,
    gapless_invoice,
    counter_with_guard,
    temp_then_rename,
    shared_row_first_come,
    consumed_queue,
    keyed_charge,
    list_once,
    last_writer,
]


@pytest.mark.parametrize("task", RIGHT, ids=lambda t: t.__name__)
def test_right_tasks_pass(task: Task) -> None:
    result = Lab(tables(), task, ORDERS).judge(PLAN, order=[2, 1, 5, 3, 4, 8, 7, 6])
    assert result.verdict is Verdict.PASS, [f.headline for f in result.findings] or result.summary
    assert result.findings == ()


@pytest.mark.parametrize("task", RIGHT, ids=lambda t: t.__name__)
def test_right_tasks_pass_when_everything_is_cut_short(task: Task) -> None:
    result = Lab(tables(), task, ORDERS).judge({n: killed(n % 2) for n in range(1, 9)})
    assert result.verdict is Verdict.PASS, [f.headline for f in result.findings] or result.summary


@pytest.mark.parametrize("task", RIGHT, ids=lambda t: t.__name__)
def test_right_tasks_never_fail_whatever_becomes_of_their_calls(task: Task) -> None:
    rng = random.Random(task.__name__)
    fates = [lambda: killed(rng.randrange(3)), twice, lambda: lost(rng.randrange(3)), lambda: failed(0), lambda: UNSENT, Run, Run, Run]
    for _ in range(30):
        lab = Lab(tables(), task, ORDERS)
        orders = [rng.sample(range(1, 9), 8) for _ in range(2)]
        lab.second_order = lambda order=orders[0]: order  # type: ignore[method-assign,misc]
        result = lab.judge({n: rng.choice(fates)() for n in range(1, 9)}, order=orders[1])
        assert result.verdict is not Verdict.FAIL, [f.sentence for f in result.findings]


def test_a_lease_left_to_expire_is_no_leak() -> None:
    def lease(db: Db, n: int, cents: int) -> Iterator[None]:
        db.upsert("cache.keys", {"key": f"lock:{n}"}, value="held", expires=True)
        yield
        db.update("db.orders", {"id": n}, status="paid")
        db.delete("cache.keys", key=f"lock:{n}")

    result = Lab(tables(), lease, ORDERS).judge({3: killed(1), 4: Run((1,), early_ack=True)})
    assert result.verdict is Verdict.PASS, result.summary
    assert result.numbers["expiring"] == 1


# --- wrong ------------------------------------------------------------------------------------------------------------


def charge_without_key(db: Db, n: int, cents: int) -> Iterator[None]:
    post(db, "/charges", order=n, cents=cents)
    yield
    db.update("db.orders", {"id": n}, status="paid", at=db.now())


def charge_with_random_key(db: Db, n: int, cents: int) -> Iterator[None]:
    post(db, "/charges", key=db.uuid(), order=n, cents=cents)
    yield
    db.update("db.orders", {"id": n}, status="paid", at=db.now())


def charge_with_surrogate_key(db: Db, n: int, cents: int) -> Iterator[None]:
    """INSERT … RETURNING id, POST with key payment-{id}, COMMIT: a kill before the commit rolls the row back, not the id."""
    if db.find("db.payments", order_id=n):
        return
    payment = db.burn("db.payments")
    post(db, "/charges", key=f"payment-{payment}", cents=100)
    yield
    db.tables["db.payments"].rows.append({"id": payment, "order_id": n, "cents": cents})


def plain_insert(db: Db, n: int, cents: int) -> Iterator[None]:
    db.insert("db.payments", order_id=n, cents=cents)
    yield
    db.update("db.orders", {"id": n}, status="paid")


def incr(db: Db, n: int, cents: int) -> Iterator[None]:
    row = db.find("cache.keys", key="paid")
    db.upsert("cache.keys", {"key": "paid"}, type="string", value=str(int(row["value"]) + 1 if row else 1))
    yield
    db.update("db.orders", {"id": n}, status="paid")


def balance(db: Db, n: int, cents: int) -> Iterator[None]:
    row = db.find("db.stats", name="orders")
    assert row is not None
    row["cents"] += cents
    yield


def append_to_file(db: Db, n: int, cents: int) -> Iterator[None]:
    row = db.find("files.files", path="ledger.csv")
    db.upsert("files.files", {"path": "ledger.csv"}, text=(row["text"] if row else "") + f"{n};{cents}\n")
    yield
    db.update("db.orders", {"id": n}, status="paid")


def push_to_list(db: Db, n: int, cents: int) -> Iterator[None]:
    row = db.find("cache.keys", key="paid")
    db.upsert("cache.keys", {"key": "paid"}, value=[n, *(row["value"] if row else [])])
    yield


def done_flag_too_early(db: Db, n: int, cents: int) -> Iterator[None]:
    if once(db, n):
        yield
        db.update("db.orders", {"id": n}, status="paid")


def leaked_lock(db: Db, n: int, cents: int) -> Iterator[None]:
    if db.find("db.locks", name=f"order-{n}"):
        return
    db.insert("db.locks", name=f"order-{n}", holder=db.uuid())
    yield
    db.update("db.orders", {"id": n}, status="paid")
    db.delete("db.locks", name=f"order-{n}")


def leaked_temp(db: Db, n: int, cents: int) -> Iterator[None]:
    name = f"out/{n}.{db.random.randrange(10**6)}.tmp"
    db.insert("files.files", path=name, text=f"report {cents}")
    yield
    db.delete("files.files", path=name)
    db.upsert("files.files", {"path": f"out/{n}.txt"}, text=f"report {cents}")


def status_guard_jams(db: Db, n: int, cents: int) -> Iterator[None]:
    if db.find("db.orders", id=n, status="generating"):
        return
    db.update("db.orders", {"id": n}, status="generating")
    yield
    db.update("db.orders", {"id": n}, status="paid")


def mail_before_mark(db: Db, n: int, cents: int) -> Iterator[None]:
    if not db.find("db.done", task=n):
        db.insert("mail.messages", to=f"customer{n}@example.com", subject="paid", message_id=f"<{db.uuid()}@x>")
        yield
        db.insert("db.done", task=n)


def invoice_twice(db: Db, n: int, cents: int) -> Iterator[None]:
    db.insert("db.invoices", no=len(db.tables["db.invoices"].rows) + 1, order=n, cents=cents)
    yield
    db.update("db.orders", {"id": n}, status="paid")


def wrong_reference(db: Db, n: int, cents: int) -> Iterator[None]:
    """After a crash it takes the newest payment for its own."""
    if not db.find("db.payments", order_id=n):
        db.insert("db.payments", order_id=n, cents=cents)
        mine = db.tables["db.payments"].rows[-1]["id"]
        yield
    else:
        mine = db.tables["db.payments"].rows[0]["id"]
    db.insert("db.outbox", payment=mine, sent=True)


def overwritten_by_retry(db: Db, n: int, cents: int) -> Iterator[None]:
    row = db.find("db.orders", id=n)
    assert row is not None
    row["status"] = "paid" if row["status"] == "new" else row["status"] + "+paid"
    yield


def refund_on_second_run(db: Db, n: int, cents: int) -> Iterator[None]:
    if db.find("db.orders", id=n, status="charging"):
        post(db, "/refunds", key=f"refund-{n}", order=n)
    db.update("db.orders", {"id": n}, status="charging")
    post(db, "/charges", key=f"order-{n}", order=n)
    yield
    db.update("db.orders", {"id": n}, status="paid")


@dataclass(frozen=True)
class Wrong:
    task: Task
    word: Word = Word.EFFECT
    plan: dict[int, Run] = field(default_factory=lambda: {3: killed(1)})
    calls: tuple[int, ...] = (3,)


WRONG = [
    Wrong(charge_without_key),
    Wrong(charge_without_key, plan={5: twice()}, calls=(5,)),
    Wrong(charge_with_random_key),
    Wrong(charge_with_surrogate_key, calls=()),
    Wrong(plain_insert),
    Wrong(incr),
    Wrong(balance, plan={3: killed(1), 5: killed(0)}),
    Wrong(append_to_file),
    Wrong(push_to_list),
    Wrong(done_flag_too_early),
    Wrong(leaked_lock, calls=()),
    Wrong(leaked_temp, Word.LEAK, calls=()),
    Wrong(status_guard_jams),
    Wrong(mail_before_mark),
    Wrong(invoice_twice),
    Wrong(wrong_reference),
    Wrong(overwritten_by_retry),
    Wrong(refund_on_second_run),
    Wrong(charge_without_key, Word.PARTIAL, plan={3: failed(1), 2: killed(0)}),
    Wrong(plain_insert, Word.PARTIAL, plan={3: failed(1), 2: killed(0)}),
    Wrong(charge_without_key, plan={3: Run((1, 1), early_ack=True)}),
    Wrong(charge_without_key, plan={3: Run((1, ("raise", 1)))}),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: f"{w.task.__name__}-{w.word}")
def test_wrong_tasks_fail(wrong: Wrong) -> None:
    result = Lab(tables(), wrong.task, ORDERS).judge(wrong.plan)
    assert result.verdict is Verdict.FAIL, result.summary
    assert wrong.word in {f.word for f in result.findings}
    named = {c for f in result.findings for c in f.calls}
    assert named <= {3, 5} and set(wrong.calls) <= named, [f.headline for f in result.findings]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: f"{w.task.__name__}-{w.word}")
def test_wrong_tasks_pass_where_nothing_happens_to_them(wrong: Wrong) -> None:
    result = Lab(tables(), wrong.task, ORDERS).judge({3: killed(0)}, order=[2, 3, 1, 4, 5, 6, 7, 8])
    assert result.verdict is Verdict.PASS, [f.headline for f in result.findings] or result.summary


def test_a_lock_that_a_lost_call_leaves_is_a_leak() -> None:
    result = Lab(tables(), leaked_lock, ORDERS).judge({3: lost(1)})
    assert [f.word for f in result.findings] == [Word.LEAK]
