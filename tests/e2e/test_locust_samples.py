"""A ready locustfile for each sample app, each tried on a real broker for a few seconds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import registry
from harness.errors import EnvironmentFault
from tests.e2e.locust_support import REPOSITORY, failures, rows_by_task
from tests.parts import chosen, parts

_DB = {"DATABASE_URL": "${{ db.url }}"}
_KEYED = {"http": {"idempotency_key": "Idempotency-Key"}}

#: What each app needs, as the scenarios of the app have it; the last part is what its users send.
SYSTEMS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "orders": (
        {
            "services": {"db": "sqlite", "card_api": _KEYED},
            "env": {**_DB, "CARD_API": "${{ card_api.url }}"},
            "workers": {"pay": {"queues": ["payments"], "concurrency": 2}},
        },
        {"orders.charge"},
    ),
    "shipments": (
        {
            "services": {"db": "sqlite", "courier": _KEYED},
            "env": {**_DB, "COURIER_API": "${{ courier.url }}"},
            "workers": {"vans": {"queues": ["shipments"], "concurrency": 2}},
        },
        {"shipments.book"},
    ),
    "importer": (
        {
            "services": {"db": "sqlite", "partner": _KEYED},
            "env": {**_DB, "PARTNER_API": "${{ partner.url }}"},
            "workers": {"importers": {"queues": ["imports"], "concurrency": 2}},
        },
        {"importer.fetch"},
    ),
    "reports": (
        {
            "services": {"db": "sqlite", "shelf": "files"},
            "env": {**_DB, "REPORT_DIR": "${{ shelf.path }}", "REPORT_LEASE_SECONDS": "1"},
            "workers": {"writers": {"queues": ["reports"], "concurrency": 2}},
        },
        {"reports.generate"},
    ),
    "albums": (
        {
            "backend": "redis",
            "services": {"db": "sqlite", "shelf": "files"},
            "env": {**_DB, "ALBUM_DIR": "${{ shelf.path }}"},
            "workers": {"album": {"queues": ["albums"], "concurrency": 2}},
        },
        {"albums.thumbnail"},
    ),
    "quotes": (
        {
            "services": {"partner": {"http": {"routes": [{"method": "GET", "path": "/quotes/*", "body": {"cents": 41900}}]}}},
            "env": {"PARTNER_API": "${{ partner.url }}"},
            "workers": {"askers": {"queues": ["quotes"], "pool": "threads", "concurrency": 4}},
        },
        {"quotes.ask"},
    ),
    "poison": (
        {"env": {"POISON_SHARE": "0"}, "workers": {"guests": {"queues": ["poison"], "concurrency": 2}}},
        {"poison.swallow"},
    ),
    "deadletters": (
        {
            "broker": "rabbitmq",
            "services": {"db": "sqlite"},
            "env": _DB,
            "workers": {"office": {"queues": ["invoices", "errands"], "concurrency": 2}},
        },
        {"invoices.issue", "invoices.print_out"},
    ),
    "accounts": (
        {
            "services": {"db": "postgres"},
            "env": _DB,
            "workers": {"bank": {"queues": ["accounts"], "concurrency": 2}},
        },
        {"accounts.transfer"},
    ),
}


def _apps() -> set[str]:
    """Modules of the sample apps that are right: a broken twin has the same users."""
    found = {path.stem for path in (REPOSITORY / "sample_tasks").glob("*.py") if re.search(r"^app = Celery\(", path.read_text(), re.M)}
    return {name for name in found if not re.search(r"_(broken|early)$", name)}


def needs_servers(system: dict[str, Any]) -> None:
    """Redis aside: that is always there."""
    kinds = {system.get("broker"), *map(str, system.get("services", {}).values())} & {"rabbitmq", "postgres"}
    for kind in kinds:
        try:
            registry().brokers[str(kind)].find()
        except EnvironmentFault as fault:
            pytest.skip(f"needs a server: {fault}")


def test_each_sample_app_has_a_ready_locustfile() -> None:
    ready = {path.name.removesuffix("_locustfile.py") for path in (REPOSITORY / "scenarios" / "load").glob("*_locustfile.py")}
    assert _apps() == ready == set(SYSTEMS)


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server_program: str
) -> Iterator[dict[str, Future[tuple[Path, int, str]]]]:
    """Name -> (folder of its reports, exit code, what it said); a few at a time, since most of it is waiting."""

    def run(name: str) -> tuple[Path, int, str]:
        system, _ = SYSTEMS[name]
        needs_servers(system)
        folder = tmp_path_factory.mktemp(name)
        scenario = folder / f"{name}.yaml"
        scenario.write_text(json.dumps(document(name, system)))
        command = [sys.executable, "-m", "harness.cli", "load", str(scenario), "--reports", str(folder / "reports")]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=200, check=False)
        return folder / "reports" / "latest", done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(3) as pool:
        yield {name: pool.submit(run, name) for name in chosen(request, "name")}


def document(name: str, system: dict[str, Any]) -> dict[str, Any]:
    """A scenario; the importer's shape says by itself when it is over."""
    time = {} if name == "importer" else {"for": "3s"}
    setup = {"setup": f"sample_tasks.{name}_world:create"} if "db" in system.get("services", {}) else {}
    return {
        "version": 1,
        "runtime": "processes",
        "system": {"app": f"sample_tasks.{name}:app", "broker": "redis", **setup, **system},
        "locust": {"file": f"scenarios/load/{name}_locustfile.py", "users": 3, "spawn_rate": "3/s", **time},
        "drain": {"timeout": "30s"},
        "checks": {"no_loss": {}},
    }


@pytest.mark.parametrize("name", parts(SYSTEMS, quick=[]))
def test_a_ready_locustfile_loads_its_app(runs: dict[str, Future[tuple[Path, int, str]]], name: str) -> None:
    latest, code, said = runs[name].result()
    assert code == 0, said
    found = rows_by_task(latest / "locust")
    assert {task for kind, task in found if kind == "publish"} == SYSTEMS[name][1]
    published = sum(int(row["Request Count"]) for (kind, _), row in found.items() if kind == "publish")
    assert published == json.loads((latest / "result.json").read_text())["calls"] > 5
    failed = failures(latest / "locust")
    assert all(name == "deadletters" and kind != "publish" and "reject" in error.lower() for kind, error in failed), failed
