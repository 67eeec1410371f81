"""A task that takes its pool child along, and a setting that gives its message back each time: redelivery without end.

``task_reject_on_worker_lost`` protects a task from a lost child. Where the task itself is what kills the child, the next
delivery kills the next child: ``retries`` stays 0, so ``max_retries`` never ends it.
"""

from __future__ import annotations

import os
import signal

from celery import Celery

app = Celery("poison", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"))
app.conf.update(
    task_default_queue="poison",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
)


@app.task(name="poison.swallow")
def swallow(deadly: bool) -> str:
    """Die as a process that was out of memory does."""
    if deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return "well"
