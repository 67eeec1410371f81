"""The sample apps do by themselves, without the harness, what their pages say."""

from __future__ import annotations

import importlib
import json
import random
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sample_tasks import importer_world, orders_world, reports_world


class _Partner(ThreadingHTTPServer):
    """Takes every request, or answers 503 to the first ``refusals`` ones."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: list[str | None] = []
        self.bodies: list[Any] = []
        self.refusals = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Partner

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refused, self.server.refusals = self.server.refusals > 0, max(0, self.server.refusals - 1)
        if not refused:
            self.server.keys.append(self.headers["Idempotency-Key"])
            self.server.bodies.append(json.loads(body))
        self.send_response(503 if refused else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def partner() -> Iterator[_Partner]:
    with _Partner() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def world(partner: _Partner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Environment of the apps; the folder that they write into."""
    address = f"http://127.0.0.1:{partner.server_port}"
    for name, value in {
        "CARD_API": address,
        "PARTNER_API": address,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db",
        "REPORT_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def _rows(world: Path, query: str) -> list[Any]:
    return sqlite3.connect(world / "db").execute(query).fetchall()


def _app(name: str) -> Any:
    return importlib.import_module(f"sample_tasks.{name}")


@pytest.mark.parametrize(("name", "key"), [("orders", "order-7"), ("orders_early", "order-7"), ("orders_broken", None)])
def test_an_order_is_charged_and_paid(name: str, key: str | None, world: Path, partner: _Partner) -> None:
    orders_world.create()
    module = _app(name)
    assert module.charge.apply((7, 1999)).get() == "paid"
    assert module.charge.apply((7, 1999)).get() == "already paid"
    assert (partner.keys, partner.bodies) == ([key], [{"order": 7, "cents": 1999}])
    assert _rows(world, "SELECT number FROM orders WHERE status = 'paid'") == [(7,)]
    assert _rows(world, "SELECT * FROM receipts") == [(7, 1999)]


def test_acknowledgement_is_what_tells_orders_from_orders_early() -> None:
    assert _app("orders").app.conf.task_acks_late is True
    assert _app("orders_broken").app.conf.task_acks_late is True
    assert _app("orders_early").app.conf.task_acks_late is False


@pytest.mark.parametrize("name", ["reports", "reports_broken"])
def test_a_report_is_written_once(name: str, world: Path) -> None:
    reports_world.create()
    module = _app(name)
    assert module.generate.apply((3, 12)).get() == "completed"
    assert module.generate.apply((3, 12)).get() == "already there"
    assert (world / "report-3.txt").read_text() == "report 3: 12 rows\n"
    assert not list(world.glob("*.draft"))


def test_an_abandoned_report_jams_without_a_lease_and_is_taken_over_with_one(world: Path) -> None:
    reports_world.create()
    with sqlite3.connect(world / "db") as db:
        db.execute("UPDATE reports SET status = 'generating', lease_until = 0 WHERE number = 3")
    assert _app("reports_broken").generate.apply((3, 12)).get() == "somebody is at it"
    assert not (world / "report-3.txt").exists()
    assert _app("reports").generate.apply((3, 12)).get() == "completed"


def test_importers_agree_while_all_is_well(world: Path) -> None:
    importer_world.create()
    for name in ("importer", "importer_broken"):
        _app(name).fetch.apply(("A-00001", 5)).get()
    assert _rows(world, "SELECT * FROM prices") == [("A-00001", 5)]


def test_the_importer_retries_what_can_heal_and_nothing_else(world: Path, partner: _Partner) -> None:
    importer_world.create()
    module = _app("importer")
    partner.refusals = 2
    module.fetch.apply(("A-00001", 5)).get()
    assert partner.keys == ["A-00001"]
    assert module.fetch.autoretry_for == (module.PartnerAway,)
    with pytest.raises(module.MalformedArticle):
        module.fetch.apply(("?00005", 5)).get()


def test_arguments_follow_the_seed() -> None:
    drawn = [orders_world.charges(random.Random(5))[0][1] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert 500 <= drawn[0] < 20_000
    (first, _), (second, _) = (reports_world.requests(random.Random(5)) for _ in range(2))
    assert second[0] == first[0] + 1
    articles = [importer_world.articles(random.Random(n))[0][0] for n in range(importer_world.MALFORMED_EVERY)]
    assert sum(a.startswith("?") for a in articles) == 1
