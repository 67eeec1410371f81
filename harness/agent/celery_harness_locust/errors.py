"""What goes wrong with a load, in the words that Locust's statistics and logs show."""

from __future__ import annotations

import difflib
from typing import Iterable

__all__ = ["NoBroker", "PublishCut", "TaskFailed", "TaskTimeout", "UnknownTask", "WrongApp", "unknown_task"]


class LoadError(Exception):
    """The locustfile, or how it was started, is wrong: nothing that it would measure means anything."""


class NoBroker(LoadError):
    """Nobody has named the broker, or the result backend that would be needed."""


class WrongApp(LoadError):
    """`app` of a CeleryUser leads to something that is no Celery app, or cannot be imported."""


class UnknownTask(LoadError):
    """The app has no such task."""


class TaskFailed(Exception):
    """A task ended with this exception, by its qualified name; or with a state that is no success."""


class TaskTimeout(Exception):
    """`send_and_wait` waited for so long."""


class PublishCut(Exception):
    """The load ended in the middle of a publish: the broker may have the message."""


def unknown_task(name: str, app: str, registered: Iterable[str]) -> UnknownTask:
    """With the names that come nearest."""
    names = sorted(task for task in registered if not task.startswith("celery."))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "registered: " + (", ".join(names[:12]) or "none")
    return UnknownTask(f"task {name} is not registered in {app}; {hint}")
