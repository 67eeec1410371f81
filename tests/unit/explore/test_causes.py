"""The pattern of the fix follows from what differs."""

from __future__ import annotations

from typing import Any

import pytest

from harness.explore.causes import fix_for
from harness.model.exploration import Stop

EFFECT = Stop(3, "sendto", "net", "cache", "SET done:7 sent to cache", "SET done:# cache")


def differs(collection: str, row: Any, before: Any, after: Any, expected: Any) -> dict[str, Any]:
    return {"collection": collection, "row": row, "before": before, "after": after, "expected": expected}


def request(key: str | None = None) -> dict[str, Any]:
    return {"method": "POST", "path": "/charges", "body": {"order": 7}, **({"key": key} if key else {})}


CASES = {
    "request again": ("EFFECT", [differs("api.requests", request(), 0, 2, 1)], "Send an idempotency key"),
    "request under another key": ("EFFECT", [differs("api.requests", request("k-1"), 0, 2, 1)], "different keys"),
    "mail again": ("EFFECT", [differs("mail.mails", {"subject": "paid"}, 0, 2, 1)], "outbox"),
    "row again": ("EFFECT", [differs("db.payments", {"order": 7}, 0, 2, 1)], "unique key"),
    "counter": (
        "EFFECT",
        [differs("db.accounts", {"number": 1}, {"balance": 100}, {"balance": 80}, {"balance": 90})],
        "what the value shall be",
    ),
    "counter of Redis": ("EFFECT", [differs("cache.keys", {"key": "n"}, None, {"value": "2"}, {"value": "1"})], "let each call count once"),
    "counters of a sorted set": (
        "EFFECT",
        [
            differs(
                "cache.keys", {"key": "sold"}, None, {"value": [["desk", 2.0], ["lamp", 4.0]]}, {"value": [["desk", 1.0], ["lamp", 2.0]]}
            )
        ],
        "what the value shall be",
    ),
    "a text that grows": ("EFFECT", [differs("cache.keys", {"key": "n"}, None, {"value": "a;a;"}, {"value": "a;"})], "doing it again"),
    "file": ("EFFECT", [differs("docs.files", {"path": "a.txt"}, None, {"size": 20}, {"size": 10})], "rename it"),
    "a request that only asks": ("EFFECT", [differs("api.requests", "GET /orders/7", 2, 2, 1)], "ignore_methods"),
    "a database without a journal": ("PARTIAL", [differs("db.damage", {"damaged": "malformed"}, 0, 1, 0)], "journal_mode=WAL"),
    "marker": ("EFFECT", [differs("api.requests", request(), 0, 0, 1)], "before it is"),
    "lock beside missing work": (
        "EFFECT",
        [differs("cache.keys", {"key": "lock:7"}, None, {"type": "string"}, None), differs("api.requests", request(), 0, 0, 1)],
        "expiry",
    ),
    "lock that makes a later call fail": (
        "PARTIAL",
        [
            differs("cache.keys", {"key": "lock:7"}, None, {"type": "string"}, None),
            differs("cache.keys", {"key": "n"}, None, {"value": 1}, None),
        ],
        "expiry",
    ),
    "key that makes a later call fail": (
        "PARTIAL",
        [
            differs("cache.keys", {"key": "stock"}, None, {"type": "string"}, None),
            differs("cache.keys", {"key": "n"}, None, {"type": "hash"}, None),
        ],
        "the next one from succeeding",
    ),
    "row that makes a later call fail": ("PARTIAL", [differs("db.payments", {"order": 7}, 0, 1, 0)], "unique key"),
    "lock alone": ("LEAK", [differs("cache.keys", {"key": "lock:7"}, None, {"type": "string"}, None)], "expiry"),
    "temporary file": ("LEAK", [differs("docs.files", {"path": "tmpab12cd34"}, 0, 1, 0)], "temporary name that is the same"),
    "lock file": ("LEAK", [differs("docs.files", {"path": ".archive.lock"}, None, {"size": 0}, None)], "flock"),
    "file that was never written": ("EFFECT", [differs("docs.files", {"path": "R-7.pdf"}, None, None, {"size": 8})], "before it is"),
    "file of which half is there": ("EFFECT", [differs("docs.files", {"path": "7.csv"}, None, {"size": 4}, {"size": 8})], "rename it"),
    "balance that was never booked": (
        "EFFECT",
        [differs("db.accounts", {"number": 1}, {"balance": 100}, {"balance": 100}, {"balance": 90})],
        "before it is",
    ),
    "no lease, but a word that holds one": (
        "EFFECT",
        [
            differs("api.requests", {**request("letter-0"), "body": "please pay"}, 0, 0, 1),
            differs("api.requests", {**request("letter-1"), "body": "please pay"}, 0, 1, 0),
        ],
        "different keys",
    ),
    "lost": ("LOST", [differs("api.requests", request(), 0, 0, 1)], "acks_late=True"),
    "told as failed": ("STATE", [], "ON CONFLICT DO NOTHING"),
    "for ever": ("STORM", [], "max_retries"),
    "no end": ("STUCK", [], "expiry"),
}


@pytest.mark.parametrize("name", CASES)
def test_fix(name: str) -> None:
    word, differences, words = CASES[name]
    assert words in fix_for(word, differences, EFFECT)
