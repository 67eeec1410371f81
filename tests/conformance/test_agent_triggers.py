"""Each point and each action of armed triggers, on real workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.conformance.agent_support import DEADLINE, PROJECT, Bench, Record, bench, kinds, line_of, wait_for
from tests.parts import parts


def trigger(point: str, action: str, **over: object) -> Record:
    return {"fault": 0, "task": "shop.late", "point": point, "nth": 1, "call": None, "action": action, **over}


def def_line(name: str) -> int:
    lines = (PROJECT / "shop.py").read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.startswith(f"def {name}("))


def late(count: int) -> list[Record]:
    return [{"send": "shop.late", "args": [n]} for n in range(1, count + 1)]


POOLS, POINTS = ("prefork", "threads", "solo"), ("start", "end", "before_ack", "after_ack")
#: Each point, and each pool.
QUICK = [("prefork", "start"), ("prefork", "before_ack"), ("threads", "end"), ("solo", "after_ack")]


@pytest.mark.parametrize(("pool", "point"), parts([(pool, point) for point in POINTS for pool in POOLS], quick=QUICK))
def test_kill_group_strikes_once_at_the_nth(tmp_path: Path, pool: str, point: str) -> None:
    """Concurrency 1, so the third match is the third call; what is journalled by then shows where the blow fell."""
    with bench(tmp_path) as run:
        run.settings["triggers"] = [trigger(point, "kill_group", nth=3)]
        run.post(*late(5))
        worker = run.ready_worker(pool, concurrency=1, options=("--prefetch-multiplier", "1"))
        assert worker.wait(DEADLINE) == -signal.SIGKILL
        (strike,) = kinds(run.records(), "strike")
        assert (strike["fault"], strike["point"], strike["action"], strike["n"]) == (0, point, "kill_group", "shop.late")
        assert (strike["file"], strike["line"]) == (str(run.project / "shop.py"), def_line("late"))
        assert strike["stack"] and strike["stack"][0].startswith(f"{strike['file']}:{strike['line']} ")
        struck = {r["k"] for r in run.records() if r.get("d") == strike["d"]}
        expected = {"start": {"start"}, "end": {"start", "end"}, "before_ack": {"start", "end"}, "after_ack": {"start", "end", "ack"}}
        assert struck == {"deliver", "strike", *expected[point]}
        (delivery,) = (r for r in kinds(run.records(), "deliver") if r["d"] == strike["d"])
        assert delivery["call"] == 3
        if point == "before_ack":  # the counter knows nothing of points
            _finish_without_another_strike(run, pool)


def _finish_without_another_strike(run: Bench, pool: str) -> None:
    """A second worker with the same triggers and counters: a trigger fires once over all workers."""
    worker = run.ready_worker(pool, name="w-2", concurrency=1)
    run.wait_record("end", lambda r: r["in"] and r["m"] > 0, worker, count=4)
    assert len(kinds(run.records(), "strike")) == 1
    assert run.stop(worker) == 0


def test_kill_child_leaves_the_main_process(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        run.settings["triggers"] = [trigger("start", "kill_child", nth=2)]
        run.post(*late(3))
        worker = run.ready_worker(concurrency=1)
        run.wait_record("failed", process=worker)
        run.wait_record("end", process=worker, count=2)
        (strike,) = kinds(run.records(), "strike")
        assert strike["pid"] != worker.pid
        assert worker.poll() is None
        assert run.stop(worker) == 0


def test_pause_group_stops_all_processes(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        run.settings["triggers"] = [trigger("start", "pause_group")]
        run.post(*late(1))
        worker = run.ready_worker(concurrency=2)
        (strike,) = run.wait_record("strike")
        pids = [worker.pid, *(r["pid"] for r in kinds(run.records(), "child_up"))]
        assert strike["pid"] in pids
        wait_for(lambda: all(psutil.Process(p).status() == psutil.STATUS_STOPPED for p in pids), "SIGSTOP in all processes")
        assert kinds(run.records(), "end") == []
        os.killpg(worker.pid, signal.SIGCONT)
        run.wait_record("end", process=worker)
        assert len(kinds(run.records(), "strike")) == 1


@pytest.mark.parametrize("point", parts(["start", "before_ack"], quick=["before_ack"]))
def test_wait_holds_the_task_until_it_is_released(tmp_path: Path, point: str) -> None:
    with bench(tmp_path) as run:
        run.settings["triggers"] = [trigger(point, "wait", fault=4)]
        run.post(*late(1))
        worker = run.ready_worker(concurrency=1)
        (waiting,) = run.wait_record("waiting", process=worker)
        wait_for((run.triggers / "4.waiting").exists, "4.waiting")
        assert kinds(run.records(), "released", "ack") == []
        (run.triggers / "4.go").touch()
        (released,) = run.wait_record("released", process=worker)
        run.wait_record("ack", process=worker)
        assert (waiting["fault"], waiting["d"]) == (released["fault"], released["d"])
        (strike,) = kinds(run.records(), "strike")
        assert strike["m"] <= waiting["m"] < released["m"]


#: Pool, which hit of an execution, which execution or hit: what is written by then.
LINES = [
    ("prefork", "#2", 1, {"a": 1}),
    ("prefork", "#2", 2, {"a": 3, "b": 1}),
    ("prefork", "", 5, {"a": 3, "b": 1}),
    ("threads", "#3", 2, {"a": 3, "b": 2}),
    ("solo", "#2", 2, {"a": 3, "b": 1}),
]


@pytest.mark.parametrize(("pool", "suffix", "nth", "written"), parts(LINES, quick=LINES[1:4]))
def test_line_points(tmp_path: Path, pool: str, suffix: str, nth: int, written: dict[str, int]) -> None:
    """The blow falls just before the line runs: what the user's file holds is the proof."""
    line = line_of("steps")
    with bench(tmp_path) as run:
        run.settings["triggers"] = [trigger(f"shop.py:{line}{suffix}", "kill_group", task="shop.st*", nth=nth)]
        run.post({"send": "shop.late"}, {"send": "shop.steps", "args": ["a"]}, {"send": "shop.steps", "args": ["b"]})
        worker = run.ready_worker(pool, concurrency=1, options=("--prefetch-multiplier", "1"))
        assert worker.wait(DEADLINE) == -signal.SIGKILL
        (strike,) = kinds(run.records(), "strike")
        assert (strike["file"], strike["line"]) == (str(run.project / "shop.py"), line)
        assert strike["stack"] == [f"{run.project / 'shop.py'}:{line} steps"]
        found = {p.name: len(p.read_text().splitlines()) for p in (run.folder / "a", run.folder / "b") if p.exists()}
        assert found == written


def test_line_points_in_concurrent_threads_count_each_execution_alone(tmp_path: Path) -> None:
    """Four executions at once: the second hit of one execution is never two first hits of two."""
    with bench(tmp_path) as run:
        run.settings["triggers"] = [trigger(f"shop.py:{line_of('steps')}#4", "kill_group", task="shop.steps")]
        names = [f"n{n}" for n in range(8)]
        run.post(*({"send": "shop.steps", "args": [name]} for name in names))
        worker = run.ready_worker("threads", concurrency=4)
        run.wait_record("end", process=worker, count=8)
        assert kinds(run.records(), "strike") == []
        assert [len((run.folder / n).read_text().splitlines()) for n in names] == [3] * 8
        assert run.stop(worker) == 0


def test_a_given_call_and_a_given_task(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        run.settings["triggers"] = [trigger("start", "wait", call=3), trigger("start", "kill_group", fault=1, task="shop.nothing*")]
        run.post(*late(4))
        worker = run.ready_worker(concurrency=1)
        (waiting,) = run.wait_record("waiting", process=worker)
        (delivery,) = (r for r in kinds(run.records(), "deliver") if r["d"] == waiting["d"])
        assert delivery["call"] == 3
        (run.triggers / "0.go").touch()
        run.wait_record("end", process=worker, count=4)


def test_one_counter_over_all_workers(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        run.settings["triggers"] = [trigger("start", "wait", nth=10)]
        workers = [run.ready_worker(name=f"w-{n}", concurrency=2) for n in range(2)]
        run.post(*late(30))
        (waiting,) = run.wait_record("waiting")
        run.wait_record("end", count=29)
        (run.triggers / "0.go").touch()
        run.wait_record("end", count=30)
        records = run.records()
        before = [r for r in kinds(records, "start") if r["m"] < waiting["m"]]
        assert len(before) >= 10
        assert len(kinds(records, "strike")) == 1
        assert len({r["pid"] for r in kinds(records, "start")}) > 1
        assert [run.stop(w) for w in workers] == [0, 0]


def test_a_bad_point_ends_the_worker_with_a_word(tmp_path: Path) -> None:
    with bench(tmp_path) as run:
        run.settings["triggers"] = [trigger("begin", "kill_group")]
        worker = run.worker("solo")
        assert worker.wait(DEADLINE) == 78
        assert "is no point" in run.logs()
