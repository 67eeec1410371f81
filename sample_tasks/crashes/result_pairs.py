"""Pairs for results, keys that are too coarse, and temporary files: the first of each is right, the others are not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.request import urlopen

from sample_tasks.crashes.tools import app, database, folder, request, status

# --- results --------------------------------------------------------------------------------------------------------------


@app.task(name="receipt.told_as_a_list", ignore_result=False)
def receipt_told_as_a_list(order: int) -> object:
    """JSON holds lists."""
    with database() as db:
        db.execute("INSERT OR IGNORE INTO payments (order_number, cents) VALUES (?, 10)", (order,))
        found = db.execute("SELECT order_number, cents FROM payments").fetchall()
    return [cents for number, cents in found if number == order]


@app.task(name="receipt.told_as_a_set", ignore_result=False)
def receipt_told_as_a_set(order: int) -> object:
    """JSON holds no sets: it is paid, and whoever asks is told that it failed."""
    with database() as db:
        db.execute("INSERT OR IGNORE INTO payments (order_number, cents) VALUES (?, 10)", (order,))
        found = db.execute("SELECT order_number, cents FROM payments").fetchall()
    return {cents for number, cents in found if number == order}


@app.task(name="receipt.told_again_as_a_set", ignore_result=False)
def receipt_told_again_as_a_set(order: int) -> object:
    """The same, but only for a delivery that finds it paid."""
    with database() as db:
        if status(db, order) == "paid":
            return {order}
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))
    return [order]


# --- keys that are too coarse -----------------------------------------------------------------------------------------------


@app.task(name="parcel.keyed_by_item")
def parcel_keyed_by_item(order: int) -> None:
    """What is charged is part of the key."""
    for item in ("book", "pen"):
        urlopen(request("/charges", f"order-{order}-{item}", order=order, item=item)).close()


@app.task(name="parcel.keyed_by_order")
def parcel_keyed_by_order(order: int) -> None:
    """The pen has the book's key, so the company takes it for the book, and charges it never."""
    for item in ("book", "pen"):
        urlopen(request("/charges", f"order-{order}", order=order, item=item)).close()


# --- temporary files --------------------------------------------------------------------------------------------------------


def _written(order: int) -> str:
    descriptor, name = tempfile.mkstemp(prefix=f"letter-{order}_", suffix=".new", dir=folder())
    with os.fdopen(descriptor, "w") as file:
        file.write(f"letter {order}\n")
    return name


@app.task(name="letter.swept")
def letter_swept(order: int) -> None:
    """Each delivery takes away what an earlier one has left."""
    for left in folder().glob(f"letter-{order}_*.new"):
        left.unlink(missing_ok=True)
    Path(_written(order)).replace(folder() / f"letter-{order}.txt")


@app.task(name="letter.unswept")
def letter_unswept(order: int) -> None:
    """Each crash leaves one more."""
    Path(_written(order)).replace(folder() / f"letter-{order}.txt")
