"""Numbers that crash after crash raises: from some on they are alike, if nothing else has changed, and no key that was made changes."""

from __future__ import annotations

from collections.abc import Callable

from harness.explore.turning import TURNS
from harness.ports.exploring import Node
from tests.unit.explore.shop import Shop, first


def _raised(shop: Shop, beside: Callable[[int], object] = lambda n: None) -> list[Node]:
    """A row and a key that go up together, told after crash number n."""
    found = [first(shop)]
    for n in range(1, TURNS + 2):
        with shop.sql() as db:
            db.execute("INSERT OR REPLACE INTO payments (id, amount, at) VALUES (17, ?, 'lease')", (n,))
        shop.redis.set("fence", n)
        beside(n)
        found.append(shop.services.look())
    shop.services.turning(found[1:], found, shop.services.again)
    return found


def _key_at(shop: Shop, n: int, fence: int | None = None) -> object:
    with shop.sql() as db:
        db.execute("UPDATE payments SET amount = ?", (n,))
    shop.redis.set("fence", n if fence is None else fence)
    return shop.services.look().key


def test_higher_ones_are_alike_and_those_that_were_seen_are_as_they_were(shop: Shop) -> None:
    found = _raised(shop)
    assert [shop.services.again(node).key for node in found] == [node.key for node in found]
    assert len({node.key for node in found}) == len(found)
    beyond = _key_at(shop, TURNS + 2)
    assert beyond not in {node.key for node in found}
    assert beyond == _key_at(shop, TURNS + 3) == _key_at(shop, 99)
    assert _key_at(shop, 99, fence=TURNS) != beyond
    told = [words for words in shop.services.excludes() if "had raised it" in words]
    assert ["value of 'fence' (cache.keys)" in told[0], "amount of 17 (db.payments)" in told[1], len(told)] == [True, True, 2]


def test_not_where_anything_else_changes(shop: Shop) -> None:
    _raised(shop, lambda n: shop.redis.set("odd", "ab"[n % 2]))
    assert _key_at(shop, 98) != _key_at(shop, 99)
    assert not [words for words in shop.services.excludes() if "had raised it" in words]


def test_not_where_requests_are_made(shop: Shop) -> None:
    _raised(shop, lambda n: shop.post({"order": 7}))
    assert _key_at(shop, 98) != _key_at(shop, 99)
