"""Messages that were made before the load: byte for byte what apply_async sends, and what becomes of them where sending fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.agent_support import AGENT, DEADLINE, HERE, RedisServer, bench, kinds, tell
from tests.unit.brokers.rabbit_server import RabbitServer

ITEM = {"send": "shop.ok", "args": "shop:arguments", "prepare": True}


def run_program(url: str) -> dict[str, list[dict[str, Any]]]:
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("CELERY_")}, "PYTHONPATH": str(AGENT)}
    command = [sys.executable, str(HERE / "prepared_program.py"), url]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=2 * DEADLINE, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def assert_alike(answer: dict[str, list[dict[str, Any]]]) -> None:
    assert len(answer) == 11
    for name, (sent, prepared) in answer.items():
        messages = 2 if name == "a message before it" else 1
        assert len(sent["holds"]) == messages, name
        assert prepared["holds"] == sent["holds"], name
        assert [record[0] for record in sent["records"]] == ["publish", "published"] * messages
        assert prepared["records"] == sent["records"], name
        assert prepared["id"] == sent["id"]


def test_redis_holds_the_same_bytes(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    try:
        assert_alike(run_program(server.url()))
    finally:
        server.stop()


def test_rabbitmq_holds_the_same_bytes(rabbit: RabbitServer) -> None:
    assert_alike(run_program(rabbit.url("worker")))


# --- through a real producer -----------------------------------------------------------------------------------------


def test_messages_lie_ready_and_are_sent_when_due(tmp_path: Path) -> None:
    gap = 20_000_000
    with bench(tmp_path) as run:
        process = run.producer([ITEM], [[n, 0, (n - 1) * gap] for n in range(1, 11)], "timed")
        assert not kinds(run.records(), "publish", "published", "call")
        start = time.monotonic_ns() + 100_000_000
        tell(process, f"go {start}")
        (done,) = run.wait_record("load_done", process=process)
        tell(process, "stop")
        assert process.wait(DEADLINE) == 0, run.logs()
        records = [r for r in run.records() if r["role"] == "producer"]
        sent, begun, over, ok = (kinds(records, kind) for kind in ("call", "publish", "published", "call_ok"))
        assert [r["no"] for r in sent] == list(range(1, 11)) == [r["call"] for r in begun]
        assert [r["id"] for r in begun] == [r["id"] for r in ok]
        assert [r["msg"] for r in begun] == [r["msg"] for r in over]
        for call, first, last, end in zip(sent, begun, over, ok, strict=True):
            assert start + call["due"] <= call["m"] <= first["m"] <= last["m"] <= end["m"]
        held = [json.loads(raw)["headers"] for raw in run.redis.client().lrange("shop", 0, -1)]
        assert {h["celery_harness_message"]: h["celery_harness_call"] for h in held} == {r["msg"]: r["call"] for r in begun}
        assert done["dropped"] == 0


def test_arguments_are_those_of_the_plain_load(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        found = []
        for name, item in (("plain", {**ITEM, "prepare": False}), ("prepared", ITEM)):
            process = run.producer([item], [[n, 0, 0] for n in range(1, 6)], "timed", name=name, journal=str(tmp_path / "journal"))
            tell(process, f"go {time.monotonic_ns()}")
            run.wait_record("load_done", lambda r, pid=process.pid: r["in"].startswith(f"{pid}-"), process)
            found.append([(r["no"], r["args"]) for r in kinds(run.records(), "call") if r["in"].startswith(f"{process.pid}-")])
    assert found[0] == found[1]
    assert len(set(found[0])) == 5


@pytest.mark.parametrize("setting", ["expires=60", "countdown=5"])
def test_a_task_that_counts_from_the_publish_is_refused(tmp_path: Path, setting: str) -> None:
    with bench(tmp_path) as run:
        (run.project / "timed.py").write_text(
            "from celery import Celery, Task\napp = Celery('timed')\n"
            "class Own(Task):\n    def apply_async(self, args=None, kwargs=None, **options):\n"
            f"        return super().apply_async(args, kwargs, {setting}, **options)\n\n"
            "@app.task(name='timed.work', base=Own)\ndef work():\n    pass\n"
        )
        settings = run.write_settings(
            "producer",
            "p",
            app="timed:app",
            plan={"seed": 1, "items": [{"send": "timed.work", "prepare": True}], "calls": [[1, 0, 0]], "mode": "timed", "order": []},
        )
        process = run.start(["producer"], settings, stdin=subprocess.PIPE)
        assert process.wait(DEADLINE) == 70
        word = "expires" if "expires" in setting else "eta"
        assert f"timed.work sets an `{word}`, which counts from the publish: leave out `prepare`" in run.logs()


def test_what_cannot_be_encoded_fails_when_it_is_due(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        (run.project / "sources.py").write_text("def bad():\n    return [object()], {}\n")
        run.send({"send": "shop.ok", "args": "sources:bad", "prepare": True}, ITEM, mode="timed")
        (failed,) = kinds(run.records(), "call_failed")
        assert (failed["no"], failed["unknown"]) == (1, 0)
        assert [r["no"] for r in kinds(run.records(), "call_ok")] == [2]


def test_a_broker_that_is_gone_is_tried_again_by_the_policy_and_then_unknown(tmp_path: Path) -> None:
    config = {
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0},
        "broker_transport_options": {"socket_timeout": 2},
    }
    with bench(tmp_path) as run:
        process = run.producer([ITEM], [[1, 0, 0], [2, 0, 100_000_000]], "timed", config=config)
        run.redis.stop()
        tell(process, f"go {time.monotonic_ns()}")
        failed = run.wait_record("call_failed", process=process, count=2)
        assert [(r["no"], r["unknown"], r["e"]) for r in failed] == [(n, 1, "kombu.exceptions.OperationalError") for n in (1, 2)]
        assert not kinds(run.records(), "published", "call_ok")


def test_a_lost_connection_is_made_again(tmp_path: Path) -> None:
    """As apply_async would: the retry policy reconnects, and nobody notices but the broker."""
    with bench(tmp_path) as run:
        process = run.producer([ITEM], [[1, 0, 0], [2, 0, 400_000_000]], "timed")
        tell(process, f"go {time.monotonic_ns()}")
        run.wait_record("call_ok", process=process)
        client = run.redis.client()
        client.client_kill_filter(_type="normal", skipme=True)
        run.wait_record("call_ok", process=process, count=2)
        assert client.llen("shop") == 2


# --- several publishers ------------------------------------------------------------------------------------------------


def test_publishers_have_connections_of_their_own_and_take_turns(tmp_path: Path) -> None:
    """More of them than the app's pool has connections; each call's publisher is the same in every run."""
    items = [{"send": "shop.ok"}, {"send": "shop.ok", "publishers": 3}, {**ITEM, "publishers": 2}]
    calls = [[n, (n - 1) % 3, (n - 1) * 1_000_000] for n in range(1, 31)]
    with bench(tmp_path) as run:
        process = run.producer(items, calls, "timed", config={"broker_pool_limit": 1})
        tell(process, f"go {time.monotonic_ns()}")
        (done,) = run.wait_record("load_done", process=process)
        connected = run.redis.client().client_list(_type="normal")
        tell(process, "stop")
        assert process.wait(DEADLINE) == 0, run.logs()
        sent = {r["no"]: r for r in kinds(run.records(), "call")}
        assert len(kinds(run.records(), "call_ok")) == 30 == run.redis.client().llen("shop")
    taken: dict[int, list[int]] = {}
    for number in sorted(sent):
        taken.setdefault((number - 1) % 3, []).append(sent[number]["p"])
    assert taken == {0: [0] * 10, 1: [1, 2, 3] * 3 + [1], 2: [4, 5] * 5}
    assert len(connected) >= 6 + 1
    for publisher in range(6):
        own = sorted((r for r in sent.values() if r["p"] == publisher), key=lambda r: r["m"])
        frees = [r["free"] for r in own]
        assert frees == sorted(frees)
        assert all(r["free"] >= 0 for r in own)
    assert done["dropped"] == 0


def test_a_trace_says_what_is_sent(tmp_path: Path) -> None:
    own = [["shop.add", [1, 2], None], [None, [], {"x": 5}], [None, None, None]]
    with bench(tmp_path) as run:
        process = run.producer([{"send": "shop.ok", "args": [1], "own": own}], [[n, 0, 0] for n in (1, 2, 3)], "timed")
        tell(process, f"go {time.monotonic_ns()}")
        run.wait_record("load_done", process=process)
        sent = [(r["n"], json.loads(r["args"])) for r in kinds(run.records(), "call")]
        assert sent == [("shop.add", [[1, 2], {}]), ("shop.ok", [[], {"x": 5}]), ("shop.ok", [[1], {}])]
        assert [r["n"] for r in kinds(run.records(), "publish")] == ["shop.add", "shop.ok", "shop.ok"]


@pytest.mark.parametrize(
    ("raised", "named"), [("SystemExit(0)", "builtins.SystemExit"), ("asyncio.CancelledError()", "asyncio.exceptions.CancelledError")]
)
@pytest.mark.parametrize("publishers", [1, 2])
def test_a_thread_that_the_users_code_ends_ends_the_load(tmp_path: Path, raised: str, named: str, publishers: int) -> None:
    with bench(tmp_path, app="ending:app") as run:
        (run.project / "ending.py").write_text(
            "import asyncio\nfrom celery import Celery, Task\napp = Celery('ending')\ncalls = []\n"
            "class Own(Task):\n    def apply_async(self, args=None, kwargs=None, **options):\n"
            f"        calls.append(1)\n        if len(calls) == 4:\n            raise {raised}\n"
            "        return super().apply_async(args, kwargs, **options)\n\n"
            "@app.task(name='ending.work', base=Own)\ndef work():\n    pass\n"
        )
        plan = [[n, 0, n * 10_000_000] for n in range(1, 41)]
        process = run.producer([{"send": "ending.work", "publishers": publishers}], plan, "timed")
        tell(process, f"go {time.monotonic_ns()}")
        assert process.wait(DEADLINE) == 70, run.logs()
        assert not kinds(run.records(), "load_done")
        assert len(kinds(run.records(), "call_ok")) < 40
        assert f"the producer cannot go on with its load: {named}\n" in run.logs()


def test_what_other_threads_publish_meanwhile_goes_its_own_way(tmp_path: Path) -> None:
    """Such as a heartbeat of the app's: only what the call itself publishes is held back, and only that is of the call."""
    with bench(tmp_path, app="beating:app") as run:
        (run.project / "beating.py").write_text(
            "import threading\nfrom celery import Celery, Task\napp = Celery('beating')\n"
            "app.conf.task_routes = {'beating.beat': {'queue': 'beats'}}\n\n@app.task(name='beating.beat')\ndef beat():\n    pass\n\n"
            "class Own(Task):\n    def apply_async(self, args=None, kwargs=None, **options):\n"
            "        other = threading.Thread(target=beat.delay)\n        other.start()\n        other.join()\n"
            "        return super().apply_async(args, kwargs, **options)\n\n"
            "@app.task(name='beating.work', base=Own)\ndef work():\n    pass\n"
        )
        process = run.producer([{"send": "beating.work", "prepare": True}], [[n, 0, 0] for n in range(1, 4)], "timed")
        client = run.redis.client()
        assert client.llen("beats") == 3, "they are there before the load begins"
        early = kinds(run.records(), "publish", "published")
        assert [(r["k"], r["call"]) for r in early if r["k"] == "publish"] == [("publish", 0)] * 3
        assert len(early) == 6
        tell(process, f"go {time.monotonic_ns()}")
        run.wait_record("load_done", process=process)
        assert (client.llen("beats"), client.llen("celery")) == (3, 3)
        assert sorted(r["call"] for r in kinds(run.records(), "publish")) == [0, 0, 0, 1, 2, 3]
