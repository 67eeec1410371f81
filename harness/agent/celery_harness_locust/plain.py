"""Outside of a run: on the broker that the user named, results through Celery's own consumer."""

from __future__ import annotations

import logging
import time
from typing import Any, Iterator

import gevent
from gevent.event import Event

from celery_harness_agent import config
from celery_harness_agent.settings import Settings
from celery_harness_locust.apps import LoadedApp, load_app
from celery_harness_locust.client import END_TO_END, Client, Ended
from celery_harness_locust.errors import NoBroker, TaskFailed, WrongApp

__all__ = ["PlainClient", "backend_of", "no_broker", "use_named_servers"]

_POLL_SECONDS = 0.1
_DISABLED = "DisabledBackend"
_servers: list[tuple[str, str]] = []  # those of this process, once it has any
_held_against_them: dict[int, Any] = {}  # id of an app -> it, so that the id stays its own


def no_broker(user: str) -> str:
    """The message where nobody has named it."""
    return (
        f"{user} publishes nothing: name the broker by --host, such as --host redis://127.0.0.1:6379/0.\n"
        "  The app's own address is never used: it may be one that counts. `celery-harness load` starts one of its own."
    )


def backend_of(environment: Any) -> str:
    """By --result-backend; '' for none."""
    return str(getattr(environment.parsed_options, "result_backend", "") or "")


def use_named_servers(named: Any, broker: str | None, backend: str) -> LoadedApp:
    """The app of a user class, on these servers alone. NoBroker where the user named none; WrongApp where the app insists on its own.

    Nothing has connected when this returns: what the app says in its own configuration has never been in effect.
    """
    if not broker:
        raise NoBroker(no_broker("CeleryUser"))
    if "://" not in broker or broker.startswith(("http://", "https://")):
        raise NoBroker(f"--host {broker} is no broker's URL: write redis://… or amqp://…")
    if not _servers:
        _servers.append((broker, backend))
    if _servers[0] != (broker, backend):
        raise NoBroker(f"this process publishes to {_masked(_servers[0][0])} already: one Locust process, one broker")
    settings = Settings({"broker": broker, "backend": backend or None})
    config.force_addresses(settings)
    loaded = load_app(named)
    if id(loaded.app) not in _held_against_them:
        _insist(loaded, settings)
        _held_against_them[id(loaded.app)] = loaded.app
    return loaded


def _insist(loaded: LoadedApp, settings: Settings) -> None:
    """What was made of other addresses while the app was imported is thrown away; then look."""
    app = loaded.app
    app._pool = app.amqp._producer_pool = app._backend_cache = None
    app._local.__dict__.pop("backend", None)
    for connection in (app.connection_for_write(), app.connection_for_read()):
        if not config.is_ours(connection, settings):
            raise WrongApp(f"{loaded.path} publishes to {connection.as_uri()} whatever it is told: let it take CELERY_BROKER_URL")
    address, ours = config.backend_address(app, settings)
    if not ours:
        hint = "let it take CELERY_RESULT_BACKEND" if settings.backend else "name it by --result-backend"
        raise WrongApp(f"{loaded.path} has its results at {address} whatever it is told: {hint}")


def _masked(url: str) -> str:
    from kombu.utils.url import maybe_sanitize_url

    return str(maybe_sanitize_url(url))


class PlainClient(Client):
    """Publish, and end to end where somebody waits."""

    def send_and_wait(self, task: str, /, *args: Any, timeout: float = 60.0, **kwargs: Any) -> Ended:
        """See `Client`. The time is taken when the result arrives."""
        backend = self._loaded.app.backend
        if type(backend).__name__ == _DISABLED:
            raise NoBroker("send_and_wait needs a result backend: name it by --result-backend, such as redis://127.0.0.1:6379/1")
        begun = time.perf_counter()
        result = self._publish(task, args, kwargs, {})
        if result is None:
            return Ended("", "UNSENT")
        arrived = _arrival(backend, result)
        if not arrived.wait(timeout) and not _stored(backend, result):
            self._timed_out(task, timeout)
            _forget(backend, result)
            return Ended(result.id, "TIMEOUT")
        took = time.perf_counter() - begun
        state, value = result.state, result.result
        failure = "" if state == "SUCCESS" else _name_of(value, state)
        self._fire(END_TO_END, task, took, TaskFailed(failure) if failure else None)
        return Ended(result.id, state, failure, None if failure else value)


def _arrival(backend: Any, result: Any) -> Event:
    """Set when the result is there: by the one consumer of the backend, or by the one poller of this process."""
    event = Event()
    if getattr(backend, "result_consumer", None) is not None:
        result.then(lambda _: event.set())
    else:
        Poller.of(backend).watch(result, event)
    return event


def _stored(backend: Any, result: Any) -> bool:
    """A message from the backend may be missed although the result is there: its key tells."""
    meta = backend.get_task_meta(result.id)
    if meta.get("status") in backend.READY_STATES:
        result._cache = meta
        return True
    return False


def _forget(backend: Any, result: Any) -> None:
    if getattr(backend, "result_consumer", None) is None:
        Poller.of(backend).forget(result)
    elif hasattr(backend, "remove_pending_result"):
        backend.remove_pending_result(result)


def _name_of(value: Any, state: str) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}" if isinstance(value, BaseException) else state


class Poller:
    """For backends that tell nobody: one greenlet reads what all users wait for, in one question where the backend takes one."""

    _all: dict[int, "Poller"] = {}

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._waiting: dict[str, Any] = {}
        gevent.spawn(self._run)

    @classmethod
    def of(cls, backend: Any) -> "Poller":
        """One per backend."""
        found = cls._all.get(id(backend))
        if found is None:
            found = cls._all[id(backend)] = cls(backend)
        return found

    def watch(self, result: Any, event: Event) -> None:
        """Until it is there, or `forget`."""
        self._waiting[result.id] = (result, event)

    def forget(self, result: Any) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(result.id, None)

    def _run(self) -> None:
        while True:
            gevent.sleep(_POLL_SECONDS)
            for id, meta in self._metas(list(self._waiting)):
                found = self._waiting.pop(id, None) if meta.get("status") in self._backend.READY_STATES else None
                if found is not None:
                    found[0]._cache = meta
                    found[1].set()

    def _metas(self, ids: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        backend = self._backend
        try:
            if ids and hasattr(backend, "mget"):
                values = backend.mget([backend.get_key_for_task(id) for id in ids])
                yield from ((id, backend.decode_result(value)) for id, value in zip(ids, values) if value)
            else:
                yield from ((id, backend.get_task_meta(id)) for id in ids)
        except Exception as exc:  # a backend that is away for a while: whoever waits has a time limit of his own
            logging.getLogger(__name__).warning("the result backend does not answer: %s", exc)
