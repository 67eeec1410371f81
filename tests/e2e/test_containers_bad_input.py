"""What an environment with containers can do wrong ends with 3, the part's name and its last words, in bounded time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.assembly import build_cell, choose_runtime, registry
from harness.brokers.redis import RedisBroker
from harness.errors import EnvironmentFault
from harness.ports.clock import MonotonicClock
from harness.scenario import load_scenarios
from tests.e2e.containers import Cable, Standing, client, made_image, needs_engine, run_of
from tests.e2e.support import APP, Project, processes_of, project, wait_until

LONG = {"load": [{"send": "shop.work", "args": [1], "rate": "5/s", "for": "60s"}]}
NOWHERE = "localhost:1/nobody/nothing:1"
DYING = (
    APP
    + "\nfrom celery import signals\n\n@signals.worker_init.connect\ndef die(**kw):\n    print('no such licence', flush=True)\n    os._exit(9)\n"
)


@dataclass
class Done:
    """A run that has ended."""

    code: int
    text: str
    seconds: float
    shop: Project


def ran(shop: Project, **scenario: Any) -> Done:
    """To its end, on containers."""
    file = shop.scenario(**scenario)
    began = time.monotonic()
    done = shop.run("run", str(file), "--runtime", "containers")
    return Done(done.returncode, done.stdout + done.stderr, time.monotonic() - began, shop)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Done]]]:
    """Runs that fail at their start, a few at a time: they have nothing to do with one another."""
    needs_engine()

    def shop(name: str, **files: str) -> Project:
        return project(tmp_path_factory.mktemp(name), **files)

    def engineless() -> Done:
        one = shop("engineless")
        one.env = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
        return ran(one)

    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        exits = stack.enter_context(made_image("exits", *replaced("echo the data are damaged; exit 7")))
        yield {
            "no engine": pool.submit(engineless),
            "no image of a server": pool.submit(ran, shop("server"), system={"images": {"redis": NOWHERE}}),
            "no image of a worker": pool.submit(ran, shop("worker"), system={"image": NOWHERE}),
            "no Python": pool.submit(ran, shop("python"), system={"image": "celery-harness/redis:local"}),
            "no Celery": pool.submit(ran, shop("celery"), system={"image": "celery-harness/python:local"}),
            "server exits": pool.submit(ran, shop("exits"), system={"images": {"redis": exits}}),
            "worker exits": pool.submit(ran, shop("dies", shop=DYING)),
        }


def replaced(script: str) -> list[str]:
    """Dockerfile lines: redis-server is a shell script."""
    return [f"RUN p=$(command -v redis-server) && rm $p && printf '#!/bin/sh\\n{script}\\n' > $p && chmod 755 $p"]


WORDS = {
    "no engine": ["no container engine answers at unix:///nonexistent/docker.sock", "No such file or directory", "DOCKER_HOST"],
    "no image of a server": [f"the image {NOWHERE} (named by the scenario)", f"docker pull {NOWHERE}", "celery-harness images build redis"],
    "no image of a worker": [f"the image {NOWHERE}", f"docker pull {NOWHERE}"],
    "no Python": ["no worker can run in the image celery-harness/redis:local", "no `python` on PATH", "Python"],
    "no Celery": ["no worker can run in the image celery-harness/python:local", "it has no Celery", "requirements"],
    "server exits": ["broker (redis in a container) ended with status 7 before it was ready", "its last lines", "the data are damaged"],
    "worker exits": ["pay-1 ended with status 9 before it was ready", "no such licence"],
}


@pytest.mark.parametrize("case", list(WORDS))
def test_what_is_wrong_is_said(cases: dict[str, Future[Done]], case: str) -> None:
    done = cases[case].result()
    assert done.code == 3, done.text
    flat = " ".join(done.text.split())
    for word in WORDS[case]:
        assert word in flat, done.text
    assert "Traceback (most recent call last)" not in done.text
    assert done.seconds < 60
    for folder in (done.shop.folder / "reports").glob("*-*-*"):
        assert Standing(folder.name).left() == []


def test_a_broker_that_is_never_ready_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its container runs and nobody answers in it. The time that it is given is made short."""
    needs_engine()
    usual = RedisBroker.container
    monkeypatch.setattr(RedisBroker, "container", lambda *a, **k: replace(usual(*a, **k), start_seconds=2.0))
    with made_image("sleeps", *replaced("echo waiting for a disk; exec sleep 600")) as image:
        file = project(tmp_path).scenario(system={"images": {"redis": image}}, runtime="containers")
        (loaded,) = load_scenarios(file, registry())
        (tmp_path / "run").mkdir()
        run_id = "0103-000000-0001"
        system: Any = choose_runtime("containers").system(build_cell(loaded, tmp_path, MonotonicClock()).system(run_id, tmp_path / "run"))
        try:
            with pytest.raises(EnvironmentFault) as caught:
                system.open()
        finally:
            system.close()
        assert "broker (redis in a container) did not answer within 2 s" in str(caught.value)
        assert "waiting for a disk" in str(caught.value)
        assert caught.value.exit_code == 3
        assert Standing(run_id).left() == []


# --- in the middle of a run -----------------------------------------------------------------------------------------


def begun(shop: Project, runtime: str, **scenario: Any) -> subprocess.Popen[str]:
    """A run whose load has begun."""
    process = shop.command("run", str(shop.scenario(**{**LONG, **scenario})), "--runtime", runtime, "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("phase") == "run":
            return process
    raise AssertionError(f"the run ended before its load: {process.stderr.read() if process.stderr else ''}")


def ended(process: subprocess.Popen[str], seconds: float) -> str:
    """With 3, within the time; what it said."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 3, out + err
    return " ".join((out + err).split())


def broker_process(shop: Project) -> psutil.Process:
    return next(p for p in processes_of(shop.folder) if "redis" in p.name())


@pytest.mark.parametrize("runtime", ["processes", "containers"])
def test_a_broker_that_dies_in_mid_run(tmp_path: Path, runtime: str) -> None:
    """Killed by somebody else, as the kernel out of memory would: what happened until then is in the report."""
    shop = project(tmp_path)
    if runtime == "containers":
        needs_engine()
    process = begun(shop, runtime)
    if runtime == "containers":
        Standing(run_of(shop)).one("broker").kill()
    else:
        broker_process(shop).kill()
    text = ended(process, 40)
    assert "broker ended by itself with status -9" in text
    assert "its last lines" in text and "Ready to accept connections" in text
    assert shop.result()["verdict"] == "environment"
    left_nothing(shop)


def left_nothing(shop: Project) -> None:
    assert Standing(run_of(shop)).left() == []
    wait_until(lambda: not processes_of(shop.folder), "no process is left", 15)


HANGING = {"timeline": [{"at": "4s", "for": "1s", "fault": "net.partition", "between": ["pay", "broker"]}]}


@pytest.mark.parametrize("runtime", ["processes", "containers"])
def test_a_toxiproxy_that_hangs(tmp_path: Path, runtime: str) -> None:
    """Frozen before the fault begins."""
    shop = project(tmp_path)
    if runtime == "containers":
        needs_engine()
    process = begun(shop, runtime, **HANGING)
    if runtime == "containers":
        Standing(run_of(shop)).one("toxiproxy").pause()
    else:
        proxy = next(p for p in processes_of(shop.folder) if "harness.netproxy" in p.cmdline() or "toxiproxy" in p.name())
        proxy.send_signal(signal.SIGSTOP)
    text = ended(process, 60)
    assert "Toxiproxy" in text and "hangs" in text and "proxy pay-1--broker" in text
    assert "its last lines" in text
    assert shop.result()["verdict"] == "environment"
    left_nothing(shop)


def test_an_engine_that_goes_in_mid_run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A partial report; and `clean` removes what it left, once the engine is back."""
    needs_engine()
    shop = project(tmp_path)
    cable = Cable(tmp_path_factory.mktemp("e") / "s")
    shop.env = {"DOCKER_HOST": cable.address}
    standing = None
    try:
        process = begun(shop, "containers")
        standing = Standing(run_of(shop))
        wait_until(lambda: len(standing.containers()) >= 4, "all containers are there")
        cable.cut()
        text = ended(process, 60)
        assert "the container engine stopped answering in the middle of the run" in text
        assert "celery-harness clean" in text
        result = shop.result()
        assert result["verdict"] == "environment"
        assert result["calls"], "what happened until then is in the report"
        assert standing.left(), "nobody could remove anything"
        cable.mend()
        cleaned = shop.run("clean")
        assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
        assert f"of run {standing.run_id}" in cleaned.stdout
        assert standing.left() == []
    finally:
        cable.cut()
        if standing is not None:
            for container in standing.containers():
                container.remove(force=True)
            for network in client().networks.list(filters={"label": f"celery-harness.run={standing.run_id}"}):
                network.remove()
