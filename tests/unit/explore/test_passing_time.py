"""Time as it passes for the explorer, over real stores and a real broker: what expires, what falls due, and the clock of a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from tests.unit.explore.shop import Shop


def test_keys_expire_when_it_is_waited_for(shop: Shop) -> None:
    shop.services.reset()
    shop.redis.set("lock:7", "me", ex=60)
    shop.redis.set("slow", "me", ex=3600)
    node = shop.services.look()
    assert node.deadlines == (62.0, 3602.0)
    later = shop.services.restore(node, 62.0)
    assert later == pytest.approx(62.0)
    waited = shop.services.look(later)
    assert [row["key"] for row in waited.world.collections()["cache.keys"].rows] == ["slow"] and waited.key != node.key
    assert 3537 <= shop.redis.ttl("slow") <= 3538 and waited.deadlines == (3602.0,)
    shop.services.restore(node)
    assert shop.services.look().key == node.key
    shop.redis.persist("lock:7")
    assert shop.services.look().key != node.key


def test_the_clock_of_a_node_stands_while_others_are_visited(shop: Shop) -> None:
    """A lease that a row holds runs out by waiting, not because we are slow."""
    shop.services.reset()
    shop.pay(lease=int(shop.now) + 60)
    node = shop.services.look()
    assert node.deadlines == (62.0,)
    shop.now += 500
    later = shop.services.restore(node)
    assert later == -500
    again = shop.services.look(later)
    assert again.key == node.key and again.deadlines == node.deadlines
    shop.now += 3
    waited = shop.services.look(shop.services.restore(again, 62.0))
    assert waited.key != node.key and waited.deadlines == ()


def test_moments_of_the_first_world_pass_too(shop: Shop) -> None:
    with shop.sql() as db:
        db.execute("UPDATE orders SET state = '2026-11-18T11:07:40Z'")  # a minute after the clock of this test
    shop.services.reset()
    node = shop.services.look()
    assert node.deadlines == (62.0,)
    waited = shop.services.look(shop.services.restore(node, 62.0))
    assert waited.key != node.key and waited.deadlines == () and waited.world == node.world


@pytest.mark.parametrize(
    ("change", "dated"),
    [
        (lambda shop: shop.pay(lease=int(shop.now) - 60), "row"),
        (lambda shop: shop.pay(lease=int(shop.now) + 60), ""),
        (lambda shop: shop.pay(), ""),
        (lambda shop: shop.redis.hset("seen:7", "at", shop.now), "row"),
        (lambda shop: shop.redis.set("id:7", f"{int(shop.now * 1000):012x}7abc8def01234567"), "row"),  # such as a uuid7
        (lambda shop: shop.redis.set("id:7", "7f8f9a0b1c2d7abc8def01234567"), ""),
        (lambda shop: shop.redis.xadd("events", {"n": 7}), "row"),
        (lambda shop: (shop.folder() / "7.done").touch(), "file"),  # a file knows when it was written
        (lambda shop: shop.post({"at": shop.now}), ""),  # nobody tells the task of it again
    ],
)
def test_it_is_known_where_something_says_how_long_ago_it_was_done(shop: Shop, change: Callable[[Shop], None], dated: str) -> None:
    shop.services.reset()
    assert shop.services.look().dated == ""
    change(shop)
    node = shop.services.look()
    assert (node.dated, shop.services.look().dated, shop.services.again(node).dated) == (dated,) * 3


def test_a_message_is_due(shop: Shop) -> None:
    shop.services.reset()
    shop.charge.apply_async((7,), eta=datetime.fromtimestamp(shop.now + 120, timezone.utc))
    node = shop.services.look()
    assert node.pending[0].eta == 120.0 and node.deadlines == (122.0,)
    waited = shop.services.look(shop.services.restore(node, 122.0))
    assert waited.pending[0].eta == 0.0 and waited.key != node.key


def test_only_a_message_that_came_back_is_waited_for_until_it_expires(shop: Shop) -> None:
    """One that no crash has touched expires as its sender wants it."""
    shop.services.reset()
    shop.charge.apply_async((7,), expires=datetime.fromtimestamp(shop.now + 60, timezone.utc))
    node = shop.services.look()
    assert node.deadlines == ()
    shop.services.take(node, 0)
    shop.services.put_back(replace(node.pending[0], redelivered=True))
    back = shop.services.look()
    assert back.deadlines == (62.0,)
    assert shop.services.look(shop.services.restore(back, 62.0)).key != back.key
