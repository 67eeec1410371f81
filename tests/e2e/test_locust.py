"""`celery-harness load` with real Locust processes on a real Redis: what Locust counts is what the report says."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.run.fold import read_history
from tests.e2e.locust_support import SYSTEM, USERS, failures, of_all, rows, scenario
from tests.e2e.support import Project, processes_of, project, wait_until
from tests.parts import parts

METRICS = {"publish": "publish_latency", "queue wait": "queue_wait", "run": "run_time", "end to end": "end_to_end_latency"}


def samples(folder: Path) -> dict[str, list[float]]:
    """Type of request -> seconds, read from the run's journals."""
    history = read_history(folder, t0=0.0)
    calls, messages = history.calls.values(), history.messages.values()
    starts = {m.id: [d.start for d in m.deliveries if d.start is not None] for m in messages}
    return {
        "publish": [m.ok - m.begun for m in messages if m.ok is not None and m.begun is not None],
        "queue wait": [min(starts[m.id]) - m.begun for m in messages if starts[m.id] and m.begun is not None],
        "run": [d.end - d.start for d in history.deliveries.values() if d.end is not None and d.start is not None],
        "end to end": [max(d.end or 0.0 for m in c.messages for d in m.deliveries) - (c.sent or 0.0) for c in calls],
    }


def locusts(share: float, seconds: list[float]) -> float:
    """A percentile as Locust takes it, in ms: of those that are not among the slowest ones the slowest, by `int(n * share)`."""
    wanted = int(len(seconds) * share)
    return sorted(seconds)[min(wanted, len(seconds) - 1)] * 1000


def agree(made: Project, prefix: Path | None = None) -> dict[str, Any]:
    """Counts exactly; percentiles as far as Locust's rounding (whole ms, two digits) lets them. The result."""
    result, latest = made.result(), made.folder / "reports" / "latest"
    found, own = rows(prefix or latest / "locust"), samples(latest / "journal" / "faults")
    for kind, metric in METRICS.items():
        summary = of_all(result, metric)
        assert int(found[kind]["Request Count"]) == summary["count"] == len(own[kind]), kind
        assert float(found[kind]["Max Response Time"]) == pytest.approx(summary["max"] * 1000, abs=0.1), kind
        for name, share in {"50%": 0.5, "95%": 0.95, "99%": 0.99}.items():
            assert float(found[kind][name]) == pytest.approx(locusts(share, own[kind]), rel=0.051, abs=1), (kind, name)
    assert int(found["publish"]["Request Count"]) == result["calls"]
    return result


def test_locusts_numbers_are_those_of_the_report(tmp_path: Path) -> None:
    made = project(tmp_path, users=USERS)
    done = made.run("load", str(scenario(made, locust={"file": "users.py", "users": 3, "for": "4s"})))
    assert done.returncode == 0, done.stdout + done.stderr
    result = agree(made)
    assert result["calls"] > 5
    assert result["generator"]["kind"] == "locust" and not result["generator"]["bottleneck"]
    assert "Run time limit" in (tmp_path / "reports/latest/logs/locust.log").read_text()
    assert not processes_of(tmp_path)


@pytest.mark.exhaustive
def test_two_processes_number_their_calls_without_a_clash(tmp_path: Path) -> None:
    made = project(tmp_path, users=USERS)
    path = made.scenario(runtime="processes", system=SYSTEM)
    prefix = tmp_path / "mine" / "stats"
    arguments = ("--locustfile", "users.py", "--users", "4", "--spawn-rate", "4", "--run-time", "5s", "--processes", "2")
    done = made.run("load", str(path), *arguments, "--csv", str(prefix))
    assert done.returncode == 0, done.stdout + done.stderr
    agree(made, prefix)
    assert not processes_of(tmp_path)


#: `make test` has them on another host, in test_locust_hosts.py.
@pytest.mark.exhaustive
def test_workers_of_locust_that_somebody_else_starts(tmp_path: Path, free_port: int) -> None:
    made, port = project(tmp_path, users=USERS), free_port
    path = made.scenario(runtime="processes", system=SYSTEM)
    arguments = ("--locustfile", "users.py", "--users", "2", "--run-time", "5s", "--master-port", str(port), "--expect-workers", "2")
    harness = made.command("load", str(path), *arguments)
    workers: list[subprocess.Popen[bytes]] = []
    try:
        agent = wait_until(lambda: _settings_of_locust(tmp_path), "Locust's master runs", 60)
        for _ in range(2):
            command = [sys.executable, "-m", "celery_harness_agent", "locust", "-f", "users.py", "--worker", f"--master-port={port}"]
            workers.append(subprocess.Popen(command, cwd=tmp_path, env=agent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        out, err = harness.communicate(timeout=90)
        assert harness.returncode == 0, out + err
        for worker in workers:
            assert worker.wait(20) == 0
    finally:
        for process in (harness, *workers):
            if process.poll() is None:
                process.kill()
                process.wait()
    agree(made)


def _settings_of_locust(folder: Path) -> dict[str, str] | None:
    """The environment of the master, but for what makes it the harness's own child."""
    for process in processes_of(folder):
        if "locust" in process.cmdline() and "--master" in process.cmdline():
            return {name: value for name, value in process.environ().items() if name != "CELERY_HARNESS_PARENT"}
    return None


SHAPE = (
    USERS
    + """

from locust import HttpUser, LoadTestShape


class Visitor(HttpUser):
    host = "http://127.0.0.1:PORT"
    wait_time = constant(0.2)
    fixed_count = 1

    @task
    def look(self):
        self.client.get("/")


class Short(LoadTestShape):
    def tick(self):
        return (3, 10) if self.get_run_time() < 4 else None
"""
)


@contextmanager
def web_page() -> Iterator[tuple[int, list[str]]]:
    """(its port, what was asked for)."""
    asked: list[str] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.exhaustive
def test_a_shape_says_when_it_is_over_and_other_users_run_beside(tmp_path: Path) -> None:
    with web_page() as (port, asked):
        made = project(tmp_path, users=SHAPE.replace("PORT", str(port)))
        # A user that is stopped ends what it does: otherwise a request that is on its way is asked and not counted.
        spec = {"file": "users.py", "options": ["--stop-timeout=10"]}
        path = scenario(made, system={**SYSTEM, "egress": [f"127.0.0.1:{port}"]}, locust=spec)
        done = made.run("load", str(path))
        assert done.returncode == 0, done.stdout + done.stderr
    agree(made)
    assert int(rows(tmp_path / "reports/latest/locust")["GET"]["Request Count"]) == len(asked) > 0


@pytest.mark.parametrize("tolerant", parts([False, True], quick=[False]))
def test_what_fails_fails_in_locusts_statistics_too(tmp_path: Path, tolerant: bool) -> None:
    app = """
from celery import Celery

app = Celery("shop", broker="redis://localhost:6379/0")


@app.task(name="shop.work")
def work(n):
    if n == 2:
        raise ValueError("two")
    import time
    time.sleep(n)
"""
    users = USERS.replace('self.celery.send("shop.work", 1)', 'self.celery.send_and_wait("shop.work", 3, timeout=0.5)')
    made = project(tmp_path, users=users)
    (tmp_path / "shop.py").write_text(app)
    spec: dict[str, Any] = {"file": "users.py", "users": 2, "for": "3s"}
    if tolerant:
        done = made.run("load", str(scenario(made, locust={**spec, "options": ["--exit-code-on-error=0"]})))
        assert done.returncode == 0, done.stdout + done.stderr
        return
    done = made.run("load", str(scenario(made, locust=spec)))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Locust calls its own load failed" in done.stdout
    assert re.fullmatch(r"Locust ended with exit 1: \d+ of \d+ requests failed, 0 exceptions", made.result()["generator"]["failed"])
    found = failures(tmp_path / "reports/latest/locust")
    twos = found["run", "TaskFailed('builtins.ValueError')"]
    ends = found["end to end", "TaskFailed('builtins.ValueError')"]
    assert twos > 0 and 0 <= twos - ends <= spec["users"], "each user may be stopped between the two"
    assert found["end to end", "TaskTimeout('not ended after 0.5 s')"] > 0


@pytest.mark.exhaustive
def test_a_run_is_what_its_scenario_says_and_not_what_locusts_own_files_and_variables_do(tmp_path: Path) -> None:
    made = project(tmp_path, users=USERS)
    (tmp_path / "locust.conf").write_text("stop-timeout = no number\n")
    made.env.update(LOCUST_RUN_TIME="1s", LOCUST_EXIT_CODE_ON_ERROR="9", LOCUST_USERS="no number", HOME=str(tmp_path))
    (tmp_path / ".locust.conf").write_text("only-summary = no\nno-such-option = 1\nusers = many\n")
    done = made.run("load", str(scenario(made, locust={"file": "users.py", "for": "4s"})))
    assert done.returncode == 0, done.stdout + done.stderr
