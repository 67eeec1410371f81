"""Pairs for Redis, time, memory and mail: the first of each is right, the second is not."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any
from urllib.request import urlopen

from sample_tasks.crashes.tools import app, cache, database, mail, mail_server, request, status

# --- counting -----------------------------------------------------------------------------------------------------------


@app.task(name="visitors.collected")
def visitors_collected(customer: int) -> None:
    """A set holds each once."""
    cache().sadd("visitors", customer)
    urlopen(request("/visits", f"visit-{customer}", customer=customer)).close()


@app.task(name="visitors.counted")
def visitors_counted(customer: int) -> None:
    """A counter counts deliveries."""
    cache().incr("visitors")
    urlopen(request("/visits", f"visit-{customer}", customer=customer)).close()


@app.task(name="visitors.counted_for_a_minute")
def visitors_counted_for_a_minute(customer: int) -> str:
    """Redis redelivers after its visibility timeout: the mark is gone by then."""
    keys = cache()
    with keys.pipeline(transaction=True) as pipe:
        if keys.get(f"seen:{customer}"):
            return "already"
        pipe.set(f"seen:{customer}", 1, ex=60)
        pipe.incr("visitors")
        pipe.execute()
    return "counted"


@app.task(name="visitors.counted_for_good")
def visitors_counted_for_good(customer: int) -> str:
    """The mark stays, and is set together with the count."""
    keys = cache()
    with keys.pipeline(transaction=True) as pipe:
        if keys.get(f"seen:{customer}"):
            return "already"
        pipe.set(f"seen:{customer}", 1)
        pipe.incr("visitors")
        pipe.execute()
    return "counted"


# --- locks --------------------------------------------------------------------------------------------------------------


@app.task(name="report.leased", bind=True, max_retries=None)
def report_leased(self: Any, number: int) -> str:
    """Whoever dies with the lease holds up the others for a minute."""
    keys = cache()
    if not keys.set(f"lock:{number}", 1, nx=True, ex=60):
        raise self.retry(countdown=90)
    urlopen(request("/reports", f"report-{number}", number=number)).close()
    keys.delete(f"lock:{number}")
    return "done"


@app.task(name="report.locked", bind=True, max_retries=None)
def report_locked(self: Any, number: int) -> str:
    """Whoever dies with the lock holds up the others for ever."""
    keys = cache()
    if not keys.set(f"lock:{number}", 1, nx=True):
        raise self.retry(countdown=90)
    urlopen(request("/reports", f"report-{number}", number=number)).close()
    keys.delete(f"lock:{number}")
    return "done"


@app.task(name="report.locked_quietly")
def report_locked_quietly(number: int) -> str:
    """Who finds the lock takes it for done."""
    keys = cache()
    if not keys.set(f"lock:{number}", 1, nx=True):
        return "busy"
    urlopen(request("/reports", f"report-{number}", number=number)).close()
    keys.delete(f"lock:{number}")
    return "done"


# --- marks --------------------------------------------------------------------------------------------------------------


@app.task(name="welcome.marked_after")
def welcome_marked_after(customer: int) -> str:
    """What is marked is done."""
    keys = cache()
    if keys.get(f"welcomed:{customer}"):
        return "already"
    urlopen(request("/welcomes", f"welcome-{customer}", customer=customer)).close()
    keys.set(f"welcomed:{customer}", 1)
    return "welcomed"


@app.task(name="welcome.marked_before")
def welcome_marked_before(customer: int) -> str:
    """What is marked may never be done."""
    keys = cache()
    if keys.get(f"welcomed:{customer}"):
        return "already"
    keys.set(f"welcomed:{customer}", 1)
    urlopen(request("/welcomes", f"welcome-{customer}", customer=customer)).close()
    return "welcomed"


# --- memory of the process ----------------------------------------------------------------------------------------------

_charged: set[int] = set()
_known: dict[int, str] = {}


@app.task(name="memo.of_what_is_done")
def memo_of_what_is_done(order: int) -> None:
    """The memory dies with the worker."""
    if order not in _charged:
        urlopen(request("/charges", order=order)).close()
        _charged.add(order)
    with database() as db:
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))


@app.task(name="memo.of_what_was_read")
def memo_of_what_was_read(order: int) -> None:
    """The memory is older than the order: only a worker that lives, and gets the message again, shows it."""
    with database() as db, db:
        db.execute("BEGIN IMMEDIATE")
        if _known.setdefault(order, status(db, order)) == "new":
            db.execute("UPDATE accounts SET balance = balance - 10")
            db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))


@app.task(name="memo.of_what_never_changes")
def memo_of_what_never_changes(order: int) -> None:
    """What cannot change may be remembered."""
    with database() as db:
        (number,) = db.execute("SELECT number FROM accounts").fetchone()
        _known.setdefault(0, str(number))
        db.execute("UPDATE orders SET status = ? WHERE number = ?", (f"paid from {_known[0]}", order))


# --- errors that are swallowed ------------------------------------------------------------------------------------------


@app.task(name="order.goes_on")
def order_goes_on(order: int) -> None:
    """The row of an earlier delivery says nothing about the shipment."""
    with database() as db:
        with contextlib.suppress(sqlite3.IntegrityError):
            db.execute("INSERT INTO payments (order_number, cents) VALUES (?, 10)", (order,))
        urlopen(request("/shipments", f"ship-{order}", order=order)).close()


@app.task(name="order.gives_up")
def order_gives_up(order: int) -> None:
    """The row of an earlier delivery is taken for all of it."""
    with database() as db, contextlib.suppress(sqlite3.IntegrityError):
        db.execute("INSERT INTO payments (order_number, cents) VALUES (?, 10)", (order,))
        urlopen(request("/shipments", f"ship-{order}", order=order)).close()


# --- mail ---------------------------------------------------------------------------------------------------------------


@app.task(name="mail.queued")
def mail_queued(order: int) -> None:
    """What is to be sent is a row; whoever sends it marks it."""
    with database() as db:
        db.execute("INSERT OR IGNORE INTO outbox VALUES (?, 'paid')", (order,))


@app.task(name="mail.sent_before_commit")
def mail_sent_before_commit(order: int) -> str:
    """A mail cannot be taken back."""
    with database() as db:
        if status(db, order) == "paid":
            return "already"
        with mail_server() as server:
            server.send_message(mail(order))
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))
    return "sent"


@app.task(name="mail.sent_after_commit")
def mail_sent_after_commit(order: int) -> str:
    """Nobody sends what was not sent at once."""
    with database() as db:
        if status(db, order) == "paid":
            return "already"
        db.execute("UPDATE orders SET status = 'paid' WHERE number = ?", (order,))
        with mail_server() as server:
            server.send_message(mail(order))
    return "sent"


# --- acknowledgement ----------------------------------------------------------------------------------------------------


@app.task(name="early.lost", acks_late=False)
def early_lost(order: int) -> None:
    """Acknowledged before it runs: a crash takes it along."""
    urlopen(request("/charges", f"order-{order}", order=order)).close()


@app.task(name="early.allowed", acks_late=False)
def early_allowed(order: int) -> None:
    """The same, where that is declared."""
    urlopen(request("/charges", f"order-{order}", order=order)).close()
