"""Stores by the name that a scenario gives them. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from harness.ports.store import Store
from harness.stores.call import CallStore
from harness.stores.files import FilesStore
from harness.stores.http import HttpStore
from harness.stores.postgres import PostgresStore
from harness.stores.redis import RedisStore
from harness.stores.smtp import SmtpStore
from harness.stores.sqlite import SqliteStore

__all__ = ["STORES"]

STORES: Mapping[str, type[Store]] = {
    "call": CallStore,
    "files": FilesStore,
    "http": HttpStore,
    "postgres": PostgresStore,
    "redis": RedisStore,
    "smtp": SmtpStore,
    "sqlite": SqliteStore,
}
