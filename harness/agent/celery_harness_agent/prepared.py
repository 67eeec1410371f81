"""Messages made before the load begins, and sent when they are due.

The user's own `apply_async` runs in full, with its routes, custom Task class, serializer, compression and signals. Only kombu's last step,
`Producer._publish`, is held back with everything that it was called with, and made up for on a connection of the publisher's.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any, Callable, Iterator

from celery_harness_agent.journal import mono
from celery_harness_agent.outbox import Outbox, Retimed, retimed
from celery_harness_agent.publish import begin

__all__ = ["BadPreparation", "Held", "PreparedCall", "captured", "prepare", "send"]

_COUNTING = ("eta", "asked", "expires")
_BEGINS = '{"k":"publish",'
_HEADERS, _PROPERTIES, _DECLARE = 4, 5, 10  # among the arguments of Producer._publish


class BadPreparation(Exception):
    """A message of the user's that cannot be made before it is sent."""


class Held:
    """One message at kombu's last step: arguments of `Producer._publish`, and how it is to be tried again."""

    __slots__ = ("arguments", "declares", "options", "policy")

    def __init__(self, arguments: tuple[Any, ...], options: dict[str, Any], policy: Any) -> None:
        self.arguments = arguments
        self.options = options
        self.policy = policy  # None: not tried again
        self.declares = {hash(entity) for entity in arguments[_DECLARE] or ()}  # as kombu.common.maybe_declare remembers them


class PreparedCall:
    """What one call did, in order: records to write and messages to send; and what came of it."""

    __slots__ = ("error", "ok", "result", "sent", "steps")

    def __init__(self, steps: list[Any], result: Any, error: Any) -> None:
        self.steps = steps
        self.result = result
        self.error = error  # what apply_async raised, after that
        self.sent = self.ok = ""  # what its `call` and `call_ok` will say


def prepare(outbox: Outbox, broker: str, call: Callable[[], Any]) -> PreparedCall:
    """Run ``call``, which publishes. ``broker``: the address that its messages must be for, as kombu writes it.

    BadPreparation for a message that depends on the moment at which it is sent.
    """
    held: list[Any] = []
    outbox.hold(held)
    result = error = None
    try:
        with captured(held, broker):
            result = call()
    except BadPreparation:
        raise
    except Exception as exc:
        error = exc
    finally:
        outbox.hold(None)
    return PreparedCall([_timeless(step) if isinstance(step, str) else step for step in held], result, error)


def _timeless(line: str) -> Retimed:
    record = json.loads(line)
    if record["k"] == "publish":
        for name in _COUNTING:
            if record.get(name):
                raise BadPreparation(f"{record['n']} sets an `{name}`, which counts from the publish: leave out `prepare`")
    return retimed(line)


@contextlib.contextmanager
def captured(held: list[Any], broker: str) -> Iterator[None]:
    """What this thread publishes meanwhile is put into ``held`` instead; what others publish goes its way."""
    from kombu.messaging import Producer

    publish: Any = Producer.publish
    last: Any = Producer._publish
    policies: list[Any] = []
    own = threading.get_ident()

    def outer(self: Any, *args: Any, **options: Any) -> Any:
        if threading.get_ident() != own:
            return publish(self, *args, **options)
        policies.append(options.get("retry_policy") or {} if options.get("retry") else None)
        try:
            return publish(self, *args, **options)
        finally:
            policies.pop()

    def inner(self: Any, *args: Any, **options: Any) -> Any:
        if threading.get_ident() != own:
            return last(self, *args, **options)
        where = self.connection.as_uri()
        if where != broker:
            raise BadPreparation(f"a message goes to {where} instead of {broker}: leave out `prepare`")
        given = list(args)
        for index in (_HEADERS, _PROPERTIES):  # what a receiver does to them after the publish does not reach the broker
            given[index] = dict(given[index])
        held.append(Held(tuple(given), options, policies[-1] if policies else None))
        return None

    Producer.publish, Producer._publish = outer, inner  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Producer.publish, Producer._publish = publish, last  # type: ignore[method-assign]


def send(call: PreparedCall, producer: Any, journal: Outbox) -> None:
    """All of it, as `apply_async` would from here on: errors and reconnects by the policy that it gave."""
    emit = journal.emit
    for step in call.steps:
        if isinstance(step, Held):
            _publish(step, producer)
        else:
            if step[0].startswith(_BEGINS):
                begin()
            emit(f"{step[0]}{mono()}{step[1]}")
    if call.error is not None:
        raise call.error


def _publish(message: Held, producer: Any) -> None:
    """The end of kombu's Producer.publish, with what Celery puts around it."""
    connection, policy = producer.connection, message.policy
    if policy is None:
        with connection._reraise_as_library_errors():
            _put(message, producer)
    else:
        connection.transport_options.update(policy)
        connection.ensure(producer, _put, **policy)(message, producer)


def _put(message: Held, producer: Any) -> None:
    """kombu would find as well that a queue is declared on this connection, but would copy and bind it first: a tenth of all the time."""
    arguments = message.arguments
    if message.declares and message.declares <= producer.connection.declared_entities:
        arguments = (*arguments[:_DECLARE], [], *arguments[_DECLARE + 1 :])
    producer._publish(*arguments, **message.options)
