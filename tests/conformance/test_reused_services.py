"""Between the passes of one run a service is as it was when the run began, whatever the app did to its server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import build_cell, choose_runtime, registry
from harness.errors import EnvironmentFault
from harness.ports.clock import MonotonicClock
from harness.ports.runtime import PassPlan
from harness.scenario import load_scenarios
from tests.e2e.containers import needs_engine
from tests.parts import parts

APP = """from celery import Celery

app = Celery("left")


@app.task(name="left.noop")
def noop():
    pass
"""
KINDS = {"cache": "redis", "db": "postgres"}


@pytest.fixture(params=parts(["processes", "containers"], quick=["processes"]))
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """With both services; in its first pass."""
    pytest.importorskip("psycopg")
    if request.param == "containers":
        needs_engine("postgres")
    else:
        try:
            registry().brokers["postgres"].find()
        except EnvironmentFault as fault:
            pytest.skip(f"needs a server: {fault}")
    (tmp_path / "run").mkdir()
    (tmp_path / "left.py").write_text(APP)
    file = tmp_path / "s.yaml"
    file.write_text(
        json.dumps({"version": 1, "system": {"app": "left:app", "services": KINDS}, "load": [{"send": "left.noop", "count": 1}]})
    )
    (loaded,) = load_scenarios(file, registry())
    cell = build_cell(loaded, tmp_path, MonotonicClock())
    made = choose_runtime(request.param).system(cell.system("0105-000000-0001", tmp_path / "run"))
    try:
        made.open()
        made.begin_pass(PassPlan("clean1", [], "fast"))
        yield made
    finally:
        made.close()


def next_pass(system: Any) -> None:
    """As the run begins it."""
    system.stop_workers(0)
    system.poll()
    system.begin_pass(PassPlan("clean2", [], "fast"))


def redis_of(system: Any) -> Any:
    """With the login that the app has, from here."""
    import redis

    end, told = system.server_of("cache").endpoint, system.stores["cache"].offers()
    return redis.Redis(host=end.host, port=end.port, username=told["user"] or None, password=told["password"], socket_timeout=5)


def redis_state(system: Any, script: str) -> Any:
    with contextlib.closing(redis_of(system)) as client:
        modern = int(client.info()["redis_version"].split(".")[0]) >= 7
        return {
            "keys": client.dbsize(),
            "script": client.script_exists(script),
            "functions": client.function_list() if modern else [],
            "settings": client.config_get("*"),
            "users": sorted(client.acl_users()),
        }


def test_a_redis_service(system: Any) -> None:
    """It is the app's own, with every right: also to change settings, logins and the code that it runs."""
    with contextlib.closing(redis_of(system)) as client:
        import redis

        script = "0" * 40
        before = redis_state(system, script)
        client.set("key", "x")
        script = client.script_load("return 'left'")
        with contextlib.suppress(redis.ResponseError):  # before 7.0
            client.execute_command("FUNCTION", "LOAD", "#!lua name=left\nredis.register_function('left', function() return 1 end)")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("notify-keyspace-events", "Ex")
        client.execute_command("ACL", "SETUSER", "ghost", "on", ">boo", "~*", "+@all")
        left = redis_state(system, script)
        assert all(left[name] != before[name] for name in before if name != "functions"), "it did leave something"
    next_pass(system)
    assert redis_state(system, script) == before
    assert system.stores["cache"].observe().collections["keys"].rows == ()
    assert isinstance(system.touched(), tuple)


LEAVE = """
CREATE TABLE left_behind (id serial PRIMARY KEY);
CREATE SCHEMA haunted;
SELECT lo_create(0);
ALTER ROLE CURRENT_USER SET search_path TO haunted;
SET ROLE SESSION_LOGIN;
ALTER ROLE SESSION_LOGIN SET statement_timeout TO 5000;
RESET ROLE;
ALTER DATABASE app SET default_transaction_isolation TO serializable;
SELECT pg_advisory_lock(7);
"""
STATE = {
    "relations": "SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    "schemas": "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_temp|^pg_toast_temp' ORDER BY 1",
    "objects": "SELECT count(*) FROM pg_largeobject_metadata",
    "roles": "SELECT rolname, rolsuper, rolcanlogin, rolconfig FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1",
    "settings": "SELECT setconfig::text FROM pg_db_role_setting ORDER BY 1",
    "databases": "SELECT datname FROM pg_database ORDER BY 1",
    "locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "isolation": "SHOW default_transaction_isolation",
}


def postgres_of(system: Any, *, monitor: bool = False) -> Any:
    import psycopg

    end, told = system.server_of("db").endpoint, system.stores["db"].offers()
    user, password = (end.user, end.password) if monitor else (told["user"], told["password"])
    return psycopg.connect(host=end.host, port=end.port, user=user, password=password, dbname="app", autocommit=True)


def postgres_state(system: Any) -> Any:
    with contextlib.closing(postgres_of(system, monitor=True)) as connection:
        return {name: connection.execute(statement).fetchall() for name, statement in STATE.items()}


def test_a_postgresql_service(system: Any) -> None:
    """By the reset that proves one server clean for the next scenario: the app's logins can go nowhere that it does not reach."""
    import psycopg

    before = postgres_state(system)
    system.stores["db"].save()  # a copy of the database, which a login could leave something in as well
    left = postgres_of(system)
    left.execute(LEAVE.replace("SESSION_LOGIN", f'"{left.info.user}"'))
    after = postgres_state(system)
    assert all(after[name] != before[name] for name in before), "it did leave something"
    next_pass(system)
    assert postgres_state(system) == before
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")
    with contextlib.closing(postgres_of(system)) as fresh:
        fresh.execute("CREATE TABLE left_behind (id serial PRIMARY KEY)")
    assert list(system.stores["db"].observe().collections) == ["left_behind"]
