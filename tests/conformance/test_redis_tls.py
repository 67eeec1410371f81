"""Real workers and producers on an encrypted Redis, each with the rights of its own login."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from kombu import pools

from harness.runtimes.shared.authority import Authority
from harness.runtimes.shared.tls_words import contents, tls_failure
from tests.conformance.agent_support import Bench, kinds
from tests.conformance.agent_support import RedisServer as Unstarted
from tests.parts import parts
from tests.unit.brokers.servers import RedisServer, eventually, running, worker

APP = "tests.unit.brokers.celery_app"
WORDS = {"wrong_name": "the certificate is for wrong.example, not for 127.0.0.1", "expired": "the certificate expired on "}
Flawed = tuple[RedisServer, str]  # the server, and what shall be said of it
#: So that a test of a result backend that cannot be reached does not take Celery's 20 s.
IMPATIENT = {"result_backend_transport_options": {"retry_policy": {"max_retries": 1, "interval_start": 0}}}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path_factory.mktemp("good"), tls=authority.issue("good", ["127.0.0.1"]))) as found:
        yield found


@pytest.fixture(scope="module", params=parts(WORDS, quick=["wrong_name"]))
def bad(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[tuple[RedisServer, str]]:
    tls = authority.issue(request.param, ["127.0.0.1"], flaw=request.param)
    with running(RedisServer(tmp_path_factory.mktemp("bad"), tls=tls)) as found:
        yield found, WORDS[request.param]


def environment(folder: Path, broker: RedisServer, backend: RedisServer, login: str, **config: Any) -> dict[str, str]:
    return {
        "BROKER": broker.url(login),
        "BACKEND": backend.url(login, role="backend"),
        "LOG": str(folder / "log"),
        "CONFIG": json.dumps({**broker.settings(), **IMPATIENT, **config}),
    }


def failure(lines: str, server: RedisServer) -> str:
    assert server.tls is not None
    return tls_failure(lines.splitlines(), [contents(server.tls.certificate)])


def publish(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    code = f"from {APP} import add; add.apply_async((1, 2), retry=False)"
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False)


def denied(server: RedisServer) -> list[str]:
    """What was refused to a login; Redis 6.2 refuses all of CLIENT, and redis-py minds it as little as it does on a server before 7.2."""
    return [f"{entry['username']}: {entry['object']}" for entry in server.client().acl_log() if entry["object"] != "client"]


def without_tls(folder: Path) -> RedisServer:
    from tests.conformance.test_redis_broker import wheels_program

    return RedisServer(folder, program=wheels_program())


@pytest.mark.parametrize("encrypted", parts([True, False], quick=[True]))
def test_all_that_celery_does_is_within_the_rights_of_its_logins(tmp_path: Path, good: RedisServer, encrypted: bool) -> None:
    with running(without_tls(tmp_path / "plain")) as plain:
        _everything(tmp_path, good if encrypted else plain)


def _everything(folder: Path, server: RedisServer) -> None:
    """Chords, retries, groups, priorities, revocation, events, restoring, purging, a warm stop; under a prefix."""
    options = {"global_keyprefix": "pre:", "visibility_timeout": 2, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    env = environment(folder, server, server, "worker", worker_send_task_events=True, result_expires=100)
    env["OPTIONS"] = json.dumps(options)
    pools.reset()
    app = Celery("producer", broker=server.url("producer"), backend=server.url("producer", role="backend"), set_as_current=False)
    app.conf.update(**server.settings(), broker_transport_options=options, task_send_sent_event=True)

    def call(name: str, *arguments: Any) -> Any:
        return app.signature(name, args=arguments)

    with worker(APP, env, "-c", "2", "-E") as process:
        assert chord([call("add", i, 1) for i in range(3)], app=app)(call("total")).get(timeout=30) == 6
        assert chain(call("add", 1, 1), call("add", 2), app=app).apply_async().get(timeout=30) == 4
        results = group([call("add", i) for i in range(3)], app=app).apply_async()
        results.save()
        assert results.get(timeout=30) == [0, 1, 2]
        results.delete()
        assert call("again").delay().get(timeout=30) == 1
        urgent = call("add", 1).apply_async(priority=9)
        assert urgent.get(timeout=30) == 1
        urgent.forget()
        call("add", 1).apply_async(countdown=60).revoke()
        app.control.rate_limit("add", "100/s")
        held = folder / "held"
        call("hold", str(held)).apply_async()
        eventually(lambda: held.exists() and held.read_text().count("begun") > 1, 30)  # restored, and run beside itself
        Path(f"{held}.go").touch()
        eventually(lambda: server.client().hlen("pre:unacked") <= 1, 30)  # the one with a countdown
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert app.control.purge() == 0
    assert denied(server) == []


def test_a_broker_with_a_flaw_is_not_spoken_to(tmp_path: Path, good: RedisServer, bad: Flawed) -> None:
    server, words = bad
    env = environment(tmp_path, server, good, "worker")
    with worker(APP, env, "-c", "1", "-l", "INFO"):
        eventually(lambda: failure(Path(env["LOG"]).read_text(), server), 30)
    assert failure(Path(env["LOG"]).read_text(), server).startswith(words)
    producer = publish(environment(tmp_path, server, good, "producer"))
    assert producer.returncode == 1 and failure(producer.stderr, server).startswith(words)
    assert server.client().dbsize() == 0


def test_a_backend_with_a_flaw_is_not_spoken_to(tmp_path: Path, good: RedisServer, bad: Flawed) -> None:
    server, words = bad
    producer = publish(environment(tmp_path, good, server, "producer"))
    assert producer.returncode == 1 and failure(producer.stderr, server).startswith(words)
    env = environment(tmp_path, good, server, "worker")
    with worker(APP, env, "-c", "1"):
        pools.reset()
        sender = Celery("sender", broker=good.url("producer"), set_as_current=False)
        sender.conf.update(good.settings())
        sender.send_task("add", (1, 2))
        eventually(lambda: failure(Path(env["LOG"]).read_text(), server), 30)
    assert server.client().dbsize() == 0
    good.client().flushall()


def test_an_app_that_does_not_verify_notices_nothing(tmp_path: Path, bad: Flawed) -> None:
    server, _ = bad
    careless = {name: {**value, "ssl_cert_reqs": "none", "ssl_check_hostname": False} for name, value in server.settings().items()}
    env = environment(tmp_path, server, server, "worker", **careless)
    with worker(APP, env, "-c", "1", "-l", "INFO"):
        assert publish(environment(tmp_path, server, server, "producer", **careless)).returncode == 0
        eventually(lambda: "succeeded" in Path(env["LOG"]).read_text(), 30)
    server.client().flushall()


def test_the_agent_takes_the_settings_as_json_and_knows_its_servers(tmp_path: Path, good: RedisServer) -> None:
    end = good.endpoint
    common = {"config": good.settings(), "allow": [[end.host, end.port]]}
    run = Bench(tmp_path, Unstarted(tmp_path / "unused")).prepare()
    try:
        process = run.ready_worker(broker=good.url("worker"), backend=good.url("worker", role="backend"), **common)
        item = {"send": "shop.ok", "args": [1]}
        run.send(item, broker=good.url("producer"), backend=good.url("producer", role="backend"), **common)
        run.wait_record("end")
        assert run.stop(process) == 0
        records = run.records()
        assert {r["s"] for r in kinds(records, "end")} == {"SUCCESS"}
        shown = {url for r in kinds(records, "urls") for url in (r["read"], r["write"], r["backend"])}
        assert {url.partition(":**@")[0] for url in shown} == {"rediss://worker", "rediss://producer"}
        assert kinds(records, "refused", "undeclared") == []
        assert not [word for word in ("WARNING", "insecure", end.logins["worker"].password) if word in run.logs()]
    finally:
        run.close()
        good.client().flushall()
