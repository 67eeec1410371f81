"""A look costs what can have changed: what is asked, what is read again, and what is foreseen without a look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.explore.confirm import Contradiction
from harness.explore.returns import Returning
from harness.model.exploration import Message
from harness.ports.exploring import Node
from tests.unit.explore.shop import Shop, first


def test_an_effect_on_one_service_asks_no_other(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    node = first(shop)
    assert shop.services.look_if_changed(0.0, "net", "cache") is None and shop.services.look_if_changed(0.0, "file", "files") is None
    shop.redis.set("k", 1)
    shop.post({})
    with monkeypatch.context() as patched:
        for one in (shop.queues, shop.mail):
            patched.setattr(one, "settled", lambda: pytest.fail("asked"))
        patched.setattr(shop.api, "touched", lambda: pytest.fail("asked"))
        patched.setattr(shop.db, "fingerprint", lambda: pytest.fail("asked"))
        seen = shop.services.look_if_changed(0.0, "net", "cache")
    assert seen is not None and seen.world.collections()["cache.keys"].rows and not seen.world.collections()["api.requests"].rows
    for service in ("", "nobody", "api"):  # of one that nobody knows: all of them
        shop.services.restore(node)
        shop.services.look()
        shop.post({})
        seen = shop.services.look_if_changed(0.0, "net", service)
        assert seen is not None and seen.world.collections()["api.requests"].rows, service


def test_a_transaction_under_way_is_no_change_and_part_of_the_next_image(shop: Shop) -> None:
    node = first(shop)
    with shop.sql() as db:
        db.execute("PRAGMA cache_size=1")  # so that it writes to the file before it commits
        db.execute("BEGIN")
        for _ in range(200):
            db.execute("INSERT INTO payments (amount, at) VALUES (1, zeroblob(3000))")
        assert shop.services.look_if_changed(0.0, "file", "db") is None
        shop.redis.set("k", 1)
        seen = shop.services.look_if_changed(0.0, "net", "cache")
        assert seen is not None and seen.image.stores["db"] == shop.db.image() != node.image.stores["db"]
        assert not seen.world.collections()["db.payments"].rows
        db.execute("COMMIT")
    paid = shop.services.look_if_changed(0.0, "file", "db")
    assert paid is not None and len(paid.world.collections()["db.payments"].rows) == 200
    shop.services.restore(seen)
    assert shop.services.look().key == seen.key != paid.key


def test_what_the_broker_holds_once_a_message_is_back_is_foreseen(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    start = first(shop)
    message = replace(start.pending[0], redelivered=True)
    shop.services.take(start, 0)
    left = shop.services.look()
    assert shop.services.with_message(left, message) is None, "nobody has seen it come back"
    returning = Returning(shop.services)
    looked_at = returning.back(left, message)
    assert looked_at.pending[0].redelivered
    shop.services.restore(left)
    foreseen = returning.back(left, message)
    assert (foreseen.key, foreseen.pending, foreseen.world) == (looked_at.key, looked_at.pending, looked_at.world) and foreseen is not left
    assert not shop.services.look().pending, "and nothing was moved"
    shop.services.restore(foreseen)
    assert shop.services.look().key == looked_at.key
    assert shop.services.with_message(left, replace(message, retries=1)) is None
    shop.services.restore(left)
    shop.redis.set("lease", 1, ex=60)
    assert shop.services.with_message(shop.services.look(), message) is None, "it would be older by then"

    def wrongly(node: Node, _: Message) -> Any:
        return replace(node, key="another")

    monkeypatch.setattr(shop.services, "with_message", wrongly)
    with pytest.raises(Contradiction, match="another world"):
        for _ in range(8):  # one of so many is looked at
            returning.back(left, message)
