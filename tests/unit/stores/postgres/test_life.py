from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from harness.errors import EnvironmentFault, UsageError
from harness.ports.broker import Tls
from harness.stores.postgres import PostgresParameters, PostgresStore
from tests.unit.brokers.postgres_servers import PostgresProcess, running
from tests.unit.stores.postgres.stores import ServerHost, fill, started


def test_clear_takes_all_that_setup_makes(server: PostgresProcess, store: PostgresStore) -> None:
    with server.connect() as connected:
        fill(connected)
        connected.execute("CREATE TYPE mood AS ENUM ('fine'); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        store.clear()
        with pytest.raises(psycopg.OperationalError):
            connected.execute("SELECT 1")
    with server.connect("producer") as again:
        fill(again)
        again.execute("CREATE TYPE mood AS ENUM ('fine'); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")


def test_what_it_offers_works_for_the_app_alone(server: PostgresProcess, store: PostgresStore) -> None:
    offers = store.offers()
    with psycopg.connect(offers["url"]) as first:
        assert first.execute("SELECT session_user").fetchone() == ("worker",)
    parts = {
        "host": offers["host"],
        "port": offers["port"],
        "user": offers["user"],
        "password": offers["password"],
        "dbname": offers["database"],
    }
    with psycopg.connect(**parts) as second:  # type: ignore[arg-type]
        assert second.execute("SELECT current_database()").fetchone() == ("app",)
    assert offers["sslrootcert"] == ""
    assert server.endpoint.password not in str(offers)
    assert store.addresses() == ((offers["host"], int(offers["port"])),)


def test_the_app_is_told_where_it_finds_the_server(server: PostgresProcess) -> None:
    tls = Tls(Path("/run/ca.pem"), Path("/run/cert.pem"), Path("/run/key.pem"))
    store, host = PostgresStore("db", PostgresParameters(tls=True)), ServerHost(replace(server.endpoint, inside=("db", 5432), tls=tls))
    store.start(host)
    assert host.asked == [("postgres", "db", True)]
    offers = store.offers()
    assert (offers["host"], offers["port"], offers["sslrootcert"]) == ("db", "5432", "/run/ca.pem")
    assert offers["url"].endswith("@db:5432/app?sslmode=verify-full&sslrootcert=/run/ca.pem")
    assert store.addresses() == (("db", 5432),)
    store.stop()


def test_parameters() -> None:
    assert PostgresParameters(tls="expired").tls == "expired"
    for wrong in ({"tls": "bad"}, {"naturals": ["a.b"]}, {"natural": "a.b"}):
        with pytest.raises(ValidationError):
            PostgresParameters.model_validate(wrong)


def test_it_survives_a_restart_and_names_a_dead_server() -> None:
    with running(PostgresProcess()) as server, started(server) as store:
        with server.connect() as app:
            app.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        saved, image, stamp = store.observe(), store.save(), store.touched()
        server.kill()
        for question in (store.observe, store.touched, store.save, store.clear, lambda: store.restore(image)):
            with pytest.raises(EnvironmentFault, match="service db"):
                question()
        server.start()
        assert store.observe() == saved
        assert store.touched() != stamp, "ids of transactions may be given out twice over a crash"
        server.stop()
        server.start()
        store.restore(image)
        assert store.observe() == saved


def test_without_the_driver_the_extra_is_named(server: PostgresProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def no_psycopg(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "psycopg":
            raise ImportError("no module named psycopg")
        return true_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_psycopg)
    store = PostgresStore("db", PostgresParameters())
    with pytest.raises(UsageError, match="psycopg") as caught:
        store.start(ServerHost(server.endpoint))
    assert "celery-harness[postgres]" in caught.value.hint
    store.stop()
