"""Results as Celery's own backend stores them, on a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from harness.brokers.postgres import PostgresServer
from tests.unit.brokers.postgres_servers import PostgresProcess, running

KIND = PostgresServer()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresProcess]:
    with running(PostgresProcess()) as found:
        yield found


STORE = """
import sys
from celery import Celery
from celery.app.task import Context
app = Celery("a", backend=sys.argv[1])
app.conf.update(eval(sys.argv[2]))
app.backend.store_result("t-ok", {"sum": 3}, "SUCCESS")
app.backend.store_result("t-bad", ValueError("no"), "FAILURE", traceback="Traceback ...")
app.backend.store_result("t-retry", ValueError("later"), "RETRY", request=Context(task="add", retries=2, hostname="w1"))
app.backend.store_result("t-ok", None, "FAILURE")  # after a SUCCESS: Celery since 5.7 keeps that
print(app.AsyncResult("t-ok").status)
"""


@pytest.mark.parametrize(
    ("driver", "config"),
    [
        ("psycopg", {}),
        ("psycopg2", {"result_extended": True}),
        ("psycopg", {"result_serializer": "pickle", "accept_content": ["json", "pickle"]}),
        ("psycopg2", {"database_table_names": {"task": "my results"}, "database_table_schemas": {"task": "own"}}),
    ],
    ids=["plain", "extended", "pickle", "renamed"],
)
def test_results_of_celerys_own_backend(server: PostgresProcess, driver: str, config: dict[str, Any]) -> None:
    with server.connect() as app:
        app.execute("DROP SCHEMA IF EXISTS own CASCADE")
        app.execute("DROP SCHEMA public CASCADE")
        app.execute("CREATE SCHEMA public")
        app.execute("CREATE SCHEMA own")
    inspector = KIND.inspect(server.endpoint)
    assert inspector.results() == {}, "no table yet"
    url = KIND.url(server.endpoint.for_app("producer"), role="backend").replace("://", f"+{driver}://", 1)
    said = subprocess.run([sys.executable, "-c", STORE, url, repr(config)], capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    found = inspector.results()
    assert set(found) == {"t-ok", "t-bad", "t-retry"}
    assert {task_id: document["status"] for task_id, document in found.items()} == {
        "t-ok": said.stdout.strip(),
        "t-bad": "FAILURE",
        "t-retry": "RETRY",
    }
    assert found["t-bad"]["traceback"] == "Traceback ..."
    assert found["t-ok"]["date_done"][:2] == "20"
    if "result_serializer" in config:
        assert "result" not in found["t-ok"], "a pickle is not loaded"
    elif said.stdout.strip() == "SUCCESS":
        assert found["t-ok"]["result"] == {"sum": 3}
    told = {name: found["t-retry"].get(name) for name in ("name", "retries", "worker")}
    assert told == ({"name": "add", "retries": 2, "worker": "w1"} if "result_extended" in config else dict.fromkeys(told))
