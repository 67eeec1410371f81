"""The Celery app of a user class: found once per process, with as many connections as there are users."""

from __future__ import annotations

from typing import Any

from celery_harness_agent import application
from celery_harness_locust.errors import WrongApp, unknown_task

__all__ = ["LoadedApp", "forget_results", "load_app"]

_apps: dict[tuple[int, str], "LoadedApp"] = {}


class LoadedApp:
    """An app with its tasks bound. ``path``: how the user class names it."""

    def __init__(self, app: Any, path: str) -> None:
        self.app = app
        self.path = path
        self.tasks = app.tasks
        self._users = 0

    def task(self, name: str) -> Any:
        """UnknownTask with the nearest names."""
        try:
            return self.tasks[name]
        except KeyError:
            raise unknown_task(name, self.path, list(self.tasks)) from None

    def one_user_more(self) -> None:
        """A pool with fewer connections than users would be what is measured: its users wait for one another.

        A pool that the app has switched off (`broker_pool_limit` None or 0) stays so.
        """
        self._users += 1
        if self.app.conf.broker_pool_limit and self._users > self.app.pool.limit:
            size = max(self._users, 2 * int(self.app.pool.limit))
            self.app.pool.limit = size
            self.app.amqp.producer_pool.limit = size


def load_app(named: Any) -> LoadedApp:
    """``named``: module:attr, as `celery -A` takes it, or the app itself. WrongApp where there is none."""
    key = (0, named) if isinstance(named, str) else (id(named), "")
    known = _apps.get(key)
    if known is None:
        known = _apps[key] = _load(named)
    return known


def forget_results() -> None:
    """This process ends: what is still subscribed to goes with its connection."""
    for loaded in _apps.values():
        backend = loaded.app._backend
        if backend is not None:
            backend.remove_pending_result = lambda result: result


def _load(named: Any) -> LoadedApp:
    if not named:
        raise WrongApp('a CeleryUser needs its app: write app = "module:attr" in the class')
    try:
        app = application.find_app(named) if isinstance(named, str) else application.the_app(named, named)
    except application.NoApp as exc:
        raise WrongApp(f"{exc}: name it as `celery -A` takes it") from None
    except Exception as exc:
        raise WrongApp(f"the app {named} cannot be imported: {type(exc).__name__}: {exc}") from exc
    app.conf.result_backend_thread_safe = True  # else each greenlet has a backend, and a consumer, of its own
    application.register_tasks(app)
    return LoadedApp(app, named if isinstance(named, str) else str(app.main or app))
