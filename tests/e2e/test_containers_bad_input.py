"""What an environment with containers can do wrong ends with 3, what the user names wrongly with 2: part, last words, bounded time."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
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
from tests.parts import chosen, parts

LONG = {"load": [{"send": "shop.work", "args": [1], "rate": "5/s", "for": "60s"}]}
NOWHERE = "localhost:1/nobody/nothing:1"
RUNTIMES = ("processes", "containers")
DYING = (
    APP
    + """
from celery import signals

@signals.worker_init.connect
def die(**kw):
    print("no such licence", flush=True)
    os._exit(9)
"""
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
def cases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Done]]]:
    """Runs that fail at their start, a few at a time: they have nothing to do with one another."""
    needs_engine()

    def shop(name: str, **files: str) -> Project:
        return project(tmp_path_factory.mktemp(name), **files)

    def engineless() -> Done:
        one = shop("engineless")
        one.env = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
        return ran(one)

    wanted = chosen(request, "case")
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:

        def image(case: str, name: str, *lines: str) -> str:
            return stack.enter_context(made_image(name, *lines)) if case in wanted else ""

        exits = image("server exits", "exits", *replaced("echo the data are damaged; exit 7"))
        ends = image("Python ends", "ends", "RUN printf '#!/bin/sh\\nexit 7\\n' >/usr/bin/python && chmod 755 /usr/bin/python")
        begun: dict[str, Callable[[], Done]] = {
            "no engine": engineless,
            "no image of a server": lambda: ran(shop("server"), system={"images": {"redis": NOWHERE}}),
            "no image of a worker": lambda: ran(shop("worker"), system={"image": NOWHERE}),
            "no Python": lambda: ran(shop("python"), system={"image": "celery-harness/redis:local"}),
            "no Celery": lambda: ran(shop("celery"), system={"image": "celery-harness/python:local"}),
            "Python ends": lambda: ran(shop("ends"), system={"image": ends}),
            "no such module": lambda: ran(shop("module"), system={"app": "nowhere:app"}),
            "server exits": lambda: ran(shop("exits"), system={"images": {"redis": exits}}),
            "worker exits": lambda: ran(shop("dies", shop=DYING)),
        }
        yield {name: pool.submit(begun[name]) for name in wanted}


def replaced(script: str) -> list[str]:
    """Dockerfile lines: redis-server is a shell script."""
    return [f"RUN p=$(command -v redis-server) && rm $p && printf '#!/bin/sh\\n{script}\\n' > $p && chmod 755 $p"]


WORDS = {
    "no engine": ["no container engine answers at unix:///nonexistent/docker.sock", "No such file or directory", "DOCKER_HOST"],
    "no image of a server": [f"the image {NOWHERE} (named by the scenario)", f"docker pull {NOWHERE}", "celery-harness images build redis"],
    "no image of a worker": [f"the image {NOWHERE}", f"docker pull {NOWHERE}"],
    "no Python": ["no worker can run in the image celery-harness/redis:local", "no `python` on PATH"],
    "no Celery": ["no worker can run in the image celery-harness/python:local", "it has no Celery", "requirements"],
    "Python ends": ["no worker can run in the image celery-harness-test/ends", "`import celery` ends with status 7 in it"],
    "no such module": ["importing nowhere failed", "set system.path; its packages are those of"],
    "server exits": ["broker (redis in a container) ended with status 7 before it was ready", "its last lines", "the data are damaged"],
    "worker exits": ["pay-1 ended with status 9 before it was ready", "no such licence"],
}


#: What the scenario itself says wrongly; everything else is the environment's fault.
BAD_INPUT = ("no such module",)


#: `make test` has what is not there, and an engine that is not, in tests/conformance/test_containers_trouble.py and test_local_images.py.
@pytest.mark.parametrize("case", parts(WORDS, quick=["no image of a server", "no such module", "server exits"]))
def test_what_is_wrong_is_said(cases: dict[str, Future[Done]], case: str) -> None:
    done = cases[case].result()
    assert done.code == (2 if case in BAD_INPUT else 3), done.text
    flat = " ".join(done.text.split())
    for word in WORDS[case]:
        assert word in flat, done.text
    assert not [words for words in ("the harness itself failed", "system.python", "superuser") if words in done.text], done.text
    assert done.seconds < 100, "an image for the workers may have to be made first"
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


def begun(shop: Project, runtime: str, phase: str = "run", **scenario: Any) -> subprocess.Popen[str]:
    """A run whose load has begun, or whose fault."""
    process = shop.command("run", str(shop.scenario(**{**LONG, **scenario})), "--runtime", runtime, "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("phase") == phase:
            return process
    raise AssertionError(f"the run ended before {phase}: {process.stderr.read() if process.stderr else ''}")


def succeeded(shop: Project) -> bool:
    """Has a task, by the journal of the worker?"""
    journals = shop.folder.glob("reports/*-*-*/journal/faults/*.journal")
    return any(b'"k":"end"' in journal.read_bytes() and b'"s":"SUCCESS"' in journal.read_bytes() for journal in journals)


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


def server_of(run: subprocess.Popen[str], *words: str) -> psutil.Process:
    """A child of the harness whose command line has one of these words. Redis writes over its environment, so that tells nothing."""
    for process in psutil.Process(run.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(word in part for word in words for part in process.cmdline()[:5]):
                return process
    raise AssertionError(f"no process with {words}")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., list[Running]]]:
    """Starts a run on each of the runtimes, side by side, and hits each once a task has succeeded; what is left afterwards is stopped."""
    needs_engine()
    started: list[Running] = []

    def hit(runtime: str, part: str, blow: str, scenario: dict[str, Any]) -> Running:
        shop = project(tmp_path_factory.mktemp(runtime))
        started.append(run := Running(shop, begun(shop, runtime, **scenario)))
        wait_until(lambda: succeeded(shop), "a task has succeeded", 30)
        if runtime == "containers":
            getattr(Standing(run_of(shop)).one(part), {"kill": "kill", "freeze": "pause"}[blow])()
        else:
            server_of(run.process, *PROGRAMS[part]).send_signal({"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}[blow])
        return run

    def start(part: str, blow: str, runtimes: Sequence[str] = RUNTIMES, **scenario: Any) -> list[Running]:
        with ThreadPoolExecutor(2) as pool:
            return [f.result() for f in [pool.submit(hit, runtime, part, blow, scenario) for runtime in runtimes]]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.terminate()
            run.process.communicate(timeout=60)


@dataclass
class Running:
    """A run in the middle of its load."""

    shop: Project
    process: subprocess.Popen[str]

    def fails(self, seconds: float) -> str:
        """With a report of what happened until then, and nothing left behind; its error."""
        ended(self.process, seconds)
        result = self.shop.result()
        assert result["verdict"] == "environment"
        assert result["calls"] > 0 and result["fates"]["succeeded"] > 0, "what happened until then"
        assert not result["fates"].get("lost"), "nobody was asked, so nothing is known to be lost"
        assert Standing(run_of(self.shop)).left() == []
        wait_until(lambda: not processes_of(self.shop.folder), "no process is left")
        return str(result["error"])


PROGRAMS = {"broker": ("redis-server", "valkey-server"), "toxiproxy": ("harness.netproxy", "toxiproxy-server")}
LAST_WORDS = {"broker": "Ready to accept connections", "toxiproxy": ""}


def partition(at: str, lasts: str) -> list[dict[str, Any]]:
    """Of the worker from the broker."""
    return [{"at": at, "for": lasts, "fault": "net.partition", "between": ["pay", "broker"]}]


@pytest.mark.parametrize("part", parts(PROGRAMS, quick=["broker"]))
def test_a_server_that_dies_in_mid_run(both: Callable[..., list[Running]], part: str) -> None:
    """Killed by somebody else, as the kernel would where memory is short."""
    for run in both(part, "kill", timeline=partition("50s", "1s")):
        error = run.fails(30)
        assert f"{part} ended by itself with status -9; its last lines" in error
        assert LAST_WORDS[part] in error


#: `make test` has it in tests/unit/run/test_silence.py.
@pytest.mark.exhaustive
def test_a_broker_that_hangs(both: Callable[..., list[Running]]) -> None:
    """Its process runs, and answers nobody: that is told of it, not of whoever waits for it."""
    for run in both("broker", "freeze"):
        error = run.fails(90)
        assert "broker (Redis) runs and does not answer; its last lines" in error and LAST_WORDS["broker"] in error


_LOAD = [{**LONG["load"][0], "for": "6s"}]
HANGS: dict[str, dict[str, Any]] = {
    "before the fault begins": {"timeline": partition("4s", "1s"), "load": _LOAD},
    "while it lasts": {"phase": "fault", "timeline": partition("1500ms", "5s"), "load": _LOAD, "drain": {"timeout": "60s"}},
}


@pytest.fixture(scope="module")
def hanging(request: pytest.FixtureRequest, both: Callable[..., list[Running]]) -> dict[tuple[str, str], Running]:
    """By when it began to hang, and where. One after the other; then they all wait."""
    return {
        (when, runtime): both("toxiproxy", "freeze", [runtime], **HANGS[when])[0] for when, runtime in chosen(request, "when", "runtime")
    }


#: The same code asks a server of either runtime: in `make test` it is the one in a container that hangs.
@pytest.mark.parametrize(
    ("when", "runtime"),
    parts([(when, runtime) for when in HANGS for runtime in RUNTIMES], quick=[("before the fault begins", "containers")]),
)
def test_a_toxiproxy_that_hangs(hanging: dict[tuple[str, str], Running], when: str, runtime: str) -> None:
    """A fault that cannot begin is told at once; one that cannot be healed, when it was asked twice: long before the drain may end."""
    error = hanging[when, runtime].fails(55)
    assert "Toxiproxy at" in error and "proxy pay-1--broker" in error
    assert "hangs: asked to" in error and "its last lines" in error


#: A part of it is in tests/conformance/test_containers_trouble.py.
@pytest.mark.exhaustive
@pytest.mark.usefixtures("alone_with_leftovers")
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
        assert result["calls"] > 0 and result["fates"]["succeeded"] > 0, "what happened until then is in the report"
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
