from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint
from harness.runtimes.shared.authority import Authority
from harness.stores.redis import RedisParameters, RedisStore
from tests.unit.brokers.servers import RedisServer, eventually, running
from tests.unit.stores.hosts import FolderHost


class ServerHost(FolderHost):
    def __init__(self, server: RedisServer) -> None:
        super().__init__(server.folder)
        self.it, self.asked = server, list[tuple[str, str, bool | str]]()

    def server(self, kind: str, name: str, *, tls: bool | str = False, owned: bool = False) -> Endpoint:
        self.asked.append((kind, name, tls))
        return self.it.endpoint


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as found:
        yield found


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    found = RedisStore("cache", RedisParameters())
    found.start(ServerHost(server))
    found.clear()
    yield found
    found.stop()


def rows(store: RedisStore, collection: str = "keys") -> dict[str, tuple[str, Any, bool]]:
    return {row["key"]: (row["type"], row["value"], row["expires"]) for row in store.observe().collections[collection].rows}


def fill(client: Any) -> None:
    client.set("text", "ü")
    client.set("bytes", b"\xff\x00")
    client.set("lock", "me", px=60_000)
    client.rpush("list", "b", "a", "b")
    client.sadd("set", "b", "a", "c")
    client.hset("hash", mapping={"z": "1", "a": "2"})
    client.zadd("zset", {"b": 1.5, "a": 2})
    client.xadd("stream", {"k": "v", "a": "1"})
    client.setbit("bits", 1, 1)


EXPECTED: dict[str, tuple[str, Any, bool]] = {
    "text": ("string", "ü", False),
    "bytes": ("string", "x'ff00'", False),
    "lock": ("string", "me", True),
    "list": ("list", ["b", "a", "b"], False),
    "set": ("set", ["a", "b", "c"], False),
    "hash": ("hash", {"a": "2", "z": "1"}, False),
    "zset": ("zset", [["a", 2.0], ["b", 1.5]], False),
    "stream": ("stream", [{"a": "1", "k": "v"}], False),
    "bits": ("string", "@", False),
}


def test_all_types_are_canonical(store: RedisStore, server: RedisServer) -> None:
    fill(server.client())
    assert rows(store) == EXPECTED


def test_all_types_come_back_with_what_they_had_left_to_live(store: RedisStore, server: RedisServer) -> None:
    client = server.client()
    fill(client)
    image = store.save()
    client.flushall()
    client.set("other", "1")
    store.restore(image)
    assert rows(store) == EXPECTED
    assert 0 < client.pttl("lock") <= 60_000
    assert client.pttl("text") == -1


def test_other_databases_have_collections_of_their_own(store: RedisStore, server: RedisServer) -> None:
    server.client(3).set("a", "b")
    image = store.save()
    assert set(store.observe().collections) == {"keys", "keys3"}
    store.clear()
    assert set(store.observe().collections) == {"keys"}
    store.restore(image)
    assert rows(store, "keys3") == {"a": ("string", "b", False)}


def test_an_expiry_touches(store: RedisStore, server: RedisServer) -> None:
    for lives in (100, 5000):  # on a busy machine it may be gone before the first look
        server.client().set("lock", "me", px=lives)
        before = store.touched()
        if server.client().exists("lock"):
            break
    eventually(lambda: store.touched() != before)
    assert rows(store) == {}


def test_the_url_works_with_any_password(store: RedisStore) -> None:
    import redis

    with redis.Redis.from_url(store.offers()["url"]) as client:
        assert client.ping()


def test_a_dead_server_is_named(tmp_path: Path) -> None:
    with running(RedisServer(tmp_path)) as server:
        store = RedisStore("cache", RedisParameters())
        store.start(ServerHost(server))
        server.kill()
        with pytest.raises(EnvironmentFault, match="cache"):
            store.observe()
        with pytest.raises(EnvironmentFault, match="cache"):
            store.save()
        store.stop()


def test_the_app_is_told_its_own_way_to_the_server(server: RedisServer) -> None:
    store = RedisStore("cache", RedisParameters())
    host = ServerHost(server)
    host.server = lambda kind, name, *, tls=False, owned=False: replace(server.endpoint, inside=("cache", 6379))  # type: ignore[method-assign]
    store.start(host)
    try:
        assert store.addresses() == (("cache", 6379),)
        assert store.offers()["url"].endswith("@cache:6379/0") and store.offers()["host"] == "cache"
        assert store.observe().collections["keys"].rows == (), "the harness goes its own way"
    finally:
        store.stop()


@pytest.mark.parametrize("flaw", ["", "wrong_name", "expired"])
def test_tls_is_offered_with_its_authority_and_looked_through(tmp_path: Path, flaw: str) -> None:
    import redis

    tls = Authority(tmp_path / "authority").issue("cache", ["127.0.0.1"], flaw=flaw)
    store = RedisStore("cache", RedisParameters.model_validate({"tls": flaw or True}))
    with running(RedisServer(tmp_path / "server", tls=tls)) as server:
        host = ServerHost(server)
        store.start(host)
        assert host.asked == [("redis", "cache", flaw or True)]
        url = store.offers()["url"]
        assert url.startswith("rediss://") and store.offers()["sslrootcert"] == str(tls.authority)
        with redis.Redis.from_url(url, ssl_check_hostname=True) as client:
            if flaw:
                with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                    client.ping()
            else:
                client.set("a", "b")
        assert list(rows(store)) == ([] if flaw else ["a"])
        store.restore(store.save())
        store.stop()


def test_an_unknown_flaw_is_refused() -> None:
    with pytest.raises(ValidationError):
        RedisParameters.model_validate({"tls": "self_signed"})


def test_one_look_is_what_observing_and_saving_are(store: RedisStore, server: RedisServer) -> None:
    assert store.look() == (store.observe(), store.save(), ())
    fill(server.client())
    server.client(3).set("other", "1")
    state, image, _ = store.look()
    assert state == store.observe() and set(state.collections) == {"keys", "keys3"}
    assert {db: {key for key, _, _ in entries} for db, entries in image.items()} == {
        db: {key for key, _, _ in entries} for db, entries in store.save().items()
    }
    store.clear()
    store.restore(image)
    assert store.observe() == state


def test_an_image_can_grow_older(store: RedisStore, server: RedisServer) -> None:
    server.client().set("lock", "me", px=60_000)
    server.client(3).set("long", "me", px=3_600_000)
    server.client().set("text", "x")
    image = store.save()
    assert {(c, key): round(seconds, -1) for c, key, seconds in store.expiries(image)} == {("keys", "lock"): 60, ("keys3", "long"): 3600}
    store.restore(store.image_later(image, 50.0))
    assert 0 < server.client().pttl("lock") <= 10_000 and 0 < server.client(3).pttl("long") <= 3_550_000
    store.restore(store.image_later(image, 61.0))
    assert rows(store) == {"text": ("string", "x", False)} and server.client(3).exists("long")
    assert store.image_later(image, 0.0) == image


def test_how_far_sequences_are_is_not_shown(store: RedisStore) -> None:
    store.parameters = RedisParameters(sequences=("number", "year:*"))
    assert list(store.skip_numbers(1000)) == [], "nothing was drawn yet"
    client = store._client(0)
    client.mset({"number": 3, "year:2027": 5, "numbers": 4})
    image = store.save()
    assert list(rows(store)) == ["numbers"] and store.look()[0] == store.observe()
    assert list(store.skip_numbers(1000)) == [1000, 2000]
    assert client.mget("number", "year:2027", "numbers") == [b"1003", b"2005", b"4"]
    client.set("number", "no number")
    assert list(rows(store)) == ["number", "numbers"]
    store.restore(image)
    assert client.get("number") == b"3"
