from __future__ import annotations

from collections.abc import Iterator

import pytest
from kombu import pools

from tests.unit.brokers.rabbit_fixtures import channel, looker, module_rabbit, rabbit
from tests.unit.brokers.servers import RedisServer, running

__all__ = ["channel", "looker", "module_rabbit", "module_server", "rabbit", "server"]


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
def server(module_server: RedisServer) -> RedisServer:
    """One server per module, empty for each test; kombu's pooled connections would remember queues that are gone."""
    pools.reset()
    module_server.client().flushall()
    return module_server
