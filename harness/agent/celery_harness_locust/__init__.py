"""Locust users that publish Celery tasks. Standard library, celery and locust only; importable without the harness.

Locust replaces the standard library's sockets and locks by gevent's as it is imported. That must come before anything has taken
the originals, so this package imports Locust first of all, and says so where it is too late.
"""

from __future__ import annotations

import os
import sys


def _patched_in_time() -> bool:
    """Is it now, or has it been done? `LOCUST_SKIP_MONKEY_PATCH` is Locust's own way to say that somebody else does it."""
    if "ssl" not in sys.modules or os.environ.get("LOCUST_SKIP_MONKEY_PATCH"):
        return True
    try:
        from gevent.monkey import is_module_patched
    except ImportError:
        return True  # no Locust either: its own import says that better
    return bool(is_module_patched("ssl"))


if not _patched_in_time():
    raise ImportError(
        "CeleryUser is for locustfiles: Locust has to be imported before ssl, requests and celery, which are here already.\n"
        "  Start it as `locust -f FILE` or `celery-harness load`, or import locust first of all."
    )

from celery_harness_locust.user import CeleryUser  # noqa: E402 (what it checks has to come first)

__all__ = ["CeleryUser"]
