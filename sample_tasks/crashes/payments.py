"""One task with ten effects, the right way, and seven ways to get one of them wrong."""

from __future__ import annotations

from urllib.request import urlopen

from sample_tasks.crashes.tools import app, cache, database, folder, request

AMOUNT = 10


def _settle(order: int, wrong: str = "") -> str:
    keys = cache()
    if wrong == "lock" and not keys.set(f"lock:{order}", 1, nx=True):
        return "busy"
    if wrong == "marker":
        if keys.get(f"done:{order}"):
            return "already"
        keys.set(f"done:{order}", 1)
    with database() as db:
        if wrong == "insert":
            db.execute("INSERT INTO payments (order_number, cents) VALUES (?, ?)", (order, AMOUNT))
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT OR IGNORE INTO payments (order_number, cents) VALUES (?, ?)", (order, AMOUNT))
            if wrong == "balance":
                db.execute("UPDATE accounts SET balance = balance - ?", (AMOUNT,))
            else:
                new = "EXISTS (SELECT 1 FROM orders WHERE number = ? AND status = 'new')"
                db.execute(f"UPDATE accounts SET balance = balance - ? WHERE {new}", (AMOUNT, order))
            db.execute("UPDATE orders SET status = 'paying' WHERE number = ? AND status = 'new'", (order,))
        if wrong == "counter":
            keys.incr("paying")
        else:
            keys.sadd("paying", order)
        urlopen(request("/charges", None if wrong == "key" else f"charge-{order}", order=order, cents=AMOUNT)).close()
        urlopen(request("/shipments", f"ship-{order}", order=order)).close()
        if wrong == "append":
            with (folder() / f"invoice-{order}.txt").open("a") as invoice:
                invoice.write(f"invoice {order}\n")
        else:
            _write(f"invoice-{order}.txt", f"invoice {order}\n")
        _write(f"label-{order}.txt", f"label {order}\n")
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ? AND status <> 'paid'", (order,))
    keys.set(f"order:{order}", "paid")
    if wrong == "lock":
        keys.delete(f"lock:{order}")
    return "paid"


def _write(name: str, text: str) -> None:
    """Whole or not at all: the temporary name is the same on every delivery."""
    coming = folder() / f"{name}.new"
    coming.write_text(text)
    coming.replace(folder() / name)


@app.task(name="payments.settle")
def settle(order: int) -> str:
    """Nothing of it happens twice, or not at all, wherever its worker dies."""
    return _settle(order)


@app.task(name="payments.settle_without_key")
def settle_without_key(order: int) -> str:
    """The charge carries no idempotency key."""
    return _settle(order, wrong="key")


@app.task(name="payments.settle_appending")
def settle_appending(order: int) -> str:
    """The invoice is appended to."""
    return _settle(order, wrong="append")


@app.task(name="payments.settle_with_lock")
def settle_with_lock(order: int) -> str:
    """The lock is never given back by whoever dies with it."""
    return _settle(order, wrong="lock")


@app.task(name="payments.settle_marked_early")
def settle_marked_early(order: int) -> str:
    """The mark says that all is done before anything is."""
    return _settle(order, wrong="marker")


@app.task(name="payments.settle_inserting")
def settle_inserting(order: int) -> str:
    """A second delivery trips over the row of the first."""
    return _settle(order, wrong="insert")


@app.task(name="payments.settle_subtracting")
def settle_subtracting(order: int) -> str:
    """The balance goes down with each delivery."""
    return _settle(order, wrong="balance")


@app.task(name="payments.settle_counting")
def settle_counting(order: int) -> str:
    """The counter goes up with each delivery."""
    return _settle(order, wrong="counter")
