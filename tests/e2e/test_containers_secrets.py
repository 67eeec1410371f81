"""Passwords and keys are made for the run: none is in a report, and in containers a part can read its own and nobody else's.

The logins are recorded as they are made, so that every one is known here. Both runtimes; both brokers; TLS wherever there is any.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import registry
from harness.errors import EnvironmentFault
from tests.e2e.containers import client, needs_engine
from tests.e2e.support import Project, project

#: `make test` has passwords in e2e/test_secrets.py, and the engine and its sockets in e2e/test_containers_stopping.py.
pytestmark = pytest.mark.exhaustive

SNOOP = '''"""Reads all that it can."""
import json
import os
import re
import stat
from pathlib import Path

import redis
from celery import Celery

app = Celery("snoop")
#: As the harness makes passwords: 24 bytes in URL-safe base 64.
TOKEN = re.compile(rb"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{32}(?![A-Za-z0-9_-])")
SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
NO_FOLDERS = ("task", "fd", "map_files")
SKIPPED = ("/sys", "/usr", "/lib", "/proc/sys", "/proc/irq", str(Path(os.environ["SEEN"]).absolute()))


def files():
    for folder, names, found in os.walk("/"):
        names[:] = [name for name in names if not os.path.join(folder, name).startswith(SKIPPED) and name not in NO_FOLDERS]
        told = ("environ", "cmdline") if folder.startswith("/proc/") else found
        yield from (os.path.join(folder, name) for name in found if name in told)


@app.task(name="snoop.look", ignore_result=False)
def look(number):
    verified = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}  # under a name that a certificate can have
    assert redis.Redis.from_url(os.environ["CACHE"], **verified).ping()
    print("connected to", os.environ["CACHE"], os.environ["DB"], app.conf.broker_url, app.conf.result_backend, flush=True)
    seen = {"tokens": set(), "keys": [], "sockets": [], "read": 0}
    for path in files() if os.environ["EVERYWHERE"] else ():
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISSOCK(mode):
                seen["sockets"].append(path)
            if not stat.S_ISREG(mode) or path.startswith(("/proc/k", "/boot")):
                continue
            with open(path, "rb") as stream:
                text = stream.read(4_000_000)
        except OSError:
            continue
        seen["read"] += 1
        seen["tokens"] |= {found.decode() for found in TOKEN.findall(text)}
        if re.search(rb"-----BEGIN [A-Z ]*PRIVATE" + rb" KEY", text):
            seen["keys"].append(path)
    seen["tokens"] = sorted(seen["tokens"])
    seen["engine"] = [name for name in os.environ if name.startswith("DOCKER")] + [p for p in SOCKETS if os.path.exists(p)]
    Path(os.environ["SEEN"], f"{os.environ['CELERY_HARNESS_RUN']}-{number}.json").write_text(json.dumps(seen))
    return number
'''
#: The command line, with every login written down as it is made.
RECORDING = """
import json, os, sys
from harness.runtimes.shared import credentials, pool, serving
import harness.runtimes.containers.system as containers
import harness.runtimes.processes.servers as processes
made = credentials.fresh_endpoint
def recorded(spec):
    end = made(spec)
    logins = {"monitor": end.password, **{role: login.password for role, login in end.logins.items()}}
    with open(os.environ["RECORD"], "a") as stream:
        stream.write(json.dumps([spec.name, logins]) + "\\n")
    return end
for module in (credentials, pool, containers, processes):
    module.fresh_endpoint = recorded
from harness.cli import main
main()
"""


@dataclass
class Told:
    """A run that has ended. ``logins``: (server, role) -> passwords, of every start; ``seen``: what each task found."""

    text: str
    logins: dict[tuple[str, str], set[str]]
    seen: list[dict[str, Any]]
    project: Project

    @property
    def passwords(self) -> set[str]:
        return set().union(*self.logins.values())


def needs_servers(runtime: str) -> None:
    """PostgreSQL and RabbitMQ beside Redis; else the test is skipped, or fails under CI=true."""
    for module in ("psycopg", "psycopg2", "trustme"):
        pytest.importorskip(module)
    if runtime == "containers":
        needs_engine("postgres", "rabbitmq")
        return
    for kind in ("postgres", "rabbitmq"):
        try:
            registry().brokers[kind].find()
        except EnvironmentFault as fault:
            pytest.skip(f"needs a server: {fault}")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Told]:
    """Of a runtime; each is run once."""
    known: dict[str, Future[Told]] = {}

    def find(runtime: str) -> Told:
        needs_servers(runtime)
        if runtime not in known:
            known[runtime] = Future()
            try:
                known[runtime].set_result(run(runtime, tmp_path_factory.mktemp(runtime)))
            except BaseException as exc:
                known[runtime].set_exception(exc)
        return known[runtime].result()

    return find


def run(runtime: str, folder: Path) -> Told:
    """One scenario after the other on each broker, so that the second gets what the first leaves."""
    for name in ("project", "beside"):
        (folder / name).mkdir()
    shop = project(folder / "project", snoop=SNOOP)
    (shop.folder / "seen").mkdir()
    system = {
        "app": "snoop:app",
        "redelivery": None,
        "backend": {"kind": "postgres", "tls": True},
        "services": {"card_cache": {"redis": {"tls": True}}, "db": {"postgres": {"tls": True}}},
        "env": {
            "SEEN": "seen",
            "EVERYWHERE": "yes" if runtime == "containers" else "",
            "CACHE": "${{ card_cache.url }}",
            "DB": "${{ db.url }}",
        },
        "workers": {"pay": {"concurrency": 1}, "idle": {"queues": ["idle"], "concurrency": 1}},
    }
    file = shop.scenario(
        matrix={"broker": ["redis", "rabbitmq"]},
        system={**system, "broker": {"kind": "${{ matrix.broker }}", "tls": True}},
        load=[{"send": "snoop.look", "args": [1], "count": 1}],
        drain={"timeout": "60s"},
    )
    record = folder / "beside" / "record"
    done = subprocess.run(
        [sys.executable, "-c", RECORDING, "run", str(file), "--runtime", runtime, "--keep"],
        cwd=shop.folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "NO_COLOR": "1", "RECORD": str(record)},
        capture_output=True,
        text=True,
        timeout=420,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    logins: dict[tuple[str, str], set[str]] = {}
    for name, made in map(json.loads, record.read_text().splitlines()):
        for role, password in made.items():
            logins.setdefault((name, role), set()).add(password)
    seen = [json.loads(path.read_text()) for path in sorted((shop.folder / "seen").iterdir())]
    return Told(done.stdout + done.stderr, logins, seen, shop)


@pytest.mark.parametrize("runtime", ["processes", "containers"])
def test_no_password_and_no_key_is_in_a_report(told: Callable[[str], Told], runtime: str) -> None:
    done = told(runtime)
    assert {name for name, _ in done.logins} == {"broker", "backend", "card_cache", "db"}
    assert len(done.passwords) >= 2 * 4 and all(len(password) == 32 for password in done.passwords)
    reports = [path for path in (done.project.folder / "reports").rglob("*") if path.is_file()]
    names = {path.name for path in reports}
    assert {"result.json", "report.html", "pay-1.log", "broker.log", "db.log" if runtime == "containers" else "service-db.log"} <= names
    texts = {str(path): path.read_bytes() for path in reports} | {"what it said": done.text.encode()}
    assert texts[next(place for place in texts if place.endswith("pay-1.log"))].count(b":***@") >= 4, "the app says its own"
    for place, text in texts.items():
        assert not [p for p in done.passwords if p.encode() in text], f"a password is in {place}"
        assert b"PRIVATE KEY" not in text, f"a key is in {place}"


def test_a_worker_reads_its_own_logins_and_nobody_elses(told: Callable[[str], Told]) -> None:
    """It looks into every file that it can open, those of the processes beside it too. Two runs, the second in containers of the first."""
    done = told("containers")
    own = {
        ("broker", "worker"),
        ("backend", "worker"),
        ("db", "worker"),
        ("card_cache", "monitor"),
    }  # the cache is the app's own, with every right
    its = set().union(*(done.logins[login] for login in own))
    assert len(done.seen) == 2
    for seen in done.seen:
        found = set(seen["tokens"]) & done.passwords
        assert seen["read"] > 50 and len(found) == len(own), "it did find its own"
        assert found <= its
        assert not seen["keys"], "of the servers, which are beside the authority that it verifies them with"
    first, second = (set(seen["tokens"]) & done.passwords for seen in done.seen)
    assert not first & second, "nothing of the run before"


def test_no_worker_has_the_engine_or_anybody_elses_socket(told: Callable[[str], Told]) -> None:
    for seen in told("containers").seen:
        assert not seen["engine"]
        assert seen["sockets"] and all("/parts/pay-1/" in path for path in seen["sockets"]), seen["sockets"]
    assert client().ping(), "there is one"
