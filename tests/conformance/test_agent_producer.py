"""The producer: modes, arguments, options, failures; and the programs `check` and `call`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.agent_support import Bench, Record, bench, kinds, tell

ITEM: Record = {"send": "shop.ok", "args": "shop:arguments"}


def calls(count: int, gap: int = 0) -> list[list[int]]:
    return [[n, 0, (n - 1) * gap] for n in range(1, count + 1)]


def arguments_of(run: Bench) -> dict[int, str]:
    return {r["no"]: r["args"] for r in kinds(run.records(), "call")}


def finish(run: Bench, process: Any) -> None:
    tell(process, "stop")
    assert process.wait(60) == 0, run.logs()
    assert kinds(run.records(), "down")


def test_the_same_arguments_in_every_mode(tmp_path: Path) -> None:
    found = []
    with bench(tmp_path) as run:
        for mode, plan in (("timed", {}), ("fast", {"order": [5, 3, 1, 2, 4]}), ("single", {})):
            run.settings["journal"] = str(tmp_path / mode)
            here = Bench(run.folder, run.redis, run.settings, run.processes)
            here.__class__ = type("At", (Bench,), {"journal": tmp_path / mode})
            process = here.producer([ITEM], calls(5), mode, plan=plan)
            tell(process, f"go {time.monotonic_ns()}")
            if mode == "single":
                for number in (4, 2, 1, 5, 3):
                    tell(process, f"call {number}")
            here.wait_record("call_ok", process=process, count=5)
            finish(here, process)
            found.append(arguments_of(here))
            if mode != "timed":
                assert list(arguments_of(here)) == (plan.get("order") or [4, 2, 1, 5, 3])
            assert len(kinds(here.records(), "load_done")) == (0 if mode == "single" else 1)
    assert found[0] == found[1] == found[2]
    assert len(set(found[0].values())) > 1


def test_another_seed_gives_other_arguments(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        found = []
        for seed in (1, 2):
            process = run.producer([ITEM], calls(5), "fast", name=f"p{seed}", plan={"seed": seed})
            tell(process, "go 0")
            run.wait_record("call_ok", count=5 * seed)
            finish(run, process)
            found.append([r["args"] for r in kinds(run.records(), "call")][-5:])
    assert found[0] != found[1]


def test_timed_calls_are_sent_when_due(tmp_path: Path) -> None:
    gap = 20_000_000
    with bench(tmp_path) as run:
        process = run.producer([ITEM], calls(25, gap), "timed")
        start = time.monotonic_ns() + 100_000_000
        tell(process, f"go {start}")
        (done,) = run.wait_record("load_done", process=process)
        finish(run, process)
        sent = kinds(run.records(), "call")
        assert [r["no"] for r in sent] == list(range(1, 26))
        assert all(r["m"] >= start + r["due"] for r in sent)
        assert done["late"] == sum(r["late"] for r in sent)
        assert [r["late"] for r in sent] == [int(r["m"] - start - r["due"] > 50_000_000) for r in sent]


def test_what_is_over_a_minute_behind_is_dropped_and_counted(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        process = run.producer([ITEM], [[1, 0, 0], [2, 0, 0], [3, 0, 61_000_000_000]], "timed")
        tell(process, f"go {time.monotonic_ns() - 61_000_000_000}")
        (done,) = run.wait_record("load_done", process=process)
        finish(run, process)
        assert (done["dropped"], [r["no"] for r in kinds(run.records(), "call")]) == (2, [3])


def test_late_calls_are_sent_all_the_same(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        process = run.producer([ITEM], calls(5), "timed")
        tell(process, f"go {time.monotonic_ns() - 1_000_000_000}")
        (done,) = run.wait_record("load_done", process=process)
        finish(run, process)
        assert (done["late"], done["dropped"], len(kinds(run.records(), "call_ok"))) == (5, 0, 5)


def test_options_reach_the_broker(tmp_path: Path) -> None:
    items = [
        {"send": "shop.ok", "queue": "other"},
        {"send": "shop.ok", "countdown": 100},
        {"send": "shop.ok", "eta": 200},
        {"send": "shop.ok", "expires": 300},
        {"send": "shop.ok", "priority": 9},
    ]
    with bench(tmp_path) as run:
        started = time.time()
        run.send(*items)
        other, countdown, eta, expires, priority = kinds(run.records(), "publish")
        held = [
            json.loads(raw)
            for key in run.redis.client().keys("*")
            if not key.startswith(b"_")
            for raw in run.redis.client().lrange(key, 0, -1)
        ]
    from datetime import datetime

    assert other["q"] == "other"
    assert 99 < datetime.fromisoformat(countdown["eta"]).timestamp() - started < 130
    assert 199 < datetime.fromisoformat(eta["eta"]).timestamp() - started < 230
    assert 299 < datetime.fromisoformat(expires["expires"]).timestamp() - started < 330
    by_id = {h["headers"]["id"]: h for h in held}
    assert by_id[priority["id"]]["properties"]["priority"] == 9
    assert by_id[eta["id"]]["headers"]["eta"] == eta["eta"] == eta["asked"]
    for publish in (other, countdown, eta, expires, priority):
        headers = by_id[publish["id"]]["headers"]
        assert headers["celery_harness_message"] == publish["msg"]
        assert headers["celery_harness_call"] == publish["call"]


def test_failed_and_unknown_calls(tmp_path: Path) -> None:
    """What cannot be encoded never left; what met a dead broker may have."""
    with bench(tmp_path) as run:
        (run.project / "sources.py").write_text("def bad():\n    return [object()], {}\n")
        process = run.producer(
            [{"send": "shop.ok", "args": "sources:bad"}, {"send": "shop.ok"}],
            [[1, 0, 0], [2, 1, 0]],
            "single",
            config={"task_publish_retry": False, "broker_transport_options": {"socket_timeout": 2}},
        )
        tell(process, "call 1")
        (first,) = run.wait_record("call_failed", process=process)
        run.redis.stop()
        tell(process, "call 2")
        failed = run.wait_record("call_failed", process=process, count=2)
        finish(run, process)
    assert (first["no"], first["unknown"]) == (1, 0)
    assert (failed[1]["no"], failed[1]["unknown"]) == (2, 1)


def test_the_producer_ends_with_whoever_speaks_to_it(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        process = run.producer([ITEM], calls(3, 10**12), "timed")
        tell(process, f"go {time.monotonic_ns()}")
        run.wait_record("call_ok", process=process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def test_custom_task_classes_and_routes_count(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        (run.project / "routed.py").write_text(
            "from celery import Celery, Task\napp = Celery('routed')\napp.conf.task_routes = {'routed.work': {'queue': 'by_route'}}\n"
            "class Own(Task):\n    def apply_async(self, args=None, kwargs=None, **options):\n"
            "        return super().apply_async(args, {**(kwargs or {}), 'tenant': 7}, **options)\n\n"
            "@app.task(name='routed.work', base=Own)\ndef work(tenant=0):\n    return tenant\n"
        )
        run.app = "routed:app"
        run.send({"send": "routed.work"})
        (publish,) = kinds(run.records(), "publish")
        assert publish["q"] == "by_route"
        (raw,) = run.redis.client().lrange("by_route", 0, -1)
        import base64

        assert json.loads(base64.b64decode(json.loads(raw)["body"]))[1] == {"tenant": 7}


# --- check and call --------------------------------------------------------------------------------------------------


def test_check_answers_without_a_connection(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        before = run.redis.connections_refused_or_made()
        answer = run.ask(
            "check",
            {"app": "shop:app", "objects": ["shop:arguments"], "tasks": ["shop.ok", "shop.okay"], "retry_patterns": ["shop.*", "bank.*"]},
            config={"broker_transport_options": {"visibility_timeout": 5}, "task_acks_late": True},
        )
        assert run.redis.connections_refused_or_made() == before + 1  # the look itself
    assert answer["ok"] is True
    assert "shop.ok" in answer["tasks"]
    assert (answer["unknown"], answer["unmatched_patterns"]) == (["shop.okay"], ["bank.*"])
    assert answer["settings"]["visibility_timeout"] == 5
    assert answer["settings"]["task_acks_late"] is True
    assert all(answer[name] for name in ("celery", "kombu", "python"))


BROKEN = {
    "import": ("import nothing_of_that_name\n", "import", "nothing_of_that_name", 1),
    "syntax": ("x = 1\ndef f(:\n", "import", "SyntaxError", 2),
    "raises": ("def load():\n    raise RuntimeError('no settings')\nload()\n", "import", "no settings", 2),
    "exits": ("import sys\nsys.exit(3)\n", "import", "SystemExit", 2),
    "no_app": ("app = 7\n", "object", "not a Celery app", None),
    "no_name": ("x = 1\n", "object", "has no app", None),
    "connects": ("import socket\nsocket.create_connection(('127.0.0.1', 9))\n", "connects", "refuses", 2),
}


@pytest.mark.parametrize("case", BROKEN)
def test_check_names_what_is_wrong_with_the_app(tmp_path: Path, case: str) -> None:
    source, kind, text, line = BROKEN[case]
    with bench(tmp_path) as run:
        (run.project / "bad.py").write_text(source)
        answer = run.ask("check", {"app": "bad:app", "objects": [], "tasks": []})
        error = answer["error"]
        assert (answer["ok"], error["kind"]) == (False, kind)
        assert text in error["what"]
        if line:
            assert (error["file"], error["line"]) == (str(run.project / "bad.py"), line)
            assert "bad.py" in error["traceback"]
        assert "celery_harness_agent" not in error["traceback"]
        assert "importlib" not in error["traceback"]


@pytest.mark.parametrize("path", ["shop:nothing", "nowhere:thing"])
def test_check_names_objects_that_are_not_there(tmp_path: Path, path: str) -> None:
    with bench(tmp_path) as run:
        answer = run.ask("check", {"app": "shop:app", "objects": [path]})
    assert answer["ok"] is False
    assert path.partition(":")[0] in answer["error"]["what"]


def test_call_calls_and_what_the_user_prints_stays_out_of_the_answer(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        (run.project / "loud.py").write_text(
            "print('hello from the module')\ndef greet(name):\n    print('x')\n    return {'hello': name}\n"
        )
        assert run.ask("call", {"call": "loud:greet", "args": ["Ada"]})["value"] == {"hello": "Ada"}
        failed = run.ask("call", {"call": "shop:broken", "args": ["x"]})
        assert (failed["ok"], failed["error"]["kind"]) == (False, "call")
        assert "nobody called x" in failed["error"]["what"]
        assert failed["error"]["file"] == str(run.project / "shop.py")
        assert run.ask("call", {"call": "shop:gone", "args": []})["error"]["kind"] == "object"
