"""CeleryUser: a Locust user whose client publishes through your app."""

from __future__ import annotations

import sys
from typing import Any

import gevent
import locust
from locust import User

from celery_harness_locust.apps import forget_results
from celery_harness_locust.client import Client

__all__ = ["CeleryUser"]


class CeleryUser(User):
    """A user of a Celery app: `self.celery.send("orders.charge", 7, 900)`.

    Within a run of `celery-harness load` the broker is the run's. Elsewhere it is the one that `--host` (or `host` in the class)
    names, and none else: nothing is sent where nobody has named it.
    """

    abstract = True
    #: module:attr, as `celery -A` takes it, or the app itself.
    app: Any = ""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.celery: Client = _client(self, environment)


def _client(user: CeleryUser, environment: Any) -> Client:
    from celery_harness_locust import member, plain

    inside = member.current()
    if inside is not None:
        loaded = inside.app(user.app)
        loaded.one_user_more()
        return member.MemberClient(loaded, environment, inside)
    loaded = plain.use_named_servers(user.app, user.host, plain.backend_of(environment))
    loaded.one_user_more()
    return plain.PlainClient(loaded, environment)


@locust.events.init_command_line_parser.add_listener
def _add_options(parser: Any) -> None:
    parser.add_argument(
        "--result-backend",
        metavar="URL",
        default="",
        env_var="CELERY_HARNESS_RESULT_BACKEND",
        help="CeleryUser: the result backend that send_and_wait waits at; without it results are switched off",
    )


@locust.events.init.add_listener
def _turn_the_clock(**_: Any) -> None:
    """gevent's timers count from the loop's last turn: without one, importing the app would be taken off `--run-time`."""
    gevent.sleep(0.001)


@locust.events.quit.add_listener
def _forget_results(**_: Any) -> None:
    """Results unsubscribe as they are deleted, and at the interpreter's end there are no greenlets left to do it with."""
    forget_results()


@locust.events.init.add_listener
def _refuse_without_broker(environment: Any, runner: Any = None, **_: Any) -> None:
    """At once, where no web page could still name it."""
    from locust.runners import WorkerRunner

    from celery_harness_locust import member, plain

    options = environment.parsed_options
    if member.current() is not None or isinstance(runner, WorkerRunner) or options is None:
        return
    if not (options.headless or options.autostart):
        return
    for user in environment.user_classes:
        if issubclass(user, CeleryUser) and not (environment.host or user.host):
            sys.stderr.write(f"error: {plain.no_broker(user.__name__)}\n")
            sys.exit(2)
