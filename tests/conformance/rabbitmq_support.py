"""A real RabbitMQ with consumers of the test's own, and no_loss judging a run whose messages lie in it."""

from __future__ import annotations

from typing import Any

from harness.brokers.rabbitmq_inspector import RabbitInspector
from harness.brokers.rabbitmq_memory import memory_of
from harness.model.finding import CheckResult
from harness.model.history import Message
from harness.model.verdict import Verdict
from harness.run.linking import Loose, link
from tests.unit.brokers.rabbit_server import RabbitServer
from tests.unit.brokers.servers import eventually
from tests.unit.checks.histories import CONFIRMED, RABBITMQ, Build

__all__ = ["Run", "Worker", "cause", "run"]


class Worker:
    """Consumes from queues, one message at a time."""

    def __init__(self, server: RabbitServer, looker: RabbitInspector, *queues: str) -> None:
        self.connection = server.connection("worker")
        self.channel = self.connection.channel()
        self.channel.basic_qos(0, 1, a_global=False)
        self.got: list[Any] = []
        for queue in queues:
            self.channel.basic_consume(queue, callback=self.got.append)
        eventually(lambda: looker.depth() is not None and set(queues) <= memory_of(server.endpoint).consumed)

    def take(self) -> Any:
        """The next message."""
        while not self.got:
            self.connection.drain_events(timeout=10)
        return self.got.pop(0)

    def reject(self, *, requeue: bool = False) -> None:
        self.channel.basic_reject(self.take().delivery_tag, requeue=requeue)

    def ack(self) -> None:
        self.channel.basic_ack(self.take().delivery_tag)

    def leave(self) -> None:
        """What it had goes back."""
        self.connection.close()


class Run(Build):
    """A run whose messages lie in a real broker: m1 is what `send(channel, queue, 1)` publishes."""

    def judged(self, looker: RabbitInspector) -> CheckResult:
        self.history.held = list(looker.look(0.0))
        self.history.rules = looker.rules()
        link(self.history, Loose(load_done=True), {})
        return self.judge("no_loss", semantics=RABBITMQ)

    def published(self, queue: str, exchange: str = "") -> Message:
        return self.call(exchange=exchange, queue=queue)


def run(**history: Any) -> Run:
    return Run(config=CONFIRMED, **history)


def cause(result: CheckResult) -> str:
    assert result.verdict is Verdict.FAIL, result
    return result.findings[0].cause
