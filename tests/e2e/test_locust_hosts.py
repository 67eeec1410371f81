"""Locust on more than one machine: workers that share neither a file, nor a loopback, nor a clock with whom they work for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.hosts import Host, Network, listening, network
from tests.e2e.locust_support import ENOUGH, REPOSITORY, SYSTEM, USERS, rows
from tests.e2e.support import APP, Project, processes_of, project, wait_until
from tests.e2e.test_locust import agree

__all__ = ["network"]

_DAY = 86_400
OF_REPOSITORY = {"PYTHONPATH": str(REPOSITORY)}


def far(folder: Path, users: str = USERS) -> Path:
    """What there is on another machine: app and locustfile."""
    folder.mkdir()
    (folder / "shop.py").write_text(APP)
    (folder / "users.py").write_text(users)
    return folder


class Asked:
    """A run that waits for Locust workers."""

    def __init__(self, made: Project, port: int, *options: str, **system: Any) -> None:
        self.folder, self.port = made.folder, port
        path = made.scenario(runtime="processes", system={**SYSTEM, **system})
        arguments = ("--locustfile", "users.py", "--run-time", "3s", "--master-port", str(port), *options)
        self.process = made.command("load", str(path), *arguments)

    def file(self) -> Path:
        """The one that it has for them: the folder of its settings is told to its master alone."""
        return Path(wait_until(self._file, "the run waits for workers", 60))

    def _file(self) -> str | None:
        for process in processes_of(self.folder):
            if "--master" in process.cmdline():
                file = Path(process.environ()["CELERY_HARNESS_AGENT"]).with_name("locust-worker.json")
                return str(file) if file.exists() else None
        assert self.process.poll() is None, self.process.communicate()
        return None

    def ended(self) -> tuple[int, str]:
        """Exit code, and all that it said."""
        try:
            out, err = self.process.communicate(timeout=90)
        finally:
            self.process.kill()
        return self.process.returncode, out + err


def brought(run: Asked, net: Network, host: Host, folder: Path) -> Path:
    """What the how-to says: the file is copied, and two ports are tunnelled."""
    file = folder / "locust-worker.json"
    file.write_bytes(run.file().read_bytes())
    document = json.loads(file.read_text())
    net.tunnel(host, run.port, *(port for _, port in document["allow"]))
    return file


def worker(net: Network, host: Host, folder: Path, file: Path, port: int, log: str) -> subprocess.Popen[str]:
    """As the how-to says."""
    command = (sys.executable, "-m", "harness.locust", str(file), "-f", "users.py", "--master-port", str(port))
    return net.start(host, *command, cwd=folder, env=OF_REPOSITORY, log=folder / log)


@pytest.mark.exhaustive
def test_workers_on_another_host_belong_to_the_run_of_their_file(tmp_path: Path, network: Callable[..., Network], free_port: int) -> None:
    """Its clock is a day ahead: what it records is told by the run's clock all the same."""
    net = network(_DAY)
    (host,) = net.hosts
    (tmp_path / "here").mkdir()
    made, there = project(tmp_path / "here", users=USERS), far(tmp_path / "there")
    run = Asked(made, free_port, "--users", "4", "--expect-workers", "2", backend="redis")
    try:
        file = brought(run, net, host, there)
        stale = there / "stale.json"
        stale.write_text(json.dumps({**json.loads(file.read_text()), "token": "of yesterday", "run": "yesterday"}))
        refused = worker(net, host, there, stale, free_port, "stale.log")
        assert refused.wait(60) == 78
        assert "error: this worker has the file of run yesterday, and the master is that of run" in (there / "stale.log").read_text()
        workers = [worker(net, host, there, file, free_port, f"{n}.log") for n in (1, 2)]
        code, said = run.ended()
        logs = "".join((there / f"{n}.log").read_text() for n in (1, 2))
        assert code == 0, said + logs
        assert [one.wait(20) for one in workers] == [0, 0], logs
    finally:
        run.process.kill()
    assert f"Locust waits for 2 workers at 127.0.0.1:{free_port}" in " ".join(said.split())
    result = agree(made)
    assert result["calls"] > 5 and result["fates"] == {"succeeded": result["calls"]}
    told = result["generator"]["elsewhere"]
    found = re.fullmatch(
        rf"{result['calls']} calls were made by 2 Locust workers on \S+, and recorded there; by what is known of the clock there, queue "
        r"wait and end to end of these calls are too long by up to ([\d.e+-]+) ms",
        told,
    )
    assert found, told
    assert float(found[1]) < 1000, "a day would show"
    assert result["environment"]["Calls"] == told
    assert told in (made.folder / "reports/latest/report.html").read_text()
    assert not Path(_file_named(said)).exists(), "the file went with the run"


def _file_named(said: str) -> str:
    found = re.search(r"the file (\S+locust-worker\.json)", " ".join(said.split()))
    assert found, said
    return found[1]


@pytest.mark.exhaustive
def test_a_lost_worker_on_another_host_is_said(tmp_path: Path, network: Callable[..., Network], free_port: int) -> None:
    net = network(0)
    (host,) = net.hosts
    (tmp_path / "here").mkdir()
    made, there = project(tmp_path / "here", users=USERS), far(tmp_path / "there")
    run = Asked(made, free_port, "--users", "4", "--expect-workers", "2")
    try:
        file = brought(run, net, host, there)
        victim, _ = [worker(net, host, there, file, free_port, f"{n}.log") for n in (1, 2)]
        wait_until(lambda: _calls_by_guests(made.folder) == 2, "both send", 60)
        psutil.Process(victim.pid).kill()
        code, said = run.ended()
    finally:
        run.process.kill()
    assert code == 4, said
    assert "Locust lost its worker" in made.result()["generator"]["bottleneck"]


def _calls_by_guests(folder: Path) -> int:
    journals = [path for path in folder.glob("reports/*/journal/faults/*.journal") if int(path.name.partition("-")[0]) > 1 << 40]
    return sum(b'"k":"call_ok"' in path.read_bytes() for path in journals)


def test_workers_that_do_not_come_are_the_environments_fault(tmp_path: Path, free_port: int) -> None:
    made = project(tmp_path, users=USERS)
    path = made.scenario(runtime="processes", system=SYSTEM)
    document = json.loads(path.read_text())
    del document["load"]
    options = [f"--master-bind-port={free_port}", "--expect-workers=1", "--expect-workers-max-wait=1"]
    path.write_text(json.dumps({**document, "locust": {"file": "users.py", "for": "2s", "options": options}}))
    done = made.run("load", str(path), timeout=120)
    assert done.returncode == 3, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "Locust waits for 1 worker at 127.0.0.1:" in said and "0 of 1 workers of Locust came within 1 s" in said
    assert not processes_of(tmp_path)


@pytest.mark.exhaustive
def test_locust_alone_on_three_hosts(tmp_path: Path, network: Callable[..., Network], redis_server_program: str) -> None:
    """Master and broker on one, workers on two: the broker is one of the users' own, and the harness has no part in it."""
    net = network(0, 0, _DAY)
    first, *others = net.hosts
    here = far(tmp_path / "first", USERS + ENOUGH)
    server = (redis_server_program, "--bind", first.address, "--port", "6390", "--save", "", "--protected-mode", "no")
    net.start(first, *server, cwd=here, log=here / "redis.log")
    listening(first, 6390)
    url = f"redis://{first.address}:6390"
    celery = (sys.executable, "-m", "celery", "-A", "shop:app", "worker", "-P", "threads", "-c", "4", "-l", "INFO")
    env = {"CELERY_BROKER_URL": f"{url}/0", "CELERY_RESULT_BACKEND": f"{url}/1"}
    net.start(first, *celery, cwd=here, env=env, log=here / "celery.log")
    wait_until(lambda: " ready." in (here / "celery.log").read_text(), "the worker is ready", 60)
    locust = (sys.executable, "-m", "locust", "-f", "users.py")
    master = (*locust, "--master", "--expect-workers", "2", "--headless", "-u", "4", "-r", "4", "-t", "80s", "--csv", "out")
    named = {"LOCUST_HOST": f"{url}/0", "CELERY_HARNESS_RESULT_BACKEND": f"{url}/1"}
    leader = net.start(first, *master, cwd=here, env={**OF_REPOSITORY, **named}, log=here / "master.log")
    workers = []
    for number, host in enumerate(others):
        folder = far(tmp_path / f"other{number}")
        command = (*locust, "--worker", "--master-host", first.address)
        workers.append((net.start(host, *command, cwd=folder, env=OF_REPOSITORY, log=folder / "log"), folder))
    assert leader.wait(90) == 0, (here / "master.log").read_text()
    for process, folder in workers:
        assert process.wait(30) == 0, (folder / "log").read_text()
    found = rows(here / "out")
    assert set(found) == {"publish", "end to end"}
    assert int(found["publish"]["Failure Count"]) == int(found["end to end"]["Failure Count"]) == 0
    assert int(found["publish"]["Request Count"]) > 5 and int(found["end to end"]["Request Count"]) > 2
    assert float(found["end to end"]["Max Response Time"]) < 60_000, "no clock is held against another one's"
