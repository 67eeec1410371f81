"""Quotes of a slow insurance partner, a broken twin of `quotes`: whoever has waited in vain asks again at once, and for ever.

While the partner keeps up nobody notices. One moment in which it does not, and every free worker asks again. The partner still
answers as many as ever, but only requests that nobody waits for any more: its line never gets shorter, although no more quotes
are wanted than before. More workers would only ask more often (a metastable failure).
"""

from __future__ import annotations

import json
import os
from urllib.error import URLError
from urllib.request import urlopen

from celery import Celery, Task

app = Celery("quotes", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_default_queue="quotes",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


class PartnerSlow(Exception):
    """The partner did not answer in time."""


def ask_partner(car: str) -> int:
    """Cents a year. The partner goes on with a request that nobody waits for any more."""
    try:
        with urlopen(f"{os.environ['PARTNER_API']}/quotes/{car}", timeout=1) as answer:
            return int(json.load(answer)["cents"])
    except (URLError, TimeoutError, ConnectionError) as error:
        raise PartnerSlow(str(error)) from None


@app.task(name="quotes.ask", bind=True, max_retries=None)
def ask(self: Task, car: str) -> int:
    """Ask for one quote."""
    try:
        cents = ask_partner(car)
    except PartnerSlow as error:
        raise self.retry(exc=error, countdown=0) from error
    return cents
