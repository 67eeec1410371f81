"""With containers too everything that is started is stopped, at any moment; and nobody in a container gets at more than its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.containers import Standing, made_image, needs_engine, run_of
from tests.e2e.support import Project, end, processes_of, project, wait_until
from tests.parts import chosen, parts

LOAD = [{"send": "shop.work", "args": [1], "rate": "10/s", "for": "60s"}]
PARTITION = [{"at": "200ms", "for": "50s", "fault": "net.partition", "between": ["pay", "broker"]}]
#: Phases of the run's own JSON lines; 'start' is before any: the first container is there. On processes each has both signals
#: (test_stopping.py), which are heard by the same code.
MOMENTS: dict[str, list[dict[str, Any]]] = {"start": [], "ready": [], "run": [], "fault": PARTITION}
SIGNALS = {"SIGINT": 130, "SIGTERM": 143}
CASES = [("start", "SIGINT"), ("ready", "SIGTERM"), ("run", "SIGINT"), ("fault", "SIGTERM")]


@dataclass
class Stopped:
    """A run that was told to stop."""

    shop: Project
    code: int
    text: str
    standing: Standing
    volumes: set[str]


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """A Redis with a volume, as the public image has one."""
    needs_engine()
    with made_image("volume", "VOLUME /data") as made:
        yield made


def begun(shop: Project, image: str, moment: str) -> tuple[subprocess.Popen[str], Standing]:
    """A run that has come so far."""
    file = shop.scenario(system={"images": {"redis": image}, "backend": "redis"}, load=LOAD, timeline=MOMENTS[moment])
    process = shop.command("run", str(file), "--runtime", "containers", "--json")
    standing = Standing(run_of(shop))
    if moment == "start":
        wait_until(standing.containers, "the first container is there", 60)
        return process, standing
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("phase") == moment:
            return process, standing
    raise AssertionError(f"the run ended before {moment}: {process.stderr.read() if process.stderr else ''}")


def stopped(shop: Project, image: str, moment: str, number: str) -> Stopped:
    """All of it, from the start to its end."""
    process, standing = begun(shop, image, moment)
    volumes = standing.volumes()
    out, err = end(process, signal.Signals[number])
    return Stopped(shop, process.returncode, out + err, standing, volumes)


@pytest.fixture(scope="module")
def stops(
    request: pytest.FixtureRequest, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[Stopped]]]:
    """Some at a time: they have nothing to do with one another."""
    with ThreadPoolExecutor(4) as pool:
        yield {
            case: pool.submit(stopped, project(tmp_path_factory.mktemp(case[0])), image, *case)
            for case in chosen(request, "moment", "number")
        }


#: In `make test` the one that nobody can hear (below), and in tests/conformance/test_containers_trouble.py a close half way.
@pytest.mark.parametrize(("moment", "number"), parts(CASES, quick=[]))
def test_a_signal_at_any_moment_stops_everything(stops: dict[tuple[str, str], Future[Stopped]], moment: str, number: str) -> None:
    done = stops[moment, number].result()
    assert done.code == SIGNALS[number], done.text
    assert done.standing.left(done.volumes) == []
    wait_until(lambda: not processes_of(done.shop.folder), "no process is left")
    assert not list(Path(tempfile.gettempdir()).glob(f"celery-harness-{done.standing.run_id}-*"))
    if moment in ("run", "fault"):
        assert done.volumes, "the broker's container had one, so its removal was seen"
        result = done.shop.result()
        assert "partial" in result["interrupted"]
        assert result["verdict"] != "pass"
        assert result["calls"]


def passwords(folder: Path) -> set[str]:
    """All that the children of a run are told."""
    texts = [path.read_text() for path in folder.rglob("*.json")]
    return {found for text in texts for found in re.findall(r"rediss?://[^:/@\"]*:([^@\"]+)@", text)}


@pytest.mark.usefixtures("alone_with_leftovers")
def test_a_killed_harness_leaves_nothing_that_runs_on_or_tells(image: str, tmp_path: Path) -> None:
    """One run, looked at while it lives and after a SIGKILL of the harness."""
    shop = project(tmp_path)
    process, standing = begun(shop, image, "run")
    (folder,) = Path(tempfile.gettempdir()).glob(f"celery-harness-{standing.run_id}-*")
    try:
        documents = {document["Config"]["Labels"]["celery-harness.part"]: document for document in standing.documents()}
        secrets, volumes = passwords(folder), standing.volumes()
        assert set(documents) == {"toxiproxy", "broker", "backend", "producer", "pay-1"}
        nobody_has_the_engine(documents)
        ports_are_the_engines_choice(documents)
        assert len(secrets) == 4, "worker's and producer's, of broker and backend"
        for part, document in documents.items():
            told = json.dumps([document["Args"], document["Config"], document["HostConfig"], document["Name"]])
            assert not [secret for secret in secrets if secret in told], f"{part} shows a password to all who may inspect it"
    finally:
        end(process, signal.SIGKILL)
    wait_until(lambda: not standing.containers("pay-1") or standing.one("pay-1").status == "exited", "the worker ends by itself")
    wait_until(lambda: not standing.containers("producer") or standing.one("producer").status == "exited", "the producer too")
    assert standing.left(volumes), "servers, proxy and network are for `clean`"
    cleaned = shop.run("clean")
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    assert f"of run {standing.run_id}" in cleaned.stdout
    assert standing.left(volumes) == []
    assert not folder.exists()
    for path in shop.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes().decode("utf-8", "replace")
            assert not [secret for secret in secrets if secret in content], path


def nobody_has_the_engine(documents: dict[str, dict[str, Any]]) -> None:
    """No socket of it is mounted, no address of it is told, and no container has a right of its machine."""
    for part, document in documents.items():
        mounted = [mount["Source"] for mount in document["Mounts"]]
        assert not [source for source in mounted if "docker" in Path(source).name or source in ("/", "/run", "/var/run")], part
        assert not [entry for entry in document["Config"]["Env"] or () if entry.startswith("DOCKER_")], part
        host = document["HostConfig"]
        assert not host["Privileged"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"], part
        assert host["NetworkMode"] != "host" and host["PidMode"] == "", part


def ports_are_the_engines_choice(documents: dict[str, dict[str, Any]]) -> None:
    """So none that is taken is ever asked for; and what is published, is so on loopback."""
    asked = {part: document["HostConfig"]["PortBindings"] or {} for part, document in documents.items()}
    assert [part for part, bindings in asked.items() if bindings] == ["toxiproxy"]
    for bindings in asked["toxiproxy"].values():
        assert [(binding["HostIp"], binding["HostPort"]) for binding in bindings] in ([("127.0.0.1", "")], [("127.0.0.1", "0")])
