"""Scenarios of one command share what is proven clean. One of them leaves whatever it can; the next sees what it sees when alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.support import Project, processes_of, project
from tests.parts import parts

RUNTIMES = ("processes", "containers")
FROM_BEFORE = "from the run before, emptied for this one"

HAUNTED = '''"""Leaves what it can, and looks at what is there."""
import hashlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import redis
from celery import Celery
from celery.worker import state

app = Celery("haunted")
app.conf.task_acks_late = True
SCRIPT = "return 'left'"
#: Has nothing of the run in its environment, dies of no signal that can be ignored, and knows a login of the broker's.
STUBBORN = """
import os, signal, sys, time
if os.fork(): os._exit(0)
for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP): signal.signal(number, signal.SIG_IGN)
open(sys.argv[2], "w").write(str(os.getpid()))
import redis
until = time.monotonic() + 60
while time.monotonic() < until:
    try: redis.Redis.from_url(sys.argv[1]).lpush("haunted", "still here")
    except Exception: pass
    time.sleep(0.02)
"""


def servers():
    return [redis.Redis.from_url(os.environ[name]) for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")]


@app.task(name="haunted.noop")
def noop():
    return 1


@app.task(name="haunted.leave", bind=True)
def leave(self):
    for server in servers():
        server.set("key", "left")
        server.lpush("celery-left", "message")
        server.hset("unacked-left", "tag", "message")
        server.zadd("zset", {"member": 1})
        server.xadd("stream", {"a": 1})
        server.sadd("_kombu.binding.left", "left")
        server.script_load(SCRIPT)
    noop.apply_async(countdown=3600)
    noop.apply_async(queue="nobody")
    app.control.revoke("some-id")
    os.environ["LEFT"] = "yes"
    for folder in {tempfile.gettempdir(), os.environ["TMPDIR"], os.environ["SHELF"]}:
        Path(folder, "left").write_text("left")
    if os.environ["INSIDE"]:
        Path("/dev/shm/left").write_text("left")
        Path("/etc/left").write_text("left")
        Path.home().joinpath("left").write_text("left")
    with sqlite3.connect(os.environ["DATABASE"]) as database:
        database.execute("CREATE TABLE haunts (id INTEGER PRIMARY KEY AUTOINCREMENT, text)")
        database.execute("INSERT INTO haunts (text) VALUES ('left')")
    settings = json.loads(Path(os.environ["CELERY_HARNESS_AGENT"]).read_text())
    Path(settings["trigger_folder"], "left").touch()
    Path(settings["journal"], "left").touch()
    pid = Path("stubborn.pid").absolute()
    subprocess.Popen(
        ["/usr/bin/env", "-i", sys.executable, "-c", STUBBORN, os.environ["CELERY_BROKER_URL"], str(pid)], start_new_session=True
    ).wait()


@app.task(name="haunted.look")
def look():
    seen = {}
    for name, server in zip(("broker", "backend"), servers()):
        keys = {key.decode(): server.type(key).decode() for key in server.scan_iter()}
        seen[name] = {plain(key): kind for key, kind in keys.items() if key != "unacked_mutex"}
        seen[name + " scripts"] = server.script_exists(hashlib.sha1(SCRIPT.encode()).hexdigest())
        seen[name + " channels"] = sorted(plain(c.decode()) for c in server.pubsub_channels())
    settings = json.loads(Path(os.environ["CELERY_HARNESS_AGENT"]).read_text())
    folders = [tempfile.gettempdir(), os.environ["TMPDIR"], os.environ["SHELF"], settings["trigger_folder"]]
    if os.environ["INSIDE"]:
        folders += ["/", "/tmp", "/dev", "/dev/shm", "/etc", "/root", "/opt", "/var/tmp", str(Path.home())]
        seen["processes"] = len([p for p in os.listdir("/proc") if p.isdigit()])
    seen["folders"] = {plain(folder): sorted(plain(name) for name in os.listdir(folder)) for folder in folders}
    seen["left in the journal"] = [p.name for p in Path(settings["journal"]).iterdir() if not p.name.endswith(".journal")]
    seen["revoked"] = len(state.revoked)
    seen["environment"] = {name: plain(value) for name, value in os.environ.items() if not name.startswith("CELERY_HARNESS")}
    seen["triggers"] = settings["triggers"]
    with sqlite3.connect(os.environ["DATABASE"]) as database:
        seen["tables"] = database.execute("SELECT name, sql FROM sqlite_master ORDER BY 1").fetchall()
    seen["host"] = socket.gethostname()
    seen["path"] = [plain(entry) for entry in sys.path]
    Path("seen.json").write_text(json.dumps(seen, indent=1, sort_keys=True))


def plain(text):
    """Without what is made for each run: ids, ports, passwords, names of temporary folders."""
    text = re.sub(r"://[^@/]*@", "://LOGIN@", text)
    text = re.sub(r"(127\\.0\\.0\\.1|broker|backend|toxiproxy):\\d+", "ADDRESS", text)
    text = re.sub(r"celery-harness-\\d{4}-\\d{6}-[0-9a-f]{4}-[^/]*/", "", text + "/").rstrip("/")
    text = re.sub(r"\\bsite-\\w+/(?=common)", "", text)
    text = re.sub(r"/common/\\d{4}-\\d{6}-[0-9a-f]{4}", "/common", text)
    text = re.sub(r"\\d{4}-\\d{6}-[0-9a-f]{4}", "RUN", text)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|pymp-\\w+|tmp\\w{8}", "ID", text)
'''


def haunted(folder: Path, runtime: str) -> Project:
    """An app that leaves and looks, and a scenario for each way in which a run can end badly."""
    shop = project(folder, haunted=HAUNTED)
    (folder / "requirements.txt").write_text("celery[redis]>=5.3\n")
    system = {
        "app": "haunted:app",
        "backend": "redis",
        "services": {"db": "sqlite", "shelf": "files"},
        "env": {"DATABASE": "${{ db.path }}", "SHELF": "${{ shelf.path }}", "INSIDE": "yes" if runtime == "containers" else ""},
        "workers": {"pay": {"replicas": 1, "pool": "solo", "concurrency": 1}},
    }
    noop = [{"send": "haunted.noop", "rate": "20/s", "for": "400ms"}]
    partition = {"at": "100ms", "for": "300ms", "fault": "net.partition", "between": ["pay", "broker"], "mode": "stall"}
    timelines = {
        "a-cut": [partition],
        "b-paused": [{"at": "100ms", "for": "300ms", "fault": "broker.pause"}],
        "c-killed": [{"at": "300ms", "fault": "broker.kill"}],
        "d-crashed": [{"when": {"task": "haunted.noop", "reaches": "start", "nth": 2}, "fault": "task.crash", "restart_after": "100ms"}],
    }
    for name, timeline in timelines.items():
        shop.scenario(name, system=system, load=noop, timeline=timeline, drain={"timeout": "6s"})
    shop.scenario("e-leave", system=system, load=[{"send": "haunted.leave", "count": 1}], drain={"timeout": "5s"})
    shop.scenario("f-look", system=system, load=[{"send": "haunted.look", "count": 1}])
    return shop


#: In `make test` on processes; what is reused of containers has tests of its own in tests/conformance.
@pytest.fixture(params=parts(RUNTIMES, quick=["processes"]))
def runtime(request: pytest.FixtureRequest) -> str:
    if request.param == "containers":
        from tests.e2e.containers import needs_engine

        needs_engine()
    return str(request.param)


@pytest.fixture
def shop(tmp_path: Path, runtime: str) -> Iterator[Project]:
    found = haunted(tmp_path, runtime)
    yield found
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        if runtime == "processes":
            psutil.Process(int((tmp_path / "stubborn.pid").read_text())).kill()


def run(shop: Project, runtime: str, *names: str) -> list[dict[str, Any]]:
    """The results of these scenarios, one command."""
    (shop.folder / "seen.json").unlink(missing_ok=True)
    done = shop.run("run", *(f"{name}.yaml" for name in names), "--runtime", runtime, "--json", timeout=150)
    results = [json.loads(line)["result"] for line in done.stdout.splitlines() if '"event":"result"' in line]
    assert [result["scenario"] for result in results] == list(names), done.stderr
    assert not any(result["error"] for result in results), [result["error"] for result in results]
    return results


def seen(shop: Project) -> dict[str, Any]:
    """What the last look saw."""
    document: dict[str, Any] = json.loads((shop.folder / "seen.json").read_text())
    return document


#: Scenarios of one command, and which of them find a broker from before. What is killed is of no use to the next.
ORDERS = {
    ("c-killed", "e-leave", "f-look"): (False, False, True),
    ("a-cut", "b-paused", "c-killed", "d-crashed", "e-leave", "f-look"): (False, True, False, False, True, True),
}


@pytest.mark.parametrize("names", parts([[*names] for names in ORDERS], quick=[[*next(iter(ORDERS))]]))
def test_nothing_of_one_scenario_is_seen_by_the_next(shop: Project, runtime: str, names: list[str]) -> None:
    (alone,) = run(shop, runtime, "f-look")
    expected = seen(shop)
    assert expected["broker"] and not expected["folders"]["/dev/shm"] if runtime == "containers" else expected["broker"]
    results = run(shop, runtime, *names)
    assert seen(shop) == expected
    assert results[-1]["verdict"] == alone["verdict"] == "pass"
    assert results[-1]["fates"] == alone["fates"]
    assert tuple(FROM_BEFORE in result["environment"]["Broker"] for result in results) == ORDERS[tuple(names)]
    stubborn = int((shop.folder / "stubborn.pid").read_text())
    if runtime == "processes":
        assert psutil.pid_exists(stubborn), "it has survived, and could do nothing"


@pytest.mark.parametrize("number", parts([signal.SIGTERM, signal.SIGINT], quick=[signal.SIGTERM]))
def test_all_is_gone_after_a_signal(shop: Project, runtime: str, number: signal.Signals) -> None:
    process = shop.command("run", "f-look.yaml", "f-look.yaml", "d-crashed.yaml", "--runtime", runtime, "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if '"event":"result"' in line:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out + err
    assert left(shop, runtime, process.pid) == []


@pytest.mark.usefixtures("alone_with_leftovers")
def test_what_a_killed_command_left_is_cleaned(shop: Project, runtime: str) -> None:
    """Killed when the second run is ready: a moment earlier its folder may not say yet whose it is, and `clean` leaves such a one alone."""
    process = shop.command("run", "f-look.yaml", "f-look.yaml", "--runtime", runtime, "--json")
    assert process.stdout is not None
    assert any('"event":"result"' in line for line in process.stdout), "the first one has ended"
    assert any('"phase":"ready"' in line for line in process.stdout), "the second one has begun"
    process.kill()
    process.communicate(timeout=60)
    cleaned = shop.run("clean")
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    assert left(shop, runtime, process.pid) == []


def left(shop: Project, runtime: str, pid: int) -> list[str]:
    """Of the command with that pid."""
    found = [str(process) for process in processes_of(shop.folder)]
    if runtime == "containers":
        from tests.e2e.containers import client

        owned = [c for c in client().containers.list(all=True, ignore_removed=True) if _owner(c.labels) == str(pid)]
        found += [c.name for c in owned] + [n.name for n in client().networks.list() if _owner(n.attrs.get("Labels") or {}) == str(pid)]
    return found + [str(folder) for folder in Path(os.environ.get("TMPDIR", "/tmp")).glob("celery-harness-*") if _claimed(folder, pid)]


def _owner(labels: dict[str, str]) -> str:
    return labels.get("celery-harness.owner", "").partition(" ")[0]


def _claimed(folder: Path, pid: int) -> bool:
    with contextlib.suppress(OSError):
        return (folder / "owner").read_text().split()[:1] == [str(pid)]
    return False
