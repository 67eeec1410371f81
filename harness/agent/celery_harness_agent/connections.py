"""Connections of a publisher's own: the app's pool has a limit (`broker_pool_limit`), which would soon be what is measured."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable

__all__ = ["OwnPools", "own_pool"]

#: An `apply_async` of the user's may publish within another one; each takes a connection.
_NESTED = 4


def own_pool(app: Any) -> Any:
    """A pool of producers for one thread: one connection, unless publishes are nested. It is made now, so that no call pays for it."""
    from kombu.pools import ProducerPool

    pool = ProducerPool(app.connection_for_write().Pool(limit=_NESTED), limit=_NESTED)
    with contextlib.suppress(Exception), pool.acquire(block=True) as producer:
        producer.connection.ensure_connection(max_retries=1)
    return pool


class OwnPools:
    """In place of the app's pool of producers: a thread that brings its own gets that, everybody else the app's."""

    def __init__(self, app: Any) -> None:
        self._shared = app.amqp.producer_pool
        self._of_thread = threading.local()
        app.amqp._producer_pool = self

    def use(self, pool: Any) -> None:
        """From now on in this thread."""
        self._of_thread.pool = pool

    @property
    def _pool(self) -> Any:
        return getattr(self._of_thread, "pool", self._shared)

    @property
    def acquire(self) -> Callable[..., Any]:
        """As kombu's."""
        acquire: Callable[..., Any] = self._pool.acquire
        return acquire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
