"""What is compared beside the rows that checks see: beneath them, in the broker's own Redis; and what nothing shows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from harness.stores.http import HttpParameters, Route
from tests.unit.explore.shop import Shop, first

BENEATH: dict[str, tuple[str, Callable[[Shop], None]]] = {
    "permissions": ("files.~permissions", lambda shop: (shop.folder() / "a").chmod(0o600)),
    "an index": ("db.~schema", lambda shop: _execute(shop, "CREATE INDEX by_state ON orders (state)")),
    "a version": ("db.~schema", lambda shop: _execute(shop, "PRAGMA user_version = 3")),
    "the program that it belongs to": ("db.~schema", lambda shop: _execute(shop, "PRAGMA application_id = 3")),
    "a time that was set": ("files.~times", lambda shop: os.utime(shop.folder() / "a", (200, 200))),
    "what a group has read": ("cache.keys~groups", lambda shop: shop.redis.xreadgroup("workers", "me", {"jobs": ">"})),
    "a key of the broker's": ("broker.keys", lambda shop: shop.broker.set("sold", 1)),
    "a key of another database of the broker's": ("broker.keys", lambda shop: shop.broker_of(1).set("marker", 1)),
}


def _execute(shop: Shop, sql: str) -> None:
    with shop.sql() as db:
        db.execute(sql)


@pytest.mark.parametrize("name", BENEATH)
def test_what_lies_beneath_the_rows_counts_at_the_end_too(shop: Shop, name: str) -> None:
    collection, change = BENEATH[name]
    for path in ("a", "same"):
        (shop.folder() / path).write_text("x")
    shop.redis.xadd("jobs", {"order": "7"})
    shop.redis.xgroup_create("jobs", "workers", id="0")
    before = first(shop)
    change(shop)
    after = shop.services.look()
    assert after.key != before.key
    shop.services.restore(before)
    assert shop.services.look().key == before.key
    shop.services.restore(after)
    assert shop.services.look().key == after.key
    told = shop.services.differences(after, before, before)
    assert {one["collection"] for one in told} == {collection}
    (shop.folder() / "b").write_text("x")
    (new,) = (one for one in shop.services.differences(after, shop.services.look(), before))
    assert new["collection"] == "files.files", "its permissions are not told beside it"


def test_numbers_that_are_used_up_count_for_the_next_delivery_but_not_at_the_end(shop: Shop) -> None:
    before = first(shop)
    shop.pay()
    _execute(shop, "DELETE FROM payments")
    after = shop.services.look()
    assert after.key != before.key and shop.services.differences(before, after, before) == ()


def test_which_names_are_one_file_is_seen_by_the_next_delivery_but_is_no_difference(shop: Shop) -> None:
    for name in ("a", "same"):
        (shop.folder() / name).write_text("x")
    before = first(shop)
    (shop.folder() / "same").unlink()
    (shop.folder() / "same").hardlink_to(shop.folder() / "a")
    after = shop.services.look()
    assert after.key != before.key and shop.services.differences(before, after, before) == ()


def test_writing_the_same_again_is_seen_by_the_next_delivery_but_is_no_difference(shop: Shop) -> None:
    (shop.folder() / "a").write_text("x")
    os.utime(shop.folder() / "a", (time.time() - 0.5,) * 2)
    services = shop.surroundings()
    services.reset()
    before = services.look()
    (shop.folder() / "a").touch()
    after = services.look()
    assert after.key != before.key and services.differences(before, after, before) == ()


def test_faults_that_a_service_has_are_off_and_told(shop: Shop) -> None:
    failing = Route(method="POST", path="/charges", fail_first=1, drop="after_accept")
    shop.api.parameters = HttpParameters(routes=(failing, Route(fail="always"), Route(fail="once")))
    first(shop)
    told = ("fail_first and drop of POST /charges (api)", "fail of * * (api)")
    assert shop.services.excludes() == tuple(f"{words}: faults of services are off here" for words in told)


def test_what_nothing_shows_is_a_doubt(shop: Shop) -> None:
    shop.redis.publish("orders", "of the setup")
    first(shop)
    assert (shop.services.doubts(), shop.services.excludes()) == ((), ())
    shop.redis.eval("redis.call('PUBLISH', 'orders', 'paid')", 0)
    shop.broker.publish("celery-task-meta-1", "as Celery does")
    shop.broker.set("lock:7", 1, ex=60)
    shop.broker.set("celery-task-meta-1", "{}", ex=60)
    shop.broker.set("unacked_mutex", 1, ex=60)
    node = shop.services.look()
    assert shop.services.excludes() == ("what is published (PUBLISH) in the broker's Redis",)
    assert shop.services.doubts() == (
        "the task keeps broker: lock:7, which expires, and time is moved on for services alone",
        "nothing shows, in cache, what is published (PUBLISH)",
    )
    assert shop.services.differences(node, first(shop), node) == (), "nor is it judged"
