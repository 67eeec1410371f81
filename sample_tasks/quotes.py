"""Quotes of a slow insurance partner, the right way: retries back off and have a budget.

Who has waited in vain waits longer before the next try, each as long as chance says (full jitter), twice at most; and
all together try again for no more than a fifth of what is answered. So what is tried again never becomes the load: when the
partner does not keep up, some quotes fail at once, its line gets shorter, and all is well again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
from urllib.error import URLError
from urllib.request import urlopen

from celery import Celery, Task

app = Celery("quotes", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_default_queue="quotes",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)

#: Tries that may be repeated now, of this process: eight at most; an answer in five earns another one.
budget = threading.BoundedSemaphore(8)


class PartnerSlow(Exception):
    """The partner did not answer in time."""


def ask_partner(car: str) -> int:
    """Cents a year. The partner goes on with a request that nobody waits for any more."""
    try:
        with urlopen(f"{os.environ['PARTNER_API']}/quotes/{car}", timeout=1) as answer:
            return int(json.load(answer)["cents"])
    except (URLError, TimeoutError, ConnectionError) as error:
        raise PartnerSlow(str(error)) from None


@app.task(name="quotes.ask", bind=True, max_retries=2)
def ask(self: Task, car: str) -> int:
    """Ask for one quote."""
    try:
        cents = ask_partner(car)
    except PartnerSlow as error:
        if not budget.acquire(blocking=False):
            raise
        raise self.retry(exc=error, countdown=random.uniform(0, 2**self.request.retries)) from error
    if random.random() < 0.2:
        with contextlib.suppress(ValueError):  # it is full
            budget.release()
    return cents
