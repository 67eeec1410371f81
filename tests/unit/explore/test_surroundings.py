"""The surroundings over real stores and a real broker: a task's work is done by hand, with time as it passes for the explorer."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

import pytest

from harness.errors import EnvironmentFault
from harness.explore.surroundings import Services
from harness.ports.exploring import Node
from tests.unit.explore.shop import Shop, first

CHANGES: dict[str, tuple[str, Callable[[Shop], None]]] = {
    "a row": ("file", lambda shop: shop.pay()),
    "a file": ("file", lambda shop: (shop.folder() / "a").touch()),
    "a file's content": ("file", lambda shop: (shop.folder() / "a").write_text("x")),
    "a file's permissions": ("file", lambda shop: (shop.folder() / "a").chmod(0o600)),
    "a file's name": ("file", lambda shop: (shop.folder() / "a").rename(shop.folder() / "b") and None),
    "a request": ("net", lambda shop: shop.post({})),
    "a mail": ("net", lambda shop: shop.send()),
    "a key": ("net", lambda shop: shop.redis.set("k", 1)),
    "an expiry": ("net", lambda shop: shop.redis.expire("k", 60)),
    "a message": ("net", lambda shop: shop.charge.apply_async((8,))),
    "a result": ("net", lambda shop: shop.broker.set(f"celery-task-meta-{uuid.uuid4()}", '{"status": "SUCCESS"}')),
}


def test_every_change_is_noticed_kept_and_undone(shop: Shop) -> None:
    """`touched` by its kind and by '', `look` by another key; each node comes back as it was; `reset` finds all of it."""
    nodes = [first(shop)]
    for name, (kind, change) in CHANGES.items():
        before = {asked: shop.services.touched(asked) for asked in ("", "net", "file")}
        assert before == {asked: shop.services.touched(asked) for asked in ("", "net", "file")}
        change(shop)
        after = {asked: shop.services.touched(asked) for asked in ("", "net", "file")}
        assert {asked for asked in after if after[asked] != before[asked]} == {"", kind}, name
        nodes.append(shop.services.look())
        if name != "a file's permissions":  # nobody sees those but the folder itself
            assert nodes[-1].key != nodes[-2].key, name
    for node in [*nodes, *reversed(nodes)]:
        shop.services.restore(node)
        again = shop.services.look()
        assert (again.key, again.world, again.pending) == (node.key, node.world, node.pending)
    shop.services.reset()
    assert not shop.services.look().pending and shop.services.look().world.collections()["api.requests"].rows == ()


@pytest.mark.parametrize("store", ["db", "files", "api", "mail", "cache"])
def test_reset_sees_for_itself_what_was_not_undone(shop: Shop, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    services = shop.services
    services.reset()
    monkeypatch.setattr(shop.stores[store], "restore", lambda image: None)
    services.reset()
    for _, change in CHANGES.values():
        change(shop)
    with pytest.raises(EnvironmentFault, match=f"service {store} could not be set back") as caught:
        services.reset()
    assert "error of the explorer" in str(caught.value)


def test_a_store_that_look_leaves_out_is_noticed_by_the_next_reset(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutation of the explorer itself."""
    services = shop.services
    look = Services.look

    def blind(self: Services, later: float = 0.0) -> Node:
        hidden = self._parts.pop("cache")
        try:
            return look(self, later)
        finally:
            self._parts["cache"] = hidden

    monkeypatch.setattr(Services, "look", blind)
    services.reset()
    shop.redis.set("k", 1)
    with pytest.raises(EnvironmentFault, match="service cache could not be set back"):
        services.reset()


def test_a_broker_that_was_not_set_back_is_noticed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.services.reset()
    monkeypatch.setattr(shop.queues, "restore", lambda image: None)
    shop.charge.apply_async((7,))
    with pytest.raises(EnvironmentFault, match="the broker could not be set back"):
        shop.services.reset()


# --- messages --------------------------------------------------------------------------------------------------------


def test_a_message_is_taken_and_comes_back_redelivered(shop: Shop) -> None:
    node = first(shop)
    (message,) = node.pending
    assert (message.task, message.retries, message.redelivered, message.eta) == ("shop.charge", 0, False, 0.0)
    assert message.raw["headers"]["task"] == "shop.charge" and message.raw["content-type"] == "application/json"
    shop.services.take(node, 0)
    assert shop.services.look().pending == ()
    with pytest.raises(EnvironmentFault, match="no longer in its queue"):
        shop.services.take(node, 0)
    shop.services.put_back(message)
    again = shop.services.look()
    assert [(one.id, one.redelivered) for one in again.pending] == [(message.id, True)] and again.key != node.key
    assert again.pending[0].raw["properties"]["delivery_info"]["redelivered"] is True
    shop.services.restore(node)
    assert shop.services.look().pending == node.pending


def test_kombu_takes_what_was_put_back(shop: Shop) -> None:
    node = first(shop)
    shop.services.take(node, 0)
    shop.charge.apply_async((8,))
    shop.services.put_back(node.pending[0])
    with shop.app.connection_for_read() as connection, closing(connection.SimpleQueue("celery")) as queue:
        taken = queue.get(timeout=10)
        assert taken.headers["id"] == node.pending[0].id and taken.delivery_info["redelivered"] is True
        taken.ack()
        assert queue.get(timeout=10).payload[0] == [8]


def test_two_messages_are_told_apart_by_all_but_their_ids(shop: Shop) -> None:
    shop.services.reset()
    base = shop.services.look()
    keys = set()
    for call in (
        lambda: shop.charge.apply_async((7,)),
        lambda: shop.charge.apply_async((8,)),
        lambda: shop.charge.apply_async((7,), retries=1),
    ):
        found = set()
        for _ in range(2):
            shop.services.restore(base)
            call()
            found.add(shop.services.look().key)
        assert len(found) == 1, "another task id is no other world"
        keys |= found
    assert len(keys) == 3


def test_retries_can_be_alike_from_a_number_on(shop: Shop) -> None:
    base = first(shop)
    shop.services.count_attempts_to(3)
    keys = []
    for retries in (1, 2, 3, 4, 9):
        shop.services.restore(base)
        shop.charge.apply_async((7,), retries=retries)
        keys.append(shop.services.look().key)
    assert len(set(keys)) == 3 and keys[2] == keys[3] == keys[4]


def test_results_are_part_of_the_key_but_for_when_they_came(shop: Shop) -> None:
    base = first(shop)
    task_id = base.pending[0].id

    def key(**result: Any) -> Any:
        shop.services.restore(base)
        shop.broker.set(f"celery-task-meta-{task_id}", json.dumps({"status": "SUCCESS", "result": 1, "date_done": "x", **result}))
        return shop.services.look().key

    assert key() == key(date_done="y") == key(traceback="Traceback …")
    assert len({base.key, key(), key(status="FAILURE"), key(result=2)}) == 4
    assert shop.services.differences(base, shop.services.look(), base) == ()


# --- learning and comparing ------------------------------------------------------------------------------------------


def test_what_varies_is_learnt_and_a_second_effect_is_still_seen(shop: Shop) -> None:
    before = first(shop)

    def execution(times: int = 1) -> Node:
        later = shop.services.restore(before)
        shop.services.take(before, 0)
        for _ in range(times):
            shop.pay()
            shop.post({"token": str(uuid.uuid4()), "amount": 900})
        shop.redis.set("done:7", uuid.uuid4().hex)
        return shop.services.look(later)

    clean = [execution() for _ in range(3)]
    assert len({node.key for node in clean}) == 3
    shop.services.learn(clean)
    goal, other, twice = execution(), execution(), execution(2)
    assert goal.key == other.key != twice.key
    assert shop.services.differences(goal, other, before) == ()
    told = shop.services.differences(goal, twice, before)
    assert [(entry["collection"], entry["before"], entry["after"], entry["expected"]) for entry in told] == [
        ("api.requests", 0, 2, 1),
        ("db.payments", 0, 2, 1),
    ]


def test_numbers_that_were_used_up_are_no_difference(shop: Shop) -> None:
    before = first(shop)
    shop.pay(1)
    shop.post({"payment_id": 1}, key="payment-1")
    shop.redis.set("token", "x")
    goal = shop.services.look()
    shop.services.restore(before)
    with shop.sql() as db:
        db.execute("INSERT INTO payments (amount) VALUES (1)")
        db.execute("DELETE FROM payments")
        db.execute("INSERT INTO payments (amount, at) SELECT 1, at FROM (SELECT ? AS at)", (_at(goal),))
    shop.post({"payment_id": 2}, key="payment-2")
    shop.redis.set("token", "x")
    found = shop.services.look()
    assert shop.services.differences(goal, found, before) == ()
    shop.post({"payment_id": 2}, key="payment-1")
    assert shop.services.differences(goal, shop.services.look(), before) != ()


def _at(node: Node) -> Any:
    return node.world.collections()["db.payments"].rows[0]["at"]


def test_settling_gives_up_in_words(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.explore.parts._SETTLES_WITHIN", 0.05)
    monkeypatch.setattr(shop.api, "settled", lambda: False)
    with pytest.raises(EnvironmentFault, match=r"api did not come to rest within 0\.05 s"):
        shop.services.settle()


def test_what_checks_do_not_compare_is_in_keys_all_the_same(shop: Shop) -> None:
    """A task can see the schema, the number that comes next, and whether it may write a file."""
    (shop.folder() / "a").touch()
    node = first(shop)
    keys = {node.key}
    for change in ("CREATE INDEX amounts ON payments (amount)", "PRAGMA user_version = 3"):
        shop.services.restore(node)
        with shop.sql() as db:
            db.execute(change)
        keys.add(shop.services.look().key)
    shop.services.restore(node)
    (shop.folder() / "a").chmod(0o400)
    keys.add(shop.services.look().key)
    assert len(keys) == 4

    def used_up(last: int, mark: str) -> Any:
        shop.services.restore(node)
        with shop.sql() as db:
            db.execute("INSERT INTO payments (id) VALUES (?)", (last,))
            db.execute("DELETE FROM payments")
        shop.redis.set(mark, 1)
        return shop.services.look().key

    assert used_up(200, "paid:202") != used_up(201, "paid:202"), "the next number is 201 or 202, and paid:202 is there"
    assert used_up(200, "paid") == used_up(201, "paid")


def test_a_look_of_one_kind_takes_the_rest_as_it_was(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    node = first(shop)
    shop.pay()
    with monkeypatch.context() as patched:
        for one in (shop.cache, shop.queues):
            patched.setattr(one, "settled", lambda: pytest.fail("asked"))
            patched.setattr(one, "fingerprint", lambda: pytest.fail("asked"))
        paid = shop.services.look(kind="file")
    assert paid.key == shop.services.look().key != node.key
    shop.post({})
    monkeypatch.setattr(shop.db, "fingerprint", lambda: pytest.fail("asked"))
    assert shop.services.look(kind="net").key not in (node.key, paid.key)


def test_a_node_has_another_key_after_learning(shop: Shop) -> None:
    base = first(shop)
    nodes = []
    for _ in range(2):
        shop.services.restore(base)
        shop.redis.set("token", str(uuid.uuid4()))
        nodes.append(shop.services.look())
    assert nodes[0].key != nodes[1].key
    shop.services.learn(nodes)
    again = [shop.services.again(node) for node in nodes]
    assert again[0].key == again[1].key
    shop.services.restore(nodes[1])
    assert shop.services.look().key == again[0].key


def test_other_arguments_begin_in_the_same_world_with_nothing_learnt(shop: Shop) -> None:
    base = first(shop)
    nodes = []
    for _ in range(2):
        shop.services.restore(base)
        shop.redis.set("token", str(uuid.uuid4()))
        nodes.append(shop.services.look())
    shop.services.learn(nodes)
    anew = shop.services.anew()
    anew.reset()
    assert shop.redis.get("token") is None and not anew.look().pending
    assert len({anew.again(node).key for node in nodes}) == 2
    assert len({shop.services.again(node).key for node in nodes}) == 1


@pytest.mark.parametrize(
    ("setup", "lasts"),
    [
        (lambda shop: shop.post({"order": 7}), True),
        (lambda shop: shop.redis.set("lock:7", 1, ex=3600), False),
        (lambda shop: shop.pay(lease=int(shop.now) + 60), False),
        (lambda shop: shop.pay(lease=int(shop.now) - 86_400), False),
    ],
)
def test_a_first_world_that_names_no_time_is_put_back_for_the_next_exploration(
    shop: Shop, setup: Callable[[Shop], object], lasts: bool
) -> None:
    assert not shop.services.lasts, "nobody has looked yet"
    setup(shop)
    shop.services.reset()
    assert shop.services.lasts is lasts
    if not lasts:
        return
    first = shop.services.look()
    for store in shop.stores.values():
        store.clear()
    shop.now += 90
    other = shop.services.successor({"broker": shop.queues})
    assert other.reset() == pytest.approx(0, abs=1), "as if it had been made just now"
    again = other.look()
    assert (again.world, again.key) == (first.world, first.key)


def test_messages_of_another_app_are_no_deliveries_but_count_as_what_was_sent(shop: Shop) -> None:
    before = first(shop)
    shop.services.answer_for({"shop.charge": {}})

    def sent(times: int) -> Node:
        shop.services.restore(before)
        for _ in range(times):
            shop.app.send_task("billing.charge", (7,), queue="celery")
        found = shop.services.look()
        assert [message.task for message in found.pending] == ["shop.charge"]
        shop.services.take(found, 0)
        return shop.services.look()

    once, again, twice = sent(1), sent(1), sent(2)
    assert once.pending == () and once.key == again.key != twice.key
    assert shop.services.differences(once, again, before) == ()
    (one,) = shop.services.differences(once, twice, before)
    assert (one["collection"], one["before"], one["after"], one["expected"]) == ("broker.messages", 0, 2, 1)
    assert any(words.startswith("what billing.charge does, which this app publishes") for words in shop.services.excludes())


@pytest.mark.parametrize("known", [True, False])
def test_when_a_retry_is_due_counts_unless_that_is_drawn(shop: Shop, known: bool) -> None:
    """By the task's settings, or since executions differ in it."""
    before = first(shop)

    def retried(countdown: float) -> Node:
        shop.services.restore(before)
        shop.charge.apply_async((7,), retries=1, eta=datetime.fromtimestamp(shop.now + countdown, timezone.utc), task_id="retried")
        return shop.services.look()

    nodes = [retried(20), retried(40)]
    assert nodes[0].key != nodes[1].key and nodes[0].deadlines
    if known:
        shop.services.answer_for({"shop.charge": {"retry_backoff": True, "retry_jitter": None}})
    else:
        shop.services.learn(nodes)
    same = [retried(20), retried(40)]
    assert same[0].key == same[1].key and same[0].deadlines == ()
    assert [message.eta for message in same[1].pending] == pytest.approx([0, 40], abs=5)
