"""The samples that property-based tests hunt: each twin does by itself what its page says, with the bug as the only difference."""

from __future__ import annotations

import importlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sample_tasks import albums_world, importer_world, shipments_world

PARTNER_AWAY = "http://127.0.0.1:1"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'db'}")
    monkeypatch.setenv("ALBUM_DIR", str(tmp_path))
    for api in ("COURIER_API", "PARTNER_API"):
        monkeypatch.setenv(api, PARTNER_AWAY)
    return tmp_path


def app(name: str) -> Any:
    return importlib.import_module(f"sample_tasks.{name}")


def rows(world: Path, query: str) -> list[Any]:
    with sqlite3.connect(world / "db") as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize(("name", "status"), [("shipments", "booked"), ("shipments_broken", "booking")])
def test_a_booking_that_did_not_get_through_is_gone_on_with_or_left(
    name: str, status: str, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipments_world.create()
    module = app(name)
    with pytest.raises(module.CourierAway):
        module.book.run(3, 7)
    assert rows(world, "SELECT status FROM shipments WHERE number = 3") == [("booking",)]
    monkeypatch.setattr(module, "ask_courier", lambda number, parcels: None)
    module.book.run(3, 7)
    assert rows(world, "SELECT status FROM shipments WHERE number = 3") == [(status,)]


@pytest.mark.parametrize(
    ("name", "limit", "given"),
    [("importer_storm_broken", None, {"countdown": 0}), ("importer_budget_broken", 5, {"countdown": 1, "max_retries": 50})],
)
def test_what_a_broken_importer_asks_of_retry(
    name: str, limit: int | None, given: dict[str, int], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer_world.create()
    module, asked = app(name), {}

    def retry(exc: Exception, **options: int) -> Exception:
        asked.update(options)
        return exc

    monkeypatch.setattr(module.fetch, "retry", retry)
    with pytest.raises(module.PartnerAway):
        module.fetch.run("A-00001", 5)
    assert (module.fetch.max_retries, asked) == (limit, given)


def test_the_right_importer_has_a_bound_and_spreads_its_retries() -> None:
    fetch = app("importer").fetch
    assert (fetch.max_retries, fetch.retry_backoff) == (5, 1)


@pytest.mark.parametrize(("name", "pictures"), [("albums", 2), ("albums_broken", 4)])
def test_a_body_that_runs_twice_counts_once_or_twice(name: str, pictures: int, world: Path) -> None:
    albums_world.create()
    module = app(name)
    for _ in range(2):
        module.ready.run(["beach", "hill"], album="summer")
    assert rows(world, "SELECT * FROM albums") == [("summer", pictures)]
