"""One body for all stores: what every store promises, whatever it holds."""

from __future__ import annotations

import http.client
import importlib
import json
import shutil
import smtplib
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from harness.errors import EnvironmentFault
from harness.model.world import StoreState
from harness.ports.broker import Endpoint, Tls
from harness.ports.store import Fingerprints, LooksOnce, Settles, ShowsBeneath, Store
from harness.stores import STORES
from harness.stores.postgres import PostgresStore
from tests.unit.brokers.postgres_servers import PostgresProcess, running
from tests.unit.brokers.servers import RedisServer


@dataclass
class Host:
    """A runtime's place: folders are made once, servers are stopped with it."""

    root: Path
    fails: bool = False
    postgres: Callable[[], PostgresProcess] | None = None
    servers: list[RedisServer] = field(default_factory=list)

    def folder(self, name: str) -> Path:
        path = self.root / f"store-{name}"
        path.mkdir()
        if self.fails:
            raise EnvironmentFault("disk full")
        return path

    def server(self, kind: str, name: str, *, tls: bool | str = False, owned: bool = False) -> Endpoint:
        assert not tls
        if self.fails:
            raise EnvironmentFault("no port")
        if kind == "postgres":
            assert self.postgres is not None
            return self.postgres().endpoint
        assert kind == "redis"
        server = RedisServer(self.root / f"server-{name}").start()
        self.servers.append(server)
        return server.endpoint

    def expose(self, name: str, port: int) -> tuple[str, int]:
        return "127.0.0.1", port

    def certificate(self, name: str, hosts: Sequence[str], *, flaw: str = "") -> Tls:
        raise AssertionError(hosts)

    def call_user_code(self, path: str, *arguments: Any) -> Any:
        module, _, name = path.partition(":")
        answer = getattr(importlib.import_module(module), name)(*json.loads(json.dumps(arguments)))
        return json.loads(json.dumps(answer))

    def close(self) -> None:
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.root, ignore_errors=True)


#: What the `call` store reads and writes here: stands for a system that only the user's code knows.
MAILBOX: list[dict[str, Any]] = []


def read_mail() -> dict[str, Any]:
    return {"mail": list(MAILBOX)}


def empty_mail() -> None:
    MAILBOX.clear()


def put_mail(image: dict[str, Any]) -> None:
    MAILBOX[:] = image["mail"]


def change_sqlite(offers: dict[str, str], value: str) -> None:
    with closing(sqlite3.connect(offers["path"])) as db:
        db.execute("CREATE TABLE IF NOT EXISTS effects (value TEXT)")
        db.execute("INSERT INTO effects VALUES (?)", (value,))
        db.commit()


def change_wal(offers: dict[str, str], value: str) -> None:
    with closing(sqlite3.connect(offers["path"])) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS effects (value TEXT)")
        db.execute("INSERT INTO effects VALUES (?)", (value,))
        db.commit()


def change_files(offers: dict[str, str], value: str) -> None:
    (Path(offers["path"]) / value).write_text(value)


def change_redis(offers: dict[str, str], value: str) -> None:
    with closing(redis.Redis.from_url(offers["url"])) as client:
        client.set(value, value)


def change_postgres(offers: dict[str, str], value: str) -> None:
    with psycopg.connect(offers["url"]) as db:
        db.execute("CREATE TABLE IF NOT EXISTS effects (value TEXT)")
        db.execute("INSERT INTO effects VALUES (%s)", (value,))


def change_http(offers: dict[str, str], value: str) -> None:
    url = urlsplit(offers["url"])
    assert url.hostname is not None
    with closing(http.client.HTTPConnection(url.hostname, url.port, timeout=10)) as client:
        client.request("POST", "/effects", json.dumps({"value": value}), {"Content-Type": "application/json"})
        assert client.getresponse().status == 200


def change_smtp(offers: dict[str, str], value: str) -> None:
    with smtplib.SMTP(offers["host"], int(offers["port"]), timeout=10) as client:
        client.sendmail("shop@example.com", ["you@example.com"], f"Subject: {value}\r\n\r\n")


def change_mail(offers: dict[str, str], value: str) -> None:
    MAILBOX.append({"value": value})


ME = "store_conformance_user_code"
CALL = {"observe": f"{ME}:read_mail", "clear": f"{ME}:empty_mail", "save": f"{ME}:read_mail", "restore": f"{ME}:put_mail"}
CASES: list[tuple[str, dict[str, Any], Callable[[dict[str, str], str], None]]] = [
    ("sqlite", {}, change_sqlite),
    ("sqlite", {}, change_wal),
    ("files", {}, change_files),
    ("postgres", {}, change_postgres),
    ("redis", {}, change_redis),
    ("http", {}, change_http),
    ("smtp", {}, change_smtp),
    ("call", CALL, change_mail),
]
Change = Callable[[str], None]
Case = tuple[Store, Host, Change]


def make(kind: str, parameters: dict[str, Any]) -> Store:
    return STORES[kind]("it", STORES[kind].Parameters.model_validate(parameters))


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresProcess]:
    """One for all tests, since it takes a second: each gets a new database."""
    with running(PostgresProcess()) as server:
        yield server


def emptied(server: PostgresProcess) -> PostgresProcess:
    store = PostgresStore("before", PostgresStore.Parameters())
    store.start(SimpleNamespace(server=lambda *_, **__: server.endpoint))  # type: ignore[arg-type]
    store.clear()
    store.stop()
    return server


@pytest.fixture(params=CASES, ids=[f"{kind}-{change.__name__}" for kind, _, change in CASES])
def unstarted(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    kind, parameters, change = request.param
    monkeypatch.setitem(sys.modules, ME, sys.modules[__name__])
    MAILBOX.clear()
    host, store = Host(tmp_path), make(kind, parameters)
    if kind == "postgres":
        host.postgres = partial(emptied, request.getfixturevalue("postgres_server"))
    try:
        yield store, host, lambda value: change(dict(store.offers()), value)
    finally:
        store.stop()
        host.close()


@pytest.fixture
def started(unstarted: Case) -> tuple[Store, Change]:
    store, host, change = unstarted
    store.start(host)
    return store, change


def values(state: StoreState) -> list[str]:
    """The values that the changes left, wherever the store has them."""
    rows = [row for collection in state.collections.values() for row in collection.rows]
    found = [row.get("value") or row.get("subject") or row.get("text") or (row.get("body") or {}).get("value") for row in rows]
    return sorted(str(value) for value in found if value is not None)


def test_every_store_is_tested_here() -> None:
    assert {kind for kind, _, _ in CASES} == set(STORES)
    assert all(store.kind == kind and store.summary for kind, store in STORES.items())


def test_it_is_empty_at_first(started: tuple[Store, Change]) -> None:
    store, _ = started
    assert store.observe().store == "it"
    assert values(store.observe()) == []


def test_a_change_shows_and_touches(started: tuple[Store, Change]) -> None:
    store, change = started
    for seen in (["a"], ["a", "b"], ["a", "b", "c"]):
        before = store.touched()
        change(seen[-1])
        assert store.touched() != before
        assert values(store.observe()) == seen


def test_changes_in_quick_succession_all_touch(started: tuple[Store, Change]) -> None:
    store, change = started
    stamps = [store.touched()]
    for number in range(10):
        change(str(number))
        stamps.append(store.touched())
    assert len(set(stamps)) == len(stamps)


def test_looking_disturbs_nothing(started: tuple[Store, Change]) -> None:
    store, change = started
    change("a")
    before, touched = store.observe(), store.touched()
    assert store.observe() == before
    assert store.touched() == touched
    store.save()
    assert store.touched() == touched
    change("b")
    assert values(store.observe()) == ["a", "b"]


def test_an_image_brings_the_state_back(started: tuple[Store, Change]) -> None:
    store, change = started
    change("a")
    saved, image = store.observe(), store.save()
    for value in ("b", "c"):
        change(value)
        assert store.observe() != saved
        before = store.touched()
        store.restore(image)
        assert store.observe() == saved
        assert store.touched() != before
    change("d")
    assert values(store.observe()) == ["a", "d"]


def test_what_an_explorer_asks_is_true_at_once(started: tuple[Store, Change]) -> None:
    """Settled where nobody sends; another fingerprint after each change, without a pause; one look is what two are."""
    store, change = started
    fingerprints = []
    for value in ("a", "b", "c"):
        change(value)
        assert not isinstance(store, Settles) or store.settled()
        if isinstance(store, Fingerprints):
            assert store.fingerprint() == store.fingerprint()
            fingerprints.append(store.fingerprint())
        if isinstance(store, LooksOnce):
            state, image, beneath = store.look()
            assert state == store.observe() and image == store.save()
            assert not isinstance(store, ShowsBeneath) or beneath == store.beneath()
    assert len(set(fingerprints)) == len(fingerprints)
    assert store.kind not in ("sqlite", "files", "redis") or fingerprints


def test_an_image_of_nothing_is_nothing(started: tuple[Store, Change]) -> None:
    store, change = started
    empty, image = store.observe(), store.save()
    change("a")
    store.restore(image)
    assert store.observe() == empty


def test_clear_empties_and_the_next_pass_begins_as_the_first(started: tuple[Store, Change]) -> None:
    store, change = started
    empty = store.observe()
    change("a")
    store.clear()
    assert store.observe() == empty
    change("b")
    assert values(store.observe()) == ["b"]


def test_what_it_offers_is_reachable(started: tuple[Store, Change]) -> None:
    store, _ = started
    offers = store.offers()
    assert all(isinstance(value, str) for value in offers.values())
    if store.addresses():
        assert store.addresses() == ((offers["host"], int(offers["port"])),)


def test_stopping_twice_leaves_nothing(unstarted: Case) -> None:
    store, host, change = unstarted
    store.start(host)
    change("a")
    store.stop()
    store.stop()
    assert not list(host.root.glob("store-*"))


def test_a_failed_start_leaves_nothing_and_a_second_one_works(unstarted: Case) -> None:
    store, host, change = unstarted
    store.stop()
    host.fails = True
    if store.kind in ("sqlite", "files", "postgres", "redis"):
        with pytest.raises(EnvironmentFault):
            store.start(host)
        store.stop()
        shutil.rmtree(host.root / "store-it", ignore_errors=True)  # the folder's maker failed before the store had it
    host.fails = False
    store.start(host)
    change("a")
    store.stop()
    assert not list(host.root.glob("store-*"))
    store.start(host)
    if store.kind not in ("redis", "call"):
        assert values(store.observe()) == []
