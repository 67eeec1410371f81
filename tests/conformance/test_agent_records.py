"""What the agent records of a real worker on a real Redis, pool by pool."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.agent_support import PROJECT, Bench, Record, bench, kinds, line_of, tell, wait_for
from tests.parts import parts

ITEMS: list[Record] = [
    *(
        {"send": f"shop.{name}"}
        for name in ("ok", "fail", "retry_by_hand", "retry_by_itself", "late", "reject", "ignore", "nested", "chained")
    ),
    {"send": "shop.ok", "expires": -1},
    {"chain": [{"send": "shop.add", "args": [1, 2]}, {"send": "shop.add", "args": [3]}]},
    {"group": [{"send": "shop.ok"}, {"send": "shop.late"}]},
    {"chord": {"header": [{"send": "shop.add", "args": [1, 2]}, {"send": "shop.add", "args": [3, 4]}], "body": {"send": "shop.total"}}},
]
NUMBER = {"ok": 1, "fail": 2, "retry_by_hand": 3, "retry_by_itself": 4, "late": 5, "reject": 6, "ignore": 7, "nested": 8, "chained": 9}
NUMBER.update(expired=10, chain=11, group=12, chord=13)
ENDS = 22  # ends of ITEMS with all their retries and parts, the expired one aside


class Run:
    """One pool's run of ITEMS, and its records by call."""

    def __init__(self, run: Bench, pool: str) -> None:
        self.pool = pool
        self.results = run.redis.url(1)
        worker = run.ready_worker(pool, backend=self.results, retry_divisor=200)
        run.send(*ITEMS, backend=self.results)
        run.wait_record("end", count=ENDS, process=worker)
        run.wait_record("revoked", process=worker)
        self._foreign(run)
        run.wait_record("unknown", process=worker)
        run.wait_record("undecodable", process=worker)
        assert run.stop(worker) == 0, run.logs()
        self.worker = worker.pid
        self.records = run.records()
        self.project = run.project

    def _foreign(self, run: Bench) -> None:
        """An unregistered task and an undecodable body, as a producer without our agent would send them."""
        from kombu import Connection

        with Connection(run.redis.url()) as connection:
            producer = connection.Producer(serializer="json")
            self.unknown = str(uuid.uuid4())
            headers = {"id": self.unknown, "task": "shop.nowhere", "retries": 0, "lang": "py"}
            producer.publish([[], {}, {}], routing_key="shop", headers=headers, correlation_id=self.unknown)
            self.bad = str(uuid.uuid4())
            headers = {"id": self.bad, "task": "shop.ok", "retries": 0, "lang": "py"}
            producer.publish(
                b"\xff{",
                routing_key="shop",
                content_type="application/json",
                content_encoding="utf-8",
                headers=headers,
                correlation_id=self.bad,
            )

    def of(self, call: str, kind: str) -> list[Record]:
        """Records of one call; those without a call of their own by the delivery they belong to."""
        number = NUMBER[call]
        if kind in ("deliver", "publish"):
            return [r for r in kinds(self.records, kind) if r["call"] == number]
        deliveries = {r["d"] for r in self.of(call, "deliver")}
        return [r for r in kinds(self.records, kind) if r.get("d") in deliveries]

    def states(self, call: str) -> list[str]:
        return [r["s"] for r in self.of(call, "end")]


@pytest.fixture(scope="module", params=parts(["prefork", "threads", "solo"], quick=["prefork"]))
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with bench(tmp_path_factory.mktemp(request.param)) as run:
        yield Run(run, request.param)


def test_success(ran: Run) -> None:
    assert ran.states("ok") == ["SUCCESS"]
    (delivery,) = ran.of("ok", "deliver")
    (start,) = ran.of("ok", "start")
    (end,) = ran.of("ok", "end")
    assert delivery["n"] == "shop.ok"
    assert (delivery["r"], delivery["re"], delivery["copy"], delivery["foreign"], delivery["q"]) == (0, 0, 0, 0, "shop")
    assert delivery["pid"] == ran.worker
    assert (start["pid"] != ran.worker) == (ran.pool == "prefork")
    assert delivery["m"] < start["m"] < end["m"]
    assert start["id"] == end["id"] == delivery["id"]


def test_messages_deliveries_and_acks_are_linked(ran: Run) -> None:
    published = {r["msg"] for r in kinds(ran.records, "published")}
    begun = {r["msg"] for r in kinds(ran.records, "publish")}
    delivered = [r for r in kinds(ran.records, "deliver") if not r["foreign"]]
    assert published == begun == {r["msg"] for r in delivered}
    assert len(begun) == len(delivered)
    told = [r["d"] for r in kinds(ran.records, "ack", "reject")]
    assert sorted(told) == sorted(r["d"] for r in kinds(ran.records, "deliver"))


def test_failure_names_the_users_line(ran: Run) -> None:
    (end,) = ran.of("fail", "end")
    assert (end["s"], end["e"], end["msg_text"]) == ("FAILURE", "builtins.ValueError", "no such order")
    assert (end["file"], end["line"]) == (str(ran.project / "shop.py"), line_of("fail"))


def test_manual_retry(ran: Run) -> None:
    assert ran.states("retry_by_hand") == ["RETRY", "RETRY", "FAILURE"]
    first = ran.of("retry_by_hand", "end")[0]
    assert (first["e"], first["when"]) == ("builtins.KeyError", "20")
    assert [r["r"] for r in ran.of("retry_by_hand", "deliver")] == [0, 1, 2]


@pytest.mark.parametrize("name", ["retry_by_hand", "retry_by_itself"])
def test_a_retry_is_stamped_afresh_caused_by_its_delivery_and_shortened(ran: Run, name: str) -> None:
    from datetime import datetime

    deliveries = ran.of(name, "deliver")
    publishes = ran.of(name, "publish")
    assert len({r["msg"] for r in publishes}) == len(publishes) == len(deliveries)
    assert [r["cause"] for r in publishes] == ["", *(r["d"] for r in deliveries[:-1])]
    for publish, delivery in zip(publishes[1:], deliveries[1:], strict=True):
        eta, asked = datetime.fromisoformat(publish["eta"]), datetime.fromisoformat(publish["asked"])
        assert delivery["eta"] == publish["eta"]
        assert 19.0 < (asked - eta).total_seconds() < 20.0


def test_automatic_retry(ran: Run) -> None:
    assert ran.states("retry_by_itself") == ["RETRY", "FAILURE"]
    assert ran.of("retry_by_itself", "end")[0]["e"] == "builtins.ConnectionError"


def test_early_and_late_acks(ran: Run) -> None:
    (late,) = ran.of("late", "ack")
    (ended,) = ran.of("late", "end")
    assert late["m"] > ended["m"]
    assert late["tag"] == ran.of("late", "deliver")[0]["tag"]
    if ran.pool == "solo":  # the pool runs the task before the event loop comes to the queued ack of an early one
        return
    assert len(ran.of("ok", "ack")) == 1


def test_reject_and_ignore(ran: Run) -> None:
    assert ran.states("reject") == ["REJECTED"]
    assert [r["requeue"] for r in ran.of("reject", "reject")] == [0]
    assert ran.of("reject", "ack") == []
    assert ran.states("ignore") == ["IGNORED"]
    assert kinds(ran.records, "failed") == []


def test_nested_publish_belongs_to_the_call(ran: Run) -> None:
    outer, inner = ran.of("nested", "deliver")
    assert (outer["n"], inner["n"]) == ("shop.nested", "shop.ok")
    assert inner["cause"] == outer["d"]
    assert inner["parent"] == outer["id"]


def test_chain_and_chain_inside_a_task(ran: Run) -> None:
    assert [r["n"] for r in ran.of("chain", "deliver")] == ["shop.add", "shop.add"]
    first, second = ran.of("chain", "deliver")
    assert second["cause"] == first["d"]
    one, two, three = ran.of("chained", "deliver")
    assert (two["cause"], three["cause"]) == (one["d"], two["d"])


def test_group_and_chord(ran: Run) -> None:
    assert sorted(r["n"] for r in ran.of("group", "deliver")) == ["shop.late", "shop.ok"]
    parts = ran.of("chord", "deliver")
    assert [r["n"] for r in parts] == ["shop.add", "shop.add", "shop.total"]
    assert parts[2]["cause"] in {parts[0]["d"], parts[1]["d"]}


def test_calls_know_all_their_task_ids(ran: Run) -> None:
    answered = {r["no"]: r for r in kinds(ran.records, "call_ok")}
    assert sorted(answered) == sorted(NUMBER.values())
    for name in ("chain", "group", "chord"):
        assert set(answered[NUMBER[name]]["ids"]) == {r["id"] for r in ran.of(name, "deliver")}
    assert answered[NUMBER["chain"]]["id"] == ran.of("chain", "deliver")[0]["id"]


def test_expired(ran: Run) -> None:
    (revoked,) = ran.of("expired", "revoked")
    assert revoked["why"] == "expired"
    assert ran.of("expired", "start") == []
    assert len(ran.of("expired", "ack")) == 1


def test_foreign_messages(ran: Run) -> None:
    found = {r["id"]: r for r in kinds(ran.records, "deliver") if r["foreign"]}
    assert found[ran.unknown]["msg"] == f"foreign:{ran.unknown}:0"
    (unknown,) = kinds(ran.records, "unknown")
    assert (unknown["id"], unknown["d"]) == (ran.unknown, found[ran.unknown]["d"])
    (undecodable,) = kinds(ran.records, "undecodable")
    assert (undecodable["id"], undecodable["d"]) == (ran.bad, found[ran.bad]["d"])


def test_life_of_the_processes(ran: Run) -> None:
    main = [
        r["k"]
        for r in ran.records
        if r["pid"] == ran.worker and r["k"] in ("open", "urls", "settings", "connected", "ready", "disconnected", "down")
    ]
    assert main == ["open", "urls", "settings", "connected", "ready", "disconnected", "down"]
    (connected,) = (r for r in kinds(ran.records, "connected") if r["pid"] == ran.worker)
    assert connected["queues"] == ["shop"]
    up, down = kinds(ran.records, "child_up"), kinds(ran.records, "child_down")
    assert len(up) == len(down) == (2 if ran.pool == "prefork" else 0)
    (urls,) = (r for r in kinds(ran.records, "urls") if r["pid"] == ran.worker)
    assert "**" in urls["read"]
    assert "**" in urls["backend"]


def test_settings_tell_policies_and_places(ran: Run) -> None:
    (settings,) = kinds(ran.records, "settings")
    policy = settings["tasks"]["shop.retry_by_itself"]
    assert policy["autoretry_for"] == ["builtins.ConnectionError"]
    assert policy["retry_kwargs"] == {"max_retries": 1, "countdown": 20}
    assert settings["tasks"]["shop.late"]["acks_late"] is True
    assert settings["tasks"]["shop.ok"]["acks_late"] is False
    source = (PROJECT / "shop.py").read_text().splitlines()
    assert source[settings["tasks"]["shop.ok"]["line"] - 1].startswith("def ok(")
    assert settings["config"]["task_acks_late"] is False


def test_config_reaches_tasks_and_worker(tmp_path: Path) -> None:
    config = {"task_acks_late": True, "worker_prefetch_multiplier": 1, "broker_transport_options": {"visibility_timeout": 77}}
    with bench(tmp_path) as run:
        run.ready_worker("solo", config=config)
        (settings,) = kinds(run.records(), "settings")
        assert settings["tasks"]["shop.ok"]["acks_late"] is True
        assert settings["config"]["worker_prefetch_multiplier"] == 1
        assert settings["config"]["visibility_timeout"] == 77


def test_an_injected_copy_keeps_the_message_and_a_retry_of_it_does_not(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        run.send({"send": "shop.retry_by_itself"})
        raw = run.redis.client().lrange("shop", 0, -1)[0]
        copy = json.loads(raw)
        copy["headers"]["celery_harness_copy"] = 3
        copy["properties"]["delivery_tag"] = str(uuid.uuid4())
        run.redis.client().rpush("shop", json.dumps(copy))
        worker = run.ready_worker("solo", retry_divisor=200)
        run.wait_record("end", count=4, process=worker)
        delivered = kinds(run.records(), "deliver")
    firsts = [r for r in delivered if r["r"] == 0]
    assert sorted(r["copy"] for r in firsts) == [0, 3]
    assert len({r["msg"] for r in firsts}) == 1
    assert [r["copy"] for r in delivered if r["r"] == 1] == [0, 0]
    assert len({r["msg"] for r in delivered if r["r"] == 1}) == 2


def test_a_killed_child_is_a_start_without_an_end_and_a_failure_seen_by_the_main_process(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        worker = run.ready_worker("prefork", concurrency=1)
        run.send({"send": "shop.slow", "args": [60]})
        (start,) = run.wait_record("start", process=worker)
        os.kill(start["pid"], signal.SIGKILL)
        (failed,) = run.wait_record("failed", process=worker)
        assert failed["id"] == start["id"]
        assert failed["e"].endswith("WorkerLostError")
        assert kinds(run.records(), "end") == []


def test_children_end_with_a_killed_main_process_and_the_worker_with_its_parent(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        worker = run.ready_worker("prefork")
        run.send({"send": "shop.slow", "args": [60]})
        run.wait_record("start", process=worker)
        children = [r["pid"] for r in kinds(run.records(), "child_up")]
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(60)
        wait_for(lambda: not any(_running(pid) for pid in children), "the children's end")
        assert len(children) == 2
        run.records()  # asserts that no line is torn


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends while it is looked at
        return False


def test_group_kills_under_load_leave_whole_journals(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        calls = [[n, 0, 0] for n in range(1, 1501)]
        producer = run.producer([{"send": "shop.late"}], calls)
        tell(producer, "go 0")
        for number in range(3):
            worker = run.ready_worker("prefork", name=f"w-{number}")
            run.wait_record("end", count=40 * (number + 1))
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(60)
        records: list[Any] = run.records()
        delivered = {r["d"] for r in kinds(records, "deliver")}
        assert {r["d"] for r in kinds(records, "start", "end", "ack")} <= delivered
        held = {json.loads(v)[0]["headers"]["id"] for v in run.redis.client().hvals("unacked")}
        assert not held & {r["id"] for r in kinds(records, "ack")}
