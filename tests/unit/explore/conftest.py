"""A shop of real stores and a real broker, whose work tests do by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.brokers.servers import RedisServer, running
from tests.unit.explore.shop import Shop


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, RedisServer]]:
    root = tmp_path_factory.mktemp("redis")
    with running(RedisServer(root / "cache")) as cache, running(RedisServer(root / "broker")) as broker:
        yield cache, broker


@pytest.fixture
def shop(tmp_path: Path, servers: tuple[RedisServer, RedisServer]) -> Iterator[Shop]:
    found = Shop(tmp_path, *servers)
    yield found
    found.stop()
