"""Nothing but what the harness started is ever spoken to: a second real Redis is the witness."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.agent_support import Bench, RedisServer, bench, kinds, line_of
from tests.parts import parts


@pytest.fixture
def other(tmp_path: Path) -> Iterator[RedisServer]:
    """Somebody's production Redis: whoever connects to it has done harm."""
    server = RedisServer(tmp_path / "other")
    try:
        yield server.start()
    finally:
        server.stop()


def app_with(run: Bench, lines: str, before: str = "") -> None:
    (run.project / "other.py").write_text(
        f"import os\nfrom celery import Celery\n{before}\napp = Celery('other')\n{lines}\n\n"
        "@app.task(name='other.work')\ndef work():\n    return 1\n"
    )
    run.app = "other:app"


def untouched(other: RedisServer, connections: int) -> None:
    """No command, and not even a connection, but for our own looks at it."""
    assert other.commands_seen() == set()
    seen = {c["name"] for c in other.client().client_list() if c["addr"]}
    assert seen <= {""}
    assert other.connections_refused_or_made() <= connections + 8


SETTINGS = {
    "constructor": ("app = Celery('other', broker={url!r}, backend={url!r})", ""),
    "broker_url": ("app.conf.broker_url = {url!r}", ""),
    "broker_read_url": ("app.conf.broker_read_url = {url!r}", ""),
    "broker_write_url": ("app.conf.broker_write_url = {url!r}", ""),
    "result_backend": ("app.conf.result_backend = {url!r}", ""),
    "late": (
        "from celery.signals import celeryd_init\n@celeryd_init.connect\ndef late(conf=None, **_):\n    conf.broker_read_url = {url!r}",
        "",
    ),
    "config_from_object": (
        "app.config_from_object({{'CELERY_BROKER_URL': {url!r}, 'CELERY_RESULT_BACKEND': {url!r}}}, namespace='CELERY')",
        "",
    ),
}


@pytest.mark.parametrize("setting", parts(SETTINGS, quick=["late"]))
def test_a_setting_of_the_app_is_overruled(tmp_path: Path, other: RedisServer, setting: str) -> None:
    """Forced addresses win over each of the app's settings: the task runs on ours, the other Redis hears nothing."""
    before = other.connections_refused_or_made()
    with bench(tmp_path) as run:
        app_with(run, SETTINGS[setting][0].format(url=other.url()))
        backend = run.redis.url(1)
        worker = run.ready_worker("solo", backend=backend)
        run.send({"send": "other.work"}, backend=backend)
        run.wait_record("end", process=worker)
        assert run.redis.client(1).keys("celery-task-meta-*")
        run.stop(worker)
    untouched(other, before)


REFUSED = {
    "environment_read": ("", "os.environ['CELERY_BROKER_READ_URL'] = {url!r}", {"read"}, "broker_read_url"),
    "environment_write": ("", "os.environ['CELERY_BROKER_WRITE_URL'] = {url!r}", {"write"}, "broker_write_url"),
    "environment_backend": ("", "os.environ['CELERY_RESULT_BACKEND'] = {url!r}", {"backend"}, "result_backend"),
    "subclass": (
        "app.connection_for_write = lambda url=None, **kw: app._connection({url!r}, **kw)",
        "",
        {"write"},
        "broker_write_url",
    ),
    "backend_class": ("app.backend_cls = {url!r}", "", {"backend"}, "result_backend"),
    "alternates": ("", "os.environ['CELERY_BROKER_READ_URL'] += ';' + {url!r}", {"read"}, "broker_read_url"),
}


@pytest.mark.parametrize(
    ("way", "program", "with_backend"),
    parts(
        [*((way, "worker", True) for way in REFUSED), *((way, "producer", False) for way in REFUSED)],
        quick=[("environment_read", "worker", True), ("subclass", "producer", False), ("backend_class", "worker", True)],
    ),
)
def test_an_app_that_undoes_it_is_refused_before_the_first_connection(
    tmp_path: Path, other: RedisServer, way: str, program: str, with_backend: bool
) -> None:
    lines, prefix, parts, setting = REFUSED[way]
    before = other.connections_refused_or_made()
    with bench(tmp_path) as run:
        app_with(run, lines.format(url=other.url()), prefix.format(url=other.url()))
        backend = run.redis.url(1) if with_backend else None
        ours = run.redis.connections_refused_or_made()
        if program == "worker":
            process = run.worker("solo", backend=backend)
        else:
            process = run.start(["producer"], run.write_settings("producer", "producer", backend=backend, plan={}))
        assert process.wait(60) == 78, run.logs()
        refused = kinds(run.records(), "refused")
        assert {r["part"] for r in refused} == parts
        assert other.password not in str(run.records())
        assert run.redis.connections_refused_or_made() <= ours + 1
        assert f"refusing to start: {setting} is " in run.logs()
        assert kinds(run.records(), "connected", "ready") == []
    untouched(other, before)


def test_results_are_disabled_where_the_run_has_no_backend(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        worker = run.ready_worker("solo")
        run.send({"send": "shop.ok"})
        run.wait_record("end", process=worker)
        (urls,) = (r for r in kinds(run.records(), "urls") if r["pid"] == worker.pid)
        assert urls["backend"].startswith("disabled")


@pytest.mark.parametrize("pool", parts(["prefork", "threads"], quick=["prefork"]))
def test_a_connection_from_a_task_is_refused_and_named(tmp_path: Path, other: RedisServer, pool: str) -> None:
    before = other.connections_refused_or_made()
    with bench(tmp_path) as run:
        worker = run.ready_worker(pool)
        run.send({"send": "shop.phone_home", "args": [other.port]})
        (end,) = run.wait_record("end", process=worker)
        assert (end["s"], end["e"]) == ("FAILURE", "builtins.ConnectionRefusedError")
        (undeclared,) = kinds(run.records(), "undeclared")
        assert undeclared["address"] == f"127.0.0.1:{other.port}"
        assert undeclared["stack"][0] == f"{run.project / 'shop.py'}:{line_of('phone_home')} phone_home"
    untouched(other, before)


@pytest.mark.parametrize("egress", parts(["127.0.0.1:{port}", "localhost", "localhost:{port}"], quick=["127.0.0.1:{port}", "localhost"]))
def test_egress_opens(tmp_path: Path, other: RedisServer, egress: str) -> None:
    with bench(tmp_path) as run:
        run.settings["egress"] = [egress.format(port=other.port)]
        worker = run.ready_worker("solo")
        run.send({"send": "shop.phone_home", "args": [other.port]})
        (end,) = run.wait_record("end", process=worker)
        assert end["s"] == "SUCCESS"


def test_an_explicit_connection_of_the_users_is_refused(tmp_path: Path, other: RedisServer) -> None:
    """`apply_async(connection=…)` goes round every setting; the socket does not open."""
    before = other.connections_refused_or_made()
    with bench(tmp_path) as run:
        app_with(
            run,
            "@app.task(name='other.leak')\ndef leak():\n    from kombu import Connection\n"
            f"    work.apply_async(connection=Connection({other.url()!r}), retry=False)",
        )
        worker = run.ready_worker("solo")
        run.send({"send": "other.leak"})
        (end,) = run.wait_record("end", process=worker)
        assert end["s"] == "FAILURE"
        assert [r["address"] for r in kinds(run.records(), "undeclared")] == [f"127.0.0.1:{other.port}"]
    untouched(other, before)


def test_names_are_not_looked_up(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        app_with(run, "@app.task(name='other.ask')\ndef ask():\n    import socket\n    socket.getaddrinfo('mail.example.com', 25)")
        worker = run.ready_worker("solo")
        run.send({"send": "other.ask"})
        (end,) = run.wait_record("end", process=worker)
        assert end["e"] == "builtins.ConnectionRefusedError"
        assert [r["address"] for r in kinds(run.records(), "undeclared")] == ["mail.example.com:25"]


def test_the_producer_is_guarded_as_well(tmp_path: Path, other: RedisServer) -> None:
    before = other.connections_refused_or_made()
    with bench(tmp_path) as run:
        (run.project / "sources.py").write_text(
            f"import socket\ndef look():\n    socket.create_connection(('127.0.0.1', {other.port}))\n    return [1], {{}}\n"
        )
        settings = run.write_settings(
            "producer", "p", plan={"seed": 1, "items": [{"send": "shop.ok", "args": "sources:look"}], "calls": [[1, 0, 0]]}
        )
        process = run.start(["producer"], settings)
        assert process.wait(60) == 70
        assert len(kinds(run.records(), "undeclared")) == 1
        assert re.search(r"sources\.py", run.logs())
    untouched(other, before)


def test_no_settings_no_worker(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        process = run.start(["worker"], run.folder / "missing.json")
        assert process.wait(60) == 78
        assert "CELERY_HARNESS_AGENT" in run.logs()
