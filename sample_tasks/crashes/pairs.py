"""Pairs for SQLite, HTTP and files: the first of each is right, the second is not."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.request import urlopen

from sample_tasks.crashes.tools import app, database, folder, request, status

# --- check, then act ----------------------------------------------------------------------------------------------------


@app.task(name="charge.keyed")
def charge_keyed(order: int) -> str:
    """A repeated charge has the same key, so the company takes it once."""
    with database() as db:
        if status(db, order) == "paid":
            return "already"
        urlopen(request("/charges", f"order-{order}", order=order)).close()
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))
    return "paid"


@app.task(name="charge.checked")
def charge_checked(order: int) -> str:
    """The check sees nothing of a charge whose order was not saved."""
    with database() as db:
        if status(db, order) == "paid":
            return "already"
        urlopen(request("/charges", order=order)).close()
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))
    return "paid"


@app.task(name="charge.random_key")
def charge_random_key(order: int) -> str:
    """Each attempt makes a key of its own."""
    with database() as db:
        if status(db, order) == "paid":
            return "already"
        urlopen(request("/charges", str(uuid.uuid4()), order=order)).close()
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))
    return "paid"


@app.task(name="charge.dated_key")
def charge_dated_key(order: int) -> str:
    """Tomorrow the key is another."""
    with database() as db:
        if status(db, order) == "paid":
            return "already"
        urlopen(request("/charges", f"order-{order}-{datetime.now():%Y-%m-%d}", order=order)).close()
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))
    return "paid"


# --- counters -----------------------------------------------------------------------------------------------------------


@app.task(name="balance.guarded")
def balance_guarded(order: int) -> None:
    """The row that says "done" and the change are one transaction."""
    with database() as db, db:
        db.execute("BEGIN IMMEDIATE")
        if db.execute("INSERT OR IGNORE INTO payments (order_number, cents) VALUES (?, 10)", (order,)).rowcount:
            db.execute("UPDATE accounts SET balance = balance - 10")


@app.task(name="balance.unguarded")
def balance_unguarded(order: int) -> None:
    """The change is there before the row that says so."""
    with database() as db:
        if not db.execute("SELECT 1 FROM payments WHERE order_number = ?", (order,)).fetchone():
            db.execute("UPDATE accounts SET balance = balance - 10")
            db.execute("INSERT OR IGNORE INTO payments (order_number, cents) VALUES (?, 10)", (order,))


# --- several rows -------------------------------------------------------------------------------------------------------


@app.task(name="lines.together")
def lines_together(order: int) -> str:
    """All lines or none."""
    with database() as db:
        if db.execute("SELECT 1 FROM lines WHERE order_number = ?", (order,)).fetchone():
            return "already"
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO lines (order_number, text) VALUES (?, 'book')", (order,))
            db.execute("INSERT INTO lines (order_number, text) VALUES (?, 'pen')", (order,))
    return "written"


@app.task(name="lines.one_by_one")
def lines_one_by_one(order: int) -> str:
    """The first line alone passes for all of them."""
    with database() as db:
        if db.execute("SELECT 1 FROM lines WHERE order_number = ?", (order,)).fetchone():
            return "already"
        db.execute("INSERT INTO lines (order_number, text) VALUES (?, 'book')", (order,))
        db.execute("INSERT INTO lines (order_number, text) VALUES (?, 'pen')", (order,))
    return "written"


# --- inserting ----------------------------------------------------------------------------------------------------------


@app.task(name="payment.upserted")
def payment_upserted(order: int) -> None:
    """Who finds the row goes on."""
    with database() as db:
        db.execute("INSERT OR IGNORE INTO payments (order_number, cents) VALUES (?, 10)", (order,))
    urlopen(request("/shipments", f"ship-{order}", order=order)).close()


@app.task(name="payment.inserted")
def payment_inserted(order: int) -> None:
    """Who finds the row fails, and nothing is shipped."""
    with database() as db:
        db.execute("INSERT INTO payments (order_number, cents) VALUES (?, 10)", (order,))
    urlopen(request("/shipments", f"ship-{order}", order=order)).close()


# --- files --------------------------------------------------------------------------------------------------------------


@app.task(name="invoice.replaced")
def invoice_replaced(order: int) -> str:
    """Whoever sees the file sees all of it."""
    target, coming = folder() / f"invoice-{order}.txt", folder() / f"invoice-{order}.txt.new"
    if target.exists():
        return "already"
    with coming.open("w") as file:
        file.write(f"invoice {order}\n")
        file.flush()
        file.write("total 10\n")
    coming.replace(target)
    return "written"


@app.task(name="invoice.half")
def invoice_half(order: int) -> str:
    """Half of the file passes for all of it."""
    target = folder() / f"invoice-{order}.txt"
    if target.exists():
        return "already"
    with target.open("w") as file:
        file.write(f"invoice {order}\n")
        file.flush()
        file.write("total 10\n")
    return "written"


@app.task(name="invoice.temporary")
def invoice_temporary(order: int) -> str:
    """Each crash leaves a temporary file that nobody takes over."""
    target = folder() / f"invoice-{order}.txt"
    if target.exists():
        return "already"
    with NamedTemporaryFile("w", dir=folder(), delete=False) as file:
        file.write(f"invoice {order}\n")
    Path(file.name).replace(target)
    return "written"


@app.task(name="journal.rewritten")
def journal_rewritten(order: int) -> None:
    """The same text is the same file."""
    coming = folder() / "journal.new"
    coming.write_text(f"paid {order}\n")
    coming.replace(folder() / f"journal-{order}.txt")


@app.task(name="journal.appended")
def journal_appended(order: int) -> None:
    """Each delivery adds its line."""
    with (folder() / "journal.txt").open("a") as journal:
        journal.write(f"paid {order}\n")
