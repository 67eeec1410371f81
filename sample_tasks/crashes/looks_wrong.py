"""Right tasks that look wrong at the first glance."""

from __future__ import annotations

import time
import uuid
from urllib.request import urlopen

from celery.utils.log import get_task_logger

from sample_tasks.crashes.tools import app, cache, database, folder, mail, mail_server, request, status

log = get_task_logger(__name__)


@app.task(name="right.upsert_with_time")
def upsert_with_time(order: int) -> None:
    """The time differs from delivery to delivery, and may."""
    with database() as db:
        db.execute("UPDATE orders SET status = 'paid', updated_at = ? WHERE number = ?", (time.time(), order))
    urlopen(request("/shipments", f"ship-{order}", order=order)).close()


@app.task(name="right.random_id_in_log")
def random_id_in_log(order: int) -> None:
    """A random number that only the log sees."""
    log.info("request %s for order %s", uuid.uuid4(), order)
    urlopen(request("/charges", f"order-{order}", order=order)).close()


@app.task(name="right.outbox")
def outbox(order: int) -> None:
    """Two rows, one transaction; somebody else sends."""
    with database() as db, db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT OR REPLACE INTO outbox VALUES (?, 'paid')", (order,))
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))


@app.task(name="right.at_most_once")
def at_most_once(order: int) -> str:
    """Marked before it is sent, and declared so: rather no mail than two."""
    with database() as db:
        if status(db, order) == "paid":
            return "already"
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))
    with mail_server() as server:
        server.send_message(mail(order))
    return "sent"


@app.task(name="right.delete_and_insert")
def delete_and_insert(order: int) -> None:
    """Whatever was there is written anew, in one transaction; the rows' ids are others each time."""
    with database() as db, db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM lines WHERE order_number = ?", (order,))
        db.executemany("INSERT INTO lines (order_number, text) VALUES (?, ?)", [(order, "book"), (order, "pen")])


@app.task(name="right.same_temporary_file")
def same_temporary_file(order: int) -> None:
    """A temporary file that a crash leaves is taken over by the next delivery."""
    place = folder() / "invoices"
    place.mkdir(exist_ok=True)
    coming = place / f"{order}.part"
    coming.write_text(f"invoice {order}\n")
    coming.replace(place / f"{order}.txt")


@app.task(name="right.absolute_value")
def absolute_value(order: int) -> None:
    """Written, not changed: again is the same."""
    keys = cache()
    keys.set(f"total:{order}", 10)
    keys.hset("orders", str(order), "paid")


@app.task(name="right.compare_and_set")
def compare_and_set(order: int) -> str:
    """The guard and the change are one statement."""
    with database() as db, db:
        db.execute("BEGIN IMMEDIATE")
        won = db.execute("UPDATE orders SET status = 'paid' WHERE number = ? AND status = 'new'", (order,)).rowcount
        if won:
            db.execute("UPDATE accounts SET balance = balance - 10")
    return "paid" if won else "already"


#: Who has an older fence than the youngest writes nothing.
_IF_YOUNGEST = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('HSET', KEYS[2], ARGV[2], 'printed') end"


@app.task(name="right.fenced_lease")
def fenced_lease(number: int) -> None:
    """Who dies with the lease holds up the others for a minute. Each takes a fence of its own, so that it never stands where it stood."""
    keys = cache()
    fence = keys.incr("fence")
    while not keys.set(f"lease:{number}", "held", nx=True, ex=60):
        time.sleep(61)
    keys.eval(_IF_YOUNGEST, 2, "fence", "pages", str(fence), str(number))
    keys.delete(f"lease:{number}")
