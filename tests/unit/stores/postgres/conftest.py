"""One server per module, a new database for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from harness.stores.postgres import PostgresStore
from tests.unit.brokers.postgres_servers import PostgresProcess, running
from tests.unit.stores.postgres.stores import started


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresProcess]:
    with running(PostgresProcess()) as found:
        yield found


@pytest.fixture
def store(server: PostgresProcess) -> Iterator[PostgresStore]:
    with started(server) as found:
        found.clear()
        yield found


@pytest.fixture
def app(server: PostgresProcess, store: PostgresStore) -> Iterator[psycopg.Connection[Any]]:
    """The app's own connection, in autocommit."""
    with server.connect() as connection:
        yield connection
