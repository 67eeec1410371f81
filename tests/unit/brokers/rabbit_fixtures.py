"""A RabbitMQ for a test: as new for each module, empty for each test, with a look into it and a channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.brokers.rabbitmq_inspector import RabbitInspector
from harness.ports.broker import Endpoint
from tests.unit.brokers.rabbit_server import RabbitServer

__all__ = ["channel", "looker", "module_rabbit", "rabbit"]


@pytest.fixture(scope="module")
def module_rabbit(rabbit_node: RabbitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """Nothing of a module before, nor a client of it; another server where that cannot be had of this one. Between modules it is frozen."""
    rabbit_node.freeze(False)
    if not rabbit_node.kind.reset(rabbit_node.endpoint):
        rabbit_node.kill()
        rabbit_node.folder, rabbit_node.endpoint = tmp_path_factory.mktemp("rabbit"), Endpoint("127.0.0.1", 0)
        rabbit_node.start()
    yield rabbit_node
    rabbit_node.freeze(True)


@pytest.fixture
def rabbit(module_rabbit: RabbitServer) -> RabbitServer:
    module_rabbit.clear()
    return module_rabbit


@pytest.fixture
def looker(rabbit: RabbitServer) -> Iterator[RabbitInspector]:
    found = rabbit.inspector()
    yield found
    found.close()


@pytest.fixture
def channel(rabbit: RabbitServer) -> Iterator[Any]:
    """The monitor's."""
    connection = rabbit.connection()
    yield connection.channel()
    connection.collect()
