"""Which delivery is running here: what a publish inside a task is caused by.

Prefork and solo run one task at a time, so one variable of the process is right for it and for every thread that the
task starts. Other pools run several: a context variable is right per thread and, with greenlet's own support for
contexts, per greenlet (gevent, eventlet).
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Dict, Optional

__all__ = ["CALL", "CAUSE", "COPY", "DELIVERY", "MESSAGE", "Single", "delivery_of", "enter_shared", "leave_shared", "running", "single"]

MESSAGE = "celery_harness_message"
CAUSE = "celery_harness_cause"
CALL = "celery_harness_call"
COPY = "celery_harness_copy"
DELIVERY = "celery_harness_delivery"

Request = Optional[Dict[str, Any]]


class Single:
    """The one task that runs in this process."""

    __slots__ = ("request",)

    def __init__(self) -> None:
        self.request: Request = None


single = Single()
_shared: ContextVar[Request] = ContextVar("celery_harness_request", default=None)
enter_shared = _shared.set
leave_shared = _shared.reset


def running() -> Request:
    """The request (message headers) of the delivery whose code is running, or None."""
    return _shared.get() or single.request


def delivery_of(request: Request) -> str:
    """The delivery id that the main process put into the headers; '' without. Protocol 1 nests the headers."""
    try:
        return request[DELIVERY] or ""  # type: ignore[index]
    except (KeyError, TypeError):
        nested = request.get("headers") if request else None
        return nested.get(DELIVERY) or "" if isinstance(nested, dict) else ""


def call_of(request: Request) -> int:
    """The number of the call of the load that it belongs to; 0: none."""
    if not request:
        return 0
    found = request.get(CALL)
    if found is None:
        nested = request.get("headers")
        found = nested.get(CALL) if isinstance(nested, dict) else None
    return found if isinstance(found, int) else 0
