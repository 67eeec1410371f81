"""TLS from end to end: an app that verifies works with the run's own authority, and is told clearly of a bad certificate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.containers import needs_engine
from tests.e2e.support import processes_of, project, wait_until
from tests.parts import chosen, parts

WRONG_NAME = "pay-1 cannot connect: the certificate is for wrong.example, not for {host}"
EXPIRED = r"pay-1 cannot connect: the certificate expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC"
#: Where the app finds its broker.
HOSTS = {"processes": "127.0.0.1", "containers": "broker"}
#: The result backend that is encrypted too, where all is well.
BACKENDS: dict[str, dict[str, dict[str, Any]]] = {
    "processes": {"redis": {"kind": "redis", "tls": True}, "rabbitmq": {"kind": "postgres", "tls": True}},
    "containers": {"redis": {"kind": "redis", "tls": True}, "rabbitmq": {"kind": "redis", "tls": True}},
}
PLACES = [(runtime, broker) for broker in ("rabbitmq", "redis") for runtime in HOSTS]
FLAWED = [
    ("containers", "rabbitmq", "wrong_name"),
    ("processes", "rabbitmq", "expired"),
    *((runtime, "redis", tls) for runtime in HOSTS for tls in ("wrong_name", "expired")),
]


POSTGRES = {"wrong_name": "the certificate is for wrong.example, not for 127.0.0.1", "expired": "the certificate expired on"}


@dataclass
class Done:
    """A run that has ended."""

    code: int
    text: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server_program: str
) -> Iterator[dict[Any, Future[Done]]]:
    """All of them, a few at a time: servers take their time to start, and need little meanwhile."""

    def run(runtime: str, broker: str, tls: Any, backend: Any = None) -> Done:
        if runtime == "containers":
            needs_engine("rabbitmq")
        shop = project(tmp_path_factory.mktemp(f"{runtime}-{broker}"))
        redelivery = {} if broker == "redis" else {"redelivery": None}
        system = {"broker": {"kind": broker, "tls": tls}, **redelivery, **({"backend": backend} if backend else {})}
        done = shop.run("run", str(shop.scenario(system=system)), "--runtime", runtime, timeout=100)
        wait_until(lambda: not processes_of(shop.folder), "no process is left")
        return Done(done.returncode, done.stdout + done.stderr, shop.result()["environment"])

    with ThreadPoolExecutor(4) as pool:
        backend: dict[str, Any] = {"kind": "postgres"}
        flaws = chosen(request, "flaw")
        found = {("postgres", tls): pool.submit(run, "processes", "redis", False, {**backend, "tls": tls}) for tls in flaws}
        flawed = chosen(request, "runtime", "broker", "tls")
        found |= {place: pool.submit(run, *place, True, BACKENDS[place[0]][place[1]]) for place in chosen(request, "place", "server")}
        yield found | {case: pool.submit(run, *case) for case in flawed}


@pytest.mark.parametrize(("place", "server"), parts(PLACES, quick=[("processes", "redis")]))
def test_encrypted_it_works_as_in_the_clear(runs: dict[Any, Future[Done]], place: str, server: str) -> None:
    done = runs[place, server].result()
    assert done.code == 0, done.text
    assert ", TLS, started by this run" in done.environment["Broker"]
    assert ", TLS, started by this run" in done.environment["Result backend"]


@pytest.mark.parametrize(("runtime", "broker", "tls"), parts(FLAWED, quick=[("processes", "redis", "wrong_name")]))
def test_a_bad_certificate_is_the_environments_fault_in_one_sentence(
    runs: dict[Any, Future[Done]], runtime: str, broker: str, tls: str
) -> None:
    done = runs[runtime, broker, tls].result()
    flat = " ".join(done.text.split())
    assert done.code == 3, done.text
    assert re.search(EXPIRED if tls == "expired" else re.escape(WRONG_NAME.format(host=HOSTS[runtime])), flat), done.text
    assert "docs/tls.md" in flat


@pytest.mark.exhaustive
@pytest.mark.parametrize("flaw", list(POSTGRES))
def test_a_bad_certificate_of_a_postgres_backend(runs: dict[Any, Future[Done]], flaw: str) -> None:
    """Celery meets it when the producer asks for a result."""
    done = runs["postgres", flaw].result()
    assert done.code == 3, done.text
    assert re.search(POSTGRES[flaw], " ".join(done.text.split())), done.text


#: How the pieces are told apart is in tests/unit/runtimes/shared/test_tls_words.py.
@pytest.mark.exhaustive
@pytest.mark.parametrize(("service", "tls_of_it"), [("postgres", "wrong_name"), ("redis", "expired")])
def test_a_bad_certificate_of_a_service_that_the_setup_needs(tmp_path: Path, service: str, tls_of_it: str) -> None:
    connect = {
        "postgres": "import psycopg; psycopg.connect(os.environ['STORE'])",
        "redis": "import redis; redis.Redis.from_url(os.environ['STORE']).ping()",
    }
    shop = project(tmp_path, world=f"import os\n\n\ndef create():\n    {connect[service]}\n")
    system = {"setup": "world:create", "services": {"store": {service: {"tls": tls_of_it}}}, "env": {"STORE": "${{ store.url }}"}}
    done = shop.run("run", str(shop.scenario(system=system)), "--runtime", "processes", timeout=100)
    assert done.returncode == 3, done.stdout + done.stderr
    told = " ".join((done.stdout + done.stderr).split())
    assert f"world:create cannot connect: {POSTGRES[tls_of_it]}" in told and "Traceback" not in told
