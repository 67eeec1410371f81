"""With TLS the app checks the whole certificate, and nobody comes in without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from harness.brokers.postgres import PostgresServer
from tests.parts import parts
from tests.unit.brokers.certificates import issue
from tests.unit.brokers.postgres_servers import PostgresProcess, fresh_endpoint, running
from tests.unit.brokers.servers import eventually

KIND = PostgresServer()
CASES = {
    "good": (("127.0.0.1", "localhost"), False, ""),
    "wrong_name": (("db.example.org",), False, "does not match host name"),
    "expired": (("127.0.0.1",), True, "certificate verify failed"),  # libpq says no more; its alert does, in the server's log
}


@pytest.fixture(scope="module", params=parts(CASES, quick=["good", "wrong_name"]))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresProcess, str]]:
    hosts, expired, says = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    with running(PostgresProcess(endpoint=fresh_endpoint(issue(folder / "tls", *hosts, expired=expired)))) as server:
        yield server, says


def test_the_apps_url_asks_for_the_whole_check(served: tuple[PostgresProcess, str]) -> None:
    server, says = served
    url = KIND.url(server.endpoint.for_app(), role="service")
    if says:
        with pytest.raises(psycopg.OperationalError, match=says):
            psycopg.connect(url)
        if "verify" in says:
            eventually(lambda: "alert certificate expired" in server.log())
        return
    with psycopg.connect(url) as app:
        assert app.pgconn.ssl_in_use


def test_the_monitor_comes_in_in_any_case(served: tuple[PostgresProcess, str]) -> None:
    server, _ = served
    assert server.process is not None and KIND.ready(server.endpoint, server.process.pid)
    assert KIND.inspect(server.endpoint).results() == {}


def test_nobody_comes_in_without(served: tuple[PostgresProcess, str]) -> None:
    server, _ = served
    with pytest.raises(psycopg.OperationalError, match="no encryption"), server.connect():
        pass


def test_another_authority_is_not_trusted(served: tuple[PostgresProcess, str], tmp_path: Path) -> None:
    server, _ = served
    stranger = issue(tmp_path, "127.0.0.1")
    assert server.endpoint.tls is not None
    url = KIND.url(server.endpoint.for_app(), role="service").replace(str(server.endpoint.tls.authority), str(stranger.authority))
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(url)


def test_celerys_backend_checks_too(served: tuple[PostgresProcess, str]) -> None:
    server, says = served
    url = KIND.url(server.endpoint.for_app(), role="backend").replace("://", "+psycopg2://", 1)
    code = (
        "import sys; from celery import Celery; app = Celery('a', backend=sys.argv[1]);"
        "app.conf.result_backend_always_retry = False; app.backend.store_result('t', 1, 'SUCCESS')"
    )
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is not bool(says), done.stderr
    assert says in done.stderr
