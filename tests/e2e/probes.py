"""Plain TCP connections made where a worker or the producer stands, and what goes through them: nothing of the harness is asked.

A probe is a small program of its own. On processes it runs beside the worker with the worker's own environment; on containers
inside the worker's container, in its network. It is spoken to over a Unix socket in the run's temporary folder, which a cut
network does not cut. It reads its addresses where the worker reads them: settings file and environment.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psutil
import redis

from tests.e2e.support import wait_until

__all__ = ["FULL", "QUIET", "Line", "Lines", "Probe", "Through", "http_answers", "started_in"]

#: Seconds in which something that must not come would have come.
QUIET = 0.3
#: Seconds after which something that must come has not come.
DEADLINE = 30.0
#: Seconds between two looks of the probe at a connection.
_LOOK = 0.02

PROGRAM = """
import json, os, select, socket, sys, time

def connect(host, port):
    try:
        # Asked once: off the network a name is looked for during many seconds.
        address = addresses[host] = addresses.get(host) or socket.gethostbyname(host)
        return socket.create_connection((address, port), 3.0), "open"
    except ConnectionRefusedError:
        return None, "refused"
    except OSError as exc:
        return None, "unreachable"

def state_of(peer, wait, until):
    # What has come meanwhile, and whether the connection still stands.
    got, end, due = b"", "", time.monotonic() + wait
    while not end and not (until and until in got):
        readable, _, _ = select.select([peer], [], [], max(0.0, due - time.monotonic()))
        if not readable:
            break
        try:
            data = peer.recv(1 << 20)
            got += data
            end = "" if data else "closed"
        except ConnectionResetError:
            end = "reset"
    return got, end

def do(words):
    what = words["do"]
    if what == "told":
        with open(os.environ["CELERY_HARNESS_AGENT"]) as file:
            return {"broker": json.load(file)["broker"], "environment": dict(os.environ)}
    name = words["name"]
    if what == "open":
        peers[name], said = connect(*words["to"])
        return {"said": said}
    peer = peers[name]
    if what == "send":
        try:
            peer.sendall(words["text"].encode())
            return {"end": ""}
        except OSError as exc:
            return {"end": "reset" if isinstance(exc, ConnectionResetError) else "closed"}
    if what == "close":
        peer.close()
        return {}
    got, end = state_of(peer, words["wait"], words.get("until", "").encode())
    return {"got": got.decode(), "end": end, "at": time.monotonic()}

peers, addresses = {}, {}
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(1)
master, _ = listener.accept()
for line in master.makefile():
    master.sendall(json.dumps(do(json.loads(line))).encode() + b"\\n")
"""


class Probe:
    """One, in the place of one client (pay-1, producer)."""

    def __init__(self, client: str, path: Path) -> None:
        self.client = client
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        wait_until(lambda: self._connects(str(path)), f"the probe of {client} listens")
        self._answers = self._socket.makefile()
        told = self.ask("told")
        self.broker, self.environment = urlsplit(told["broker"]), told["environment"]

    def _connects(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            self._socket.connect(path)
            return True
        return False

    def ask(self, do: str, **words: Any) -> dict[str, Any]:
        self._socket.sendall(json.dumps({"do": do, **words}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer

    def close(self) -> None:
        """The program ends with its master's connection."""
        self._answers.close()
        self._socket.close()


@contextlib.contextmanager
def started_in(system: Any, client: str) -> Iterator[Probe]:
    """In the place of a running worker or the producer, whatever the runtime."""
    path = Path(system.part_folder(client)) / f"{client}.probe"
    process = next(p for p in system.every_process if p.name == client and p.alive())
    child = None
    if hasattr(process, "box"):
        box, api = process.box(), system.host.engine.client.api
        made = api.exec_create(box.id, ["python", "-c", PROGRAM, str(path)], user=system.host.engine.me())
        api.exec_start(made["Id"], detach=True)
    else:
        env = psutil.Process(process.pid).environ()
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", PROGRAM, str(path)], env=env)
    probe = None
    try:
        probe = Probe(client, path)
        yield probe
    finally:
        if probe is not None:
            probe.close()
        if child is not None:
            if probe is None:
                child.kill()
            child.wait()
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Through:
    """What went through one connection. ``end``: '' (it stands), closed, reset."""

    up: bool
    down: bool
    end: str = ""


FULL = Through(up=True, down=True)


@dataclass
class Line:
    """One connection to the broker: what the client sends is looked up in Redis itself, past all links under test; so is what Redis
    sends published there. RESP3, in which one connection subscribes and asks
    (https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md).
    """

    probe: Probe
    name: str
    admin: Any
    said: str = ""
    sent: int = 0
    published: int = 0
    got: str = ""
    end: str = ""

    def open(self) -> str:
        """Connect, without a word: open, refused or unreachable."""
        to = [self.probe.broker.hostname, self.probe.broker.port]
        self.said = self.probe.ask("open", name=self.name, to=to)["said"]
        return self.said

    def log_in(self) -> None:
        """As the worker does, and subscribe."""
        user, password = unquote(self.probe.broker.username or "default"), unquote(self.probe.broker.password or "")
        self.send(f"HELLO 3 AUTH {user} {password}\r\nSUBSCRIBE {self.name}\r\n")

    def send(self, text: str) -> None:
        self.end = self.probe.ask("send", name=self.name, text=text)["end"] or self.end

    def speak(self) -> None:
        """One thing in either direction."""
        self.sent += 1
        self.send(f"SET {self.name} {self.sent}\r\n")
        self.publish()

    def publish(self) -> None:
        """Of Redis, to the client."""
        self.published += 1
        self.admin.publish(self.name, f"<{self.published}>")

    def look(self, wait: float = 0.0) -> Through:
        """What of the latest has arrived by now, in either direction."""
        told = self.probe.ask("look", name=self.name, wait=wait) if not self.end else {"got": "", "end": self.end}
        self.got, self.end = self.got + told["got"], told["end"]
        return Through(self._arrived() == self.sent, f"<{self.published}>" in self.got, self.end)

    def becomes(self, expected: Through, what: str = "") -> None:
        """Within the deadline."""
        due = time.monotonic() + DEADLINE
        while (seen := self.look(_LOOK)) != expected:
            assert time.monotonic() < due, f"{self.name} {what}: {seen}, not {expected}"

    def ends(self, *how: str) -> None:
        """Closed or reset, within the deadline."""
        due = time.monotonic() + DEADLINE
        while not (end := self.look(_LOOK).end):
            assert time.monotonic() < due, f"{self.name} stands"
        assert end in how, end

    def time_up(self, size: int = 1) -> float:
        """Seconds until Redis has what the client sends."""
        self.sent += 1
        before = time.monotonic()
        self.send(f"SET {self.name} {self.sent},{'.' * size}\r\n")
        self._until(lambda: self._arrived() == self.sent, "has arrived at Redis")
        return time.monotonic() - before

    def time_down(self, size: int = 1) -> float:
        """Seconds until the client has what Redis sends."""
        self.published += 1
        before = time.monotonic()
        self.admin.publish(self.name, "." * size + f"<{self.published}>")
        self._until(lambda: self.look(_LOOK).down, "has arrived at the client")
        return time.monotonic() - before

    def _arrived(self) -> int:
        return int((self.admin.get(self.name) or "0").partition(",")[0])

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, f"{self.name}: {what}", DEADLINE)

    def close(self) -> None:
        if self.said == "open":
            self.probe.ask("close", name=self.name)


def http_answers(probe: Probe, wait: float = 5.0) -> bool:
    """Does the service behind CARD_API answer a request on a new connection?"""
    to = urlsplit(probe.environment["CARD_API"])
    name = f"{probe.client}.http"
    if probe.ask("open", name=name, to=[to.hostname, to.port])["said"] != "open":
        return False
    probe.ask("send", name=name, text="GET /alive HTTP/1.0\r\n\r\n")
    told = probe.ask("look", name=name, wait=wait, until=" 200 ")
    probe.ask("close", name=name)
    return " 200 " in told["got"]


@dataclass
class Lines:
    """Connections by name, made anew for each test."""

    admin: Any
    open: list[Line] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def of(cls, system: Any) -> Lines:
        """Past the links: the harness's own way to the broker."""
        end = system.broker_server.endpoint
        return cls(redis.Redis(host=end.host, port=end.port, password=end.password, decode_responses=True))

    def line(self, probe: Probe) -> Line:
        """Not connected yet."""
        line = Line(probe, f"{probe.client}.{next(self._numbers)}", self.admin)
        self.open.append(line)
        return line

    def standing(self, probe: Probe) -> Line:
        """Logged in, subscribed, and proven in both directions."""
        line = self.line(probe)
        assert line.open() == "open"
        line.log_in()
        wait_until(lambda: dict(self.admin.pubsub_numsub(line.name)).get(line.name), f"{line.name} has subscribed", DEADLINE)
        line.speak()
        line.becomes(FULL, "before the fault")
        return line

    def close(self) -> None:
        """All of them."""
        for line in self.open:
            line.close()
        self.open.clear()
