from __future__ import annotations

import json
import os
import signal
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Queue

from harness.errors import EnvironmentFault
from tests.unit.brokers.looking import deliver, duplicate, inspector, producer
from tests.unit.brokers.servers import RedisServer, eventually, running, worker

MODULE = "tests.unit.brokers.celery_app"


def test_an_empty_broker_holds_nothing(server: RedisServer) -> None:
    looker = inspector(server)
    assert looker.depth() == (0, 0)
    assert looker.look(0.0) == []


def test_messages_of_a_real_producer(server: RedisServer) -> None:
    eta = datetime.now(timezone.utc) + timedelta(hours=1)
    producer(server).send_task("pay", args=[1], queue="pay", task_id="t1", retries=2, eta=eta, headers={"celery_harness_message": "m1"})
    (held,) = inspector(server).look(100.0)
    assert (held.place, held.queue, held.message_id, held.task_id, held.task, held.retries) == ("ready", "pay", "m1", "t1", "pay", 2)
    assert held.tag and held.returns_at is None and held.timeout == ""
    assert held.eta == pytest.approx(eta.timestamp() - 100.0, abs=1e-3)


def test_a_foreign_message_gets_the_id_that_the_agent_gives_it(server: RedisServer) -> None:
    producer(server).send_task("pay", task_id="t1", retries=3)
    assert [h.message_id for h in inspector(server).look(0.0)] == ["foreign:t1:3"]


def test_protocol_1_is_read_from_the_body(server: RedisServer) -> None:
    app = producer(server)
    app.conf.task_protocol = 1
    app.send_task("pay", task_id="old", retries=1)
    (held,) = inspector(server).look(0.0)
    assert (held.task, held.task_id, held.retries) == ("pay", "old", 1)


@pytest.mark.parametrize("options", [{}, {"sep": ":"}, {"priority_steps": list(range(10)), "sep": ":"}, {"global_keyprefix": "shop:"}])
def test_priorities_and_key_options(server: RedisServer, options: dict[str, Any]) -> None:
    app = producer(server, **options)
    for priority in range(10):
        app.send_task("pay", queue="pay", priority=priority, task_id=str(priority))
    looker = inspector(server, **options)
    assert looker.depth() == (10, 0)
    assert {(h.queue, h.task_id) for h in looker.look(0.0)} == {("pay", str(n)) for n in range(10)}


def test_another_apps_prefix_is_not_ours(server: RedisServer) -> None:
    producer(server, global_keyprefix="theirs:").send_task("pay")
    assert inspector(server, global_keyprefix="ours:").look(0.0) == []


def test_unacked_with_own_keys_and_the_return_on_the_historys_clock(server: RedisServer) -> None:
    options = {"global_keyprefix": "p_", "unacked_key": "busy", "unacked_index_key": "busy_index", "visibility_timeout": 30}
    producer(server, **options).send_task("pay", task_id="t1")
    before = time.time()
    connection = deliver(server, **options)
    try:
        looker = inspector(server, **options)
        assert looker.depth() == (0, 1)
        (held,) = looker.look(1000.0)
        assert (held.place, held.queue, held.task_id, held.timeout) == ("unacked", "celery", "t1", "visibility_timeout 30 s")
        assert held.returns_at is not None
        assert before + 30 - 1000 <= held.returns_at <= time.time() + 30 - 1000
    finally:
        connection.close()


def test_the_queue_of_an_unacked_message_comes_from_its_binding(server: RedisServer) -> None:
    with Connection(server.url()) as connection:
        queue = Queue("bills", exchange="shop", routing_key="shop.bill")
        connection.Producer().publish({}, exchange="shop", routing_key="shop.bill", declare=[queue], headers={"task": "b", "id": "1"})
        held_by = Connection(server.url())
        held_by.default_channel.do_restore = False
        assert queue(held_by.default_channel).get() is not None
        assert [h.queue for h in inspector(server).look(0.0)] == ["bills"]
        held_by.close()


def test_an_unacked_message_without_index_never_returns(server: RedisServer) -> None:
    producer(server).send_task("pay", task_id="t1")
    connection = deliver(server)
    server.client().delete("unacked_index")
    (held,) = inspector(server).look(0.0)
    connection.close()
    assert (held.task_id, held.returns_at, held.timeout) == ("t1", None, "none: missing from unacked_index")


def test_lists_that_are_no_queues_do_not_count(server: RedisServer) -> None:
    client = server.client()
    client.rpush("basket", "apple", "{}", json.dumps({"body": 1, "properties": {}}), json.dumps([1, "id", "SUCCESS", 3]))
    client.rpush("celery-task-meta-x.j", json.dumps([1, "id", "SUCCESS", 3]))
    client.set("unacked_mutex", "lock")
    looker = inspector(server)
    assert looker.depth() == (0, 0)
    assert looker.look(0.0) == []


def test_replies_to_remote_control_do_not_count(server: RedisServer) -> None:
    with Connection(server.url()) as connection:
        reply = Queue("u.reply.celery.pidbox", exchange="reply.celery.pidbox", routing_key="u")
        connection.Producer().publish({"w": {"ok": "pong"}}, exchange="reply.celery.pidbox", routing_key="u", declare=[reply])
    assert server.client().llen("u.reply.celery.pidbox") == 1
    assert inspector(server).depth() == (0, 0)


def test_a_queue_without_binding_still_counts(server: RedisServer) -> None:
    producer(server).send_task("pay", queue="pay", task_id="t1")
    client = server.client()
    client.delete(*client.keys("_kombu.binding*"))
    looker = inspector(server)
    assert looker.depth() == (1, 0)
    assert [(h.queue, h.task_id) for h in looker.look(0.0)] == [("pay", "t1")]


POISON = [
    b"not json",
    b"\xff\xfe",
    b"[]",
    b"7",
    b"null",
    b'{"body": 1}',
    b'{"properties": 3, "body": ""}',
    b'{"properties": {}, "body": null}',
]
POISON += [
    b'{"properties": {"priority": "x"}, "headers": {"task": 3, "id": [], "retries": "a", "eta": "never"}, "body": "%%%"}',
    b"[" * 100_000,
]


def test_poison_is_held_with_empty_ids(server: RedisServer) -> None:
    producer(server).send_task("pay", queue="pay")
    client = server.client()
    client.delete("pay")
    client.rpush("pay", *POISON)
    client.hset("unacked", "tag", b"not json")
    client.hset("unacked", "tag2", b'["no envelope", null, 7]')
    client.zadd("unacked_index", {"tag": 5.0})
    looker = inspector(server)
    held = looker.look(0.0)
    assert looker.depth() == (len(POISON), 2)
    assert [h.place for h in held].count("ready") == len(POISON)
    assert {h.tag for h in held if h.place == "unacked"} == {"tag", "tag2"}
    assert all((h.task_id, h.task, h.message_id) == ("", "", "") for h in held)
    assert duplicate(looker, "pay") == 0


def test_looking_changes_nothing(server: RedisServer) -> None:
    producer(server).send_task("pay", task_id="t1")
    producer(server).send_task("pay", task_id="t2")
    connection = deliver(server)
    client = server.client()

    def dump() -> dict[bytes, bytes]:
        return {key: client.dump(key) for key in client.keys("*")}

    before, changes = dump(), client.info("persistence")["rdb_changes_since_last_save"]
    looker = inspector(server)
    looker.depth(), looker.look(0.0), looker.results()
    assert (dump(), client.info("persistence")["rdb_changes_since_last_save"]) == (before, changes)
    connection.close()


def test_no_message_hides_between_two_places(server: RedisServer) -> None:
    """A look is one moment: while another client moves the message to and fro, each look sees it exactly once."""
    import threading

    producer(server).send_task("pay", task_id="t1")
    item = server.client().lindex("celery", 0)
    stop = threading.Event()

    def move() -> None:
        client = server.client()
        while not stop.is_set():
            with client.pipeline() as pipe:
                pipe.rpop("celery").zadd("unacked_index", {"t": time.time()}).hset(
                    "unacked", "t", json.dumps([json.loads(item), "", "celery"])
                )
                pipe.execute()
            with client.pipeline() as pipe:
                pipe.zrem("unacked_index", "t").hdel("unacked", "t").rpush("celery", item).execute()

    mover = threading.Thread(target=move)
    mover.start()
    try:
        looker = inspector(server)
        places = [[h.place for h in looker.look(0.0)] for _ in range(300)]
        depths = [looker.depth() for _ in range(300)]
    finally:
        stop.set()
        mover.join()
    assert {len(p) for p in places} == {1}
    assert {sum(d) for d in depths} == {1}


def test_real_workers_eta_kill_and_copies(server: RedisServer, tmp_path: Path) -> None:
    """The whole of it: a worker holds an ETA task and a running one, is killed, and another runs the copy beside."""
    mark, log = str(tmp_path / "mark"), tmp_path / "log"
    env = {"BROKER": server.url(), "OPTIONS": json.dumps({"visibility_timeout": 60}), "LOG": str(log)}
    app, looker = producer(server), inspector(server, visibility_timeout=60)
    app.send_task("note", args=[mark, "later"], task_id="eta", countdown=3600)
    app.send_task("hold", args=[mark], task_id="running")
    with worker(MODULE, env, "-P", "solo", "-n", "one@test") as process:
        eventually(lambda: Path(mark).exists() and Path(mark).read_text() == "begun\n", 30)
        eventually(lambda: looker.depth() == (0, 2))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    held = {h.task_id: h for h in looker.look(time.time() - time.monotonic())}
    assert {h.place for h in held.values()} == {"unacked"}
    assert held["eta"].eta is not None and held["eta"].eta > time.monotonic() + 3000
    assert all(h.returns_at is not None and 0 < h.returns_at - time.monotonic() <= 60 for h in held.values())
    seen = {"foreign:eta:0"}
    assert duplicate(looker, together=True, seen=seen) == 1
    Path(mark + ".go").touch()
    with worker(MODULE, env, "-P", "solo", "-n", "two@test"):
        eventually(lambda: Path(mark).read_text() == "begun\nbegun\n", 30)
        eventually(lambda: looker.depth() == (0, 2))
    assert {h.task_id for h in looker.look(0.0)} == {"eta", "running"}


def test_redelivery_settings_bring_a_killed_workers_message_back(server: RedisServer, tmp_path: Path) -> None:
    settings = server.kind.client_settings(1.5)["broker_transport_options"]
    mark = str(tmp_path / "mark")
    env = {"BROKER": server.url(), "OPTIONS": json.dumps(settings), "LOG": str(tmp_path / "log")}
    producer(server).send_task("hold", args=[mark], task_id="t1")
    with worker(MODULE, env, "-P", "solo", "-n", "one@test"):
        eventually(lambda: Path(mark).exists() and Path(mark).read_text() == "begun\n", 30)
    Path(mark + ".go").touch()
    with worker(MODULE, env, "-P", "solo", "-n", "two@test"):
        eventually(lambda: Path(mark).read_text() == "begun\nbegun\n", 20)


def test_results_of_a_real_worker(server: RedisServer, tmp_path: Path) -> None:
    env = {"BROKER": server.url(), "BACKEND": server.url(), "LOG": str(tmp_path / "log")}
    app, looker, client = producer(server), inspector(server), server.client()
    app.send_task("note", args=[str(tmp_path / "x"), "done"], task_id="good")
    app.send_task("boom", task_id="bad")
    with worker(MODULE, env, "-P", "solo", "-n", "one@test"):
        eventually(lambda: len(looker.results()) == 2, 30)
    client.set("shop_celery-task-meta-prefixed", json.dumps({"status": "SUCCESS"}))
    client.set("celery-task-meta-pickled", b"\x80\x04]")
    client.rpush("celery-task-meta-list", "x")
    found = looker.results()
    assert (found["good"]["status"], found["good"]["result"]) == ("SUCCESS", "done")
    assert (found["bad"]["status"], found["bad"]["result"]["exc_type"]) == ("FAILURE", "ValueError")
    assert found["prefixed"]["status"] == "SUCCESS"
    assert found["pickled"] == {"status": None}
    assert "list" not in found


def test_a_restarted_server_is_found_again_and_a_dead_one_named(tmp_path: Path) -> None:
    with running(RedisServer(tmp_path / "r", persistence=True)) as server:
        looker = inspector(server)
        producer(server).send_task("pay", task_id="t1")
        assert looker.depth() == (1, 0)
        server.kill()
        with pytest.raises(EnvironmentFault, match="does not answer"):
            looker.depth()
        server.start()
        assert looker.depth() == (1, 0)
        assert len(looker.look(0.0)) == 1
        server.kill()
        server.start()
        assert looker.depth() == (1, 0), "a stale connection is opened anew"
        looker.close()
        looker.close()


def test_a_frozen_server_does_not_freeze_depth(server: RedisServer) -> None:
    assert server.process is not None
    looker = inspector(server)
    looker.depth()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(EnvironmentFault):
            looker.depth()
        assert time.monotonic() - begun < 12.0
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert looker.depth() == (0, 0)


def test_a_long_queue_is_counted_without_being_read(server: RedisServer) -> None:
    producer(server).send_task("pay", task_id="t")
    client = server.client()
    client.lpush("celery", *[client.lindex("celery", 0)] * 20_000)
    looker = inspector(server)
    before = client.info("stats")["total_net_output_bytes"]
    assert looker.depth() == (20_001, 0)
    assert client.info("stats")["total_net_output_bytes"] - before < 50_000
    assert len(looker.look(0.0)) == 20_001
