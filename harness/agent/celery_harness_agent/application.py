"""Importing the user's application, the way a worker does."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

__all__ = ["NoApp", "find_app", "register_tasks", "resolve", "the_app", "use_working_folder"]


class NoApp(Exception):
    """The name leads to something that is no Celery app."""


def use_working_folder() -> None:
    """The current folder first on the path, as `celery -A` has it."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def find_app(path: str) -> Any:
    """The app of "module:attr", found as `celery -A` finds it. Raises what the import raises; NoApp."""
    from celery.app.utils import find_app as find

    return the_app(find(path), path)


def the_app(found: Any, named: object) -> Any:
    """The app itself, not a proxy of it. NoApp where what was found is none."""
    from celery.app.base import Celery

    app = found._get_current_object() if hasattr(found, "_get_current_object") else found
    if not isinstance(app, Celery):
        raise NoApp(f"{named} is {type(app).__name__}, not a Celery app")
    return app


def register_tasks(app: Any) -> None:
    """Import what a worker imports at its start (`imports`, `include`, autodiscovered modules) and bind the tasks."""
    app.loader.import_default_modules()
    app.finalize(auto=True)


def resolve(path: str) -> Any:
    """The object of "module:name" (dotted names inside the module are followed)."""
    module, _, name = path.partition(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
