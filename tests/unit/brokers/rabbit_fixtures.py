"""A RabbitMQ for a test: one server per module, empty for each test, with a look into it and a channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.brokers.rabbitmq_inspector import RabbitInspector
from tests.unit.brokers.rabbit_server import RabbitServer, running

__all__ = ["channel", "looker", "module_rabbit", "rabbit"]


@pytest.fixture(scope="module")
def module_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    with running(RabbitServer(tmp_path_factory.mktemp("rabbit"))) as server:
        yield server


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
