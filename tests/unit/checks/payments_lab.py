"""The application that most tests of the idempotent check run: orders paid through an API, and six calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.model.verdict import Verdict
from tests.unit.checks.idempotence_kit import Db, Lab, Table

__all__ = ["CALLS", "FAIL", "INCONCLUSIVE", "PASS", "lab", "pay", "pay_again", "tables"]

CALLS = [(n, 100 * n + 7) for n in range(1, 7)]
FAIL, PASS, INCONCLUSIVE = Verdict.FAIL, Verdict.PASS, Verdict.INCONCLUSIVE


def tables() -> dict[str, Table]:
    return {
        "db.orders": Table(key=("no",), rows=[{"no": n, "status": "new", "at": None} for n in range(1, 8)]),
        "db.payments": Table(key=("id",), surrogate=("id",)),
        "api.requests": Table(),
        "cache.keys": Table(key=("key",), rows=[{"key": "count", "value": 40}]),
    }


def pay(db: Db, n: int, cents: int) -> Iterator[None]:
    """Two effects, each safe to repeat."""
    if not db.find("api.requests", order=n):
        db.insert("api.requests", order=n, cents=cents)
    yield
    db.update("db.orders", {"no": n}, status="paid", at=db.now())
    yield


def pay_again(db: Db, n: int, cents: int) -> Iterator[None]:
    """Two effects, the first not safe to repeat."""
    db.insert("api.requests", order=n, cents=cents)
    yield
    db.update("db.orders", {"no": n}, status="paid", at=db.now())
    yield


def lab(task: Any = pay, **more: Any) -> Lab:
    return Lab(tables(), task, CALLS, services={"api": "http", "db": "sqlite"}, **more)
