"""An importer with retries, a broken twin of `importer`: it tries again at once, and for ever.

``max_retries=None`` is no default but no limit, and ``countdown=0`` no delay: while the partner is away each article goes round
as fast as the broker can carry it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from urllib.error import URLError
from urllib.request import Request, urlopen

from celery import Celery, Task

app = Celery("importer", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_default_queue="imports",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


class PartnerAway(Exception):
    """The partner did not answer, or with an error of its own: later it may."""


class MalformedArticle(ValueError):
    """No article can have this number: asking again is useless."""


def database() -> sqlite3.Connection:
    """One connection per task: SQLite connections don't survive a fork."""
    return sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20)


def ask_partner(article: str) -> None:
    """Reserve the article at the partner; a repeated reservation is the same one."""
    request = Request(f"{os.environ['PARTNER_API']}/reservations/{article}", b"{}", {"Idempotency-Key": article}, method="PUT")
    try:
        with urlopen(request, timeout=5) as answer:
            answer.read()
    except (URLError, TimeoutError, ConnectionError) as error:
        raise PartnerAway(str(error)) from None


def import_article(article: str, cents: int) -> None:
    """Check, ask, save."""
    if not article.startswith("A-"):
        raise MalformedArticle(article)
    ask_partner(article)
    with closing(database()) as db, db:
        db.execute("INSERT OR REPLACE INTO prices (article, cents) VALUES (?, ?)", (article, cents))


@app.task(name="importer.fetch", bind=True, max_retries=None)
def fetch(self: Task, article: str, cents: int) -> None:
    """Import one price."""
    try:
        import_article(article, cents)
    except PartnerAway as error:
        raise self.retry(exc=error, countdown=0) from error
