"""Pairs that are hard to tell apart: the first of each is right, the second is not."""

from __future__ import annotations

import contextlib
import csv
import time
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from celery.exceptions import Ignore, Reject

from sample_tasks.crashes.tools import app, cache, database, folder, request, status

# --- keys ---------------------------------------------------------------------------------------------------------------


@app.task(name="fee.keyed_by_order", bind=True, max_retries=5)
def fee_keyed_by_order(self: Any, order: int) -> None:
    """Whoever comes while the lease holds comes again later, with the same key."""
    keys = cache()
    if not keys.set(f"lease:{order}", 1, nx=True, ex=60):
        raise self.retry(countdown=90)
    urlopen(request("/fees", f"fee-{order}", order=order)).close()
    keys.delete(f"lease:{order}")


@app.task(name="fee.keyed_by_attempt", bind=True, max_retries=5)
def fee_keyed_by_attempt(self: Any, order: int) -> None:
    """A retry is another attempt, so it is another key."""
    keys = cache()
    if not keys.set(f"lease:{order}", 1, nx=True, ex=60):
        raise self.retry(countdown=90)
    urlopen(request("/fees", f"fee-{order}-{self.request.retries}", order=order)).close()
    keys.delete(f"lease:{order}")


@app.task(name="rent.keyed_by_month_told")
def rent_keyed_by_month_told(tenant: int, month: str = "2026-11") -> None:
    """The month is that of the rent."""
    urlopen(request("/rents", f"rent-{tenant}-{month}", tenant=tenant)).close()
    cache().set(f"rent:{tenant}", datetime.now(timezone.utc).isoformat())


@app.task(name="rent.keyed_by_this_month")
def rent_keyed_by_this_month(tenant: int) -> None:
    """The month is that of the delivery."""
    urlopen(request("/rents", f"rent-{tenant}-{date.today():%Y-%m}", tenant=tenant)).close()
    cache().set(f"rent:{tenant}", datetime.now(timezone.utc).isoformat())


@app.task(name="deposit.keyed_alike")
def deposit_keyed_alike(order: int) -> None:
    """What was noted is no part of the key."""
    keys = cache()
    urlopen(request("/deposits", f"deposit-{order}", order=order)).close()
    keys.set(f"noted:{order}", 1)
    keys.set(f"booked:{order}", 1)


@app.task(name="deposit.keyed_by_what_was_noted")
def deposit_keyed_by_what_was_noted(order: int) -> None:
    """The deposit comes twice only where the note that follows it was there."""
    keys = cache()
    urlopen(request("/deposits", f"deposit-{order}-{keys.exists(f'noted:{order}')}", order=order)).close()
    keys.set(f"noted:{order}", 1)
    keys.set(f"booked:{order}", 1)


# --- what is remembered, and for how long ---------------------------------------------------------------------------------


@app.task(name="visitors.counted_for_a_week")
def visitors_counted_for_a_week(customer: int) -> str:
    """The mark outlives any redelivery; beside it `visitors.counted_for_a_minute`."""
    keys = cache()
    with keys.pipeline(transaction=True) as pipe:
        if keys.get(f"seen:{customer}"):
            return "already"
        pipe.set(f"seen:{customer}", 1, ex=7 * 86_400)
        pipe.incr("visitors")
        pipe.execute()
    return "counted"


@app.task(name="sold.by_message", bind=True)
def sold_by_message(self: Any, order: int) -> None:
    """Each message counts once, however often it comes."""
    cache().hset("sold", self.request.id, order)
    urlopen(request("/sales", f"sale-{order}", order=order)).close()


@app.task(name="sold.by_delivery", bind=True)
def sold_by_delivery(self: Any, order: int) -> None:
    """Each delivery counts."""
    cache().hincrby("sold", self.request.id, 1)
    urlopen(request("/sales", f"sale-{order}", order=order)).close()


@app.task(name="catalogue.locked_for_a_while")
def catalogue_locked_for_a_while(number: int) -> None:
    """Who finds the lock waits for it, within the task; a lock of the dead ends by itself."""
    keys = cache()
    with keys.lock(f"lock:{number}", timeout=2, sleep=0.25, blocking_timeout=60):
        keys.hset("catalogue", str(number), "printed")


@app.task(name="catalogue.locked_for_good")
def catalogue_locked_for_good(number: int) -> None:
    """A lock of the dead is there for ever, and who waits for it gives up."""
    keys = cache()
    with keys.lock(f"lock:{number}", timeout=None, sleep=0.25, blocking_timeout=1):
        keys.hset("catalogue", str(number), "printed")


# --- files that vary ------------------------------------------------------------------------------------------------------


def _export(target: Path) -> None:
    """Much more than what is written at a time; each line says when."""
    with target.open("w", newline="") as file:
        rows = csv.writer(file)
        for number in range(700):
            rows.writerow((number, time.time(), "x" * (number % 7)))


@app.task(name="export.whole")
def export_whole(number: int) -> str:
    """Under its own name it is whole."""
    target = folder() / f"export-{number}.csv"
    if target.exists():
        return "already"
    _export(target.with_suffix(".part"))
    target.with_suffix(".part").replace(target)
    return "written"


@app.task(name="export.half")
def export_half(number: int) -> str:
    """Half of it passes for all of it, and no two of them are alike."""
    target = folder() / f"export-{number}.csv"
    if target.exists():
        return "already"
    _export(target)
    return "written"


# --- trying again ---------------------------------------------------------------------------------------------------------


class NotYetError(Exception):
    """The other side is not ready."""


@app.task(name="feed.asked_for_once", autoretry_for=(NotYetError,), retry_backoff=5, retry_jitter=False, max_retries=3)
def feed_asked_for_once(number: int) -> None:
    """Asks, and comes back for the answer."""
    if cache().sadd("asked", number):
        raise NotYetError
    urlopen(request("/feeds", f"feed-{number}", number=number)).close()


@app.task(name="feed.asked_by_count", autoretry_for=(NotYetError,), retry_backoff=5, retry_jitter=False, max_retries=3)
def feed_asked_by_count(number: int) -> None:
    """Counts how often it has asked."""
    if cache().incr("asked") < 2:
        raise NotYetError
    urlopen(request("/feeds", f"feed-{number}", number=number)).close()


@app.task(name="poison.taken_on", bind=True)
def poison_taken_on(self: Any, order: int) -> None:
    """What comes again is taken on where it was left."""
    with database() as db:
        if self.request.delivery_info.get("redelivered") and status(db, order) == "paid":
            raise Ignore
        db.execute("UPDATE orders SET status = 'paying' WHERE number = ? AND status = 'new'", (order,))
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))


@app.task(name="poison.thrown_away", bind=True)
def poison_thrown_away(self: Any, order: int) -> None:
    """What comes again is taken for what kills workers."""
    with database() as db:
        if self.request.delivery_info.get("redelivered"):
            raise Reject("it has killed a worker", requeue=False)
        db.execute("UPDATE orders SET status = 'paying' WHERE number = ? AND status = 'new'", (order,))
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))


# --- calling others -------------------------------------------------------------------------------------------------------


@app.task(name="packing.packed")
def packed(order: int) -> None:
    """Twice is as once."""
    with database() as db:
        db.execute("INSERT OR IGNORE INTO outbox VALUES (?, 'packed')", (order,))


@app.task(name="packing.called_each_time")
def called_each_time(order: int) -> None:
    """The other is called twice rather than never."""
    with database() as db, contextlib.suppress(ValueError):
        db.execute("INSERT OR IGNORE INTO payments (order_number, cents) VALUES (?, 10)", (order,))
        packed.delay(order)


@app.task(name="packing.called_once")
def called_once(order: int) -> None:
    """Between the row and the call nobody calls."""
    with database() as db, contextlib.suppress(ValueError):
        if db.execute("INSERT OR IGNORE INTO payments (order_number, cents) VALUES (?, 10)", (order,)).rowcount:
            packed.delay(order)
