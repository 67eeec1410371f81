"""The wall around workers: the kernel asks before each connection, whoever makes it; real sockets are the witnesses."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.egress.wall import Wall, told_of
from harness.errors import EnvironmentFault

AGENT = Path(__file__).resolve().parents[2] / "harness" / "agent"
#: Each way returns what came of it; libc's own calls are those of any C library.
INSIDE = """
import ctypes, json, os, socket, struct, subprocess, sys
from celery_harness_agent import wall
wall.stand_behind()
libc = ctypes.CDLL(None, use_errno=True)

def struct_of(host, port):
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(host))

def by_python(host, port):
    with socket.socket() as sock:
        return sock.connect_ex((host, port))

def by_libc(host, port):
    with socket.socket() as sock:
        return 0 if libc.connect(sock.fileno(), struct_of(host, port), 16) == 0 else ctypes.get_errno()

def by_a_thread(host, port):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(by_libc, host, port).result()

def by_a_program(host, port):
    code = f"import socket; print(socket.socket().connect_ex(({host!r}, {port})))"
    return int(subprocess.run([sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE, check=True).stdout)

def after_a_fork(host, port):
    pid = os.fork()
    if pid == 0:
        os._exit(by_libc(host, port))
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])

def without_waiting(host, port):
    with socket.socket() as sock:
        sock.setblocking(False)
        error = sock.connect_ex((host, port))
        return 0 if error == 115 else error

def by_a_cut_name(host, port):
    libc.prctl(15, "a-worker-of-m\u00fc\u00df".encode()[:14], 0, 0, 0)  # PR_SET_NAME: half of a letter
    return by_libc(host, port)

def told(ask):
    try:
        ask()
    except OSError as exc:
        return exc.errno
    return 0

def makes(*what):
    return told(lambda: socket.socket(*what).close())

def by_sendto(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return told(lambda: sock.sendto(b"x", (host, port)))

def by_sendmsg(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return told(lambda: sock.sendmsg([b"x"], [], 0, (host, port)))

def by_fast_open(host, port):
    with socket.socket() as sock:
        return told(lambda: sock.sendto(b"x", 0x20000000, (host, port)))  # MSG_FASTOPEN

def by_ipv6(host, port):
    with socket.socket(socket.AF_INET6) as sock:
        return sock.connect_ex(("::ffff:" + host, port))

def says(host, port):
    with socket.create_connection((host, port), 5) as sock:
        return sock.recv(10).decode()

def by_name(name):
    return told(lambda: socket.getaddrinfo(name, 443)) or sorted({answer[4][0] for answer in socket.getaddrinfo(name, 443)})

def among_themselves():
    one, other = socket.socketpair()
    one.sendmsg([b"x"])
    return other.recv(1).decode()

print("ready", flush=True)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(globals()[name](*arguments)), flush=True)
"""
WAYS = ["by_python", "by_libc", "by_a_thread", "by_a_program", "after_a_fork", "without_waiting", "by_fast_open", "by_ipv6"]
REFUSED, NO_SUCH_CALL = 111, 38


class Inside:
    """A process behind the wall, which does what it is told."""

    def __init__(self, wall: Wall, settings: dict[str, Any], name: str) -> None:
        door = wall.door(name, settings)
        env = {**os.environ, "PYTHONPATH": str(AGENT), **told_of(door)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", INSIDE], env=env, stdin=pipe, stdout=pipe, text=True, pass_fds=[door.fileno()]
        )
        door.close()
        assert self.line() == "ready\n"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def does(self, *what: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.line())

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Place:
    """A server of somebody's; it says its name to whoever connects."""

    def __init__(self, name: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.1)
        self.name, self.port = name, self.listener.getsockname()[1]

    def reached(self) -> bool:
        try:
            connection, _ = self.listener.accept()
        except TimeoutError:
            return False
        with connection:
            connection.sendall(self.name.encode())
        return True


@pytest.fixture
def places() -> Iterator[tuple[Place, Place]]:
    ours, strange = Place("ours"), Place("strange")
    yield ours, strange
    ours.listener.close()
    strange.listener.close()


@pytest.fixture
def wall() -> Iterator[Wall]:
    found = Wall()
    yield found
    found.close()


@pytest.fixture
def start(wall: Wall) -> Iterator[Callable[..., Inside]]:
    with contextlib.ExitStack() as stack:

        def started(settings: dict[str, Any], name: str = "pay-1") -> Inside:
            found = Inside(wall, settings, name)
            stack.callback(found.end)
            return found

        yield started


def settings_of(ours: Place, **more: Any) -> dict[str, Any]:
    return {"allow": [["127.0.0.1", ours.port]], **more}


def test_what_is_declared_is_reached_and_nothing_else(places: tuple[Place, Place], wall: Wall, start: Callable[..., Inside]) -> None:
    ours, strange = places
    inside = start(settings_of(ours))
    for way in WAYS:
        if way != "by_fast_open":  # a machine may have that switched off
            assert (way, inside.does(way, "127.0.0.1", ours.port), ours.reached()) == (way, 0, True)
        assert (way, inside.does(way, "127.0.0.1", strange.port), strange.reached()) == (way, REFUSED, False)
    for way in ("by_sendto", "by_sendmsg"):
        assert inside.does(way, "127.0.0.1", strange.port) == REFUSED
    assert inside.does("among_themselves") == "x"
    address = f"127.0.0.1:{strange.port}"
    assert [one.partition(" (pay-1: ")[0] for one in wall.refused] == [address] * len(wall.refused) and wall.refused
    assert (wall.trouble, wall.held) == ("", 1)


def test_a_declared_host_leads_to_its_service_by_name_and_by_address(places: tuple[Place, Place], start: Callable[..., Inside]) -> None:
    ours, _ = places
    stands = {"host": "api.stripe.com", "port": 443, "at": "127.83.0.1", "to": ["127.0.0.1", ours.port]}
    inside = start(settings_of(ours, names=[stands]))
    assert inside.does("by_libc", "127.83.0.1", 443) == 0 and ours.reached()
    assert inside.does("without_waiting", "127.83.0.1", 443) == 0 and ours.reached()
    assert inside.does("by_libc", "127.83.0.1", 80) == REFUSED
    assert inside.does("by_name", "api.stripe.com") == ["127.83.0.1"], "asked by the C library, answered by us"


def test_a_name_that_nobody_declared_is_no_name_and_said_once(
    wall: Wall, places: tuple[Place, Place], start: Callable[..., Inside]
) -> None:
    inside = start(settings_of(places[0]))
    assert inside.does("by_name", "api.other.example") < 0  # EAI_NONAME, EAI_AGAIN
    assert wall.refused == ["api.other.example (pay-1, by name)"]


def test_sockets_that_nobody_sees_connect_are_not_there(wall: Wall, places: tuple[Place, Place], start: Callable[..., Inside]) -> None:
    inside = start(settings_of(places[0]))
    assert inside.does("makes", 17, socket.SOCK_RAW, 0x0300) == errno.EPERM
    assert inside.does("makes", int(socket.AF_INET), int(socket.SOCK_RAW), socket.IPPROTO_UDP) == errno.EPERM
    assert inside.does("makes", int(socket.AF_INET6), int(socket.SOCK_DGRAM), 0) == 0
    assert [one.partition(" (")[0] for one in wall.refused] == ["AF_PACKET socket", "raw IP socket"]


def test_each_process_has_ways_of_its_own(places: tuple[Place, Place], wall: Wall, start: Callable[..., Inside]) -> None:
    ours, strange = places
    one, other = start(settings_of(ours)), start(settings_of(strange), "ship-1")
    assert [one.does("by_libc", "127.0.0.1", place.port) for place in places] == [0, REFUSED]
    assert [other.does("by_libc", "127.0.0.1", place.port) for place in places] == [REFUSED, 0]
    one.end()
    assert other.does("by_libc", "127.0.0.1", strange.port) == 0, "the end of one is nobody else's"


def test_without_the_harness_nothing_is_connected(places: tuple[Place, Place], wall: Wall, start: Callable[..., Inside]) -> None:
    ours, _ = places
    inside = start(settings_of(ours))
    wall.close()
    assert inside.does("by_libc", "127.0.0.1", ours.port) == NO_SUCH_CALL and not ours.reached()


def test_no_name_server_holds_anybody_up(places: tuple[Place, Place]) -> None:
    ours, strange = places
    hangs = threading.Event()

    def ask(name: str) -> list[str]:
        hangs.wait(60)
        return []

    wall = Wall(ask)
    inside = Inside(wall, settings_of(ours, egress=["out.example"]), "pay-1")
    try:
        began = time.monotonic()
        assert inside.does("by_libc", "127.0.0.1", ours.port) == 0 and ours.reached()
        assert inside.does("by_libc", "127.0.0.1", strange.port) == REFUSED
        assert inside.does("by_libc", "192.0.2.7", 443) == REFUSED
        wall.close()
        assert time.monotonic() - began < 20, "the question is still being asked"
    finally:
        inside.end()
        wall.close()
        hangs.set()


def test_a_name_that_is_cut_inside_a_letter_is_a_name(places: tuple[Place, Place], wall: Wall, start: Callable[..., Inside]) -> None:
    ours, strange = places
    inside = start(settings_of(ours))
    assert inside.does("by_a_cut_name", "127.0.0.1", strange.port) == REFUSED
    assert wall.refused == [f"127.0.0.1:{strange.port} (pay-1: a-worker-of-m\ufffd)"]
    assert inside.does("by_libc", "127.0.0.1", ours.port) == 0 and ours.reached()


def test_a_call_that_cannot_be_judged_is_refused_and_told_once(
    places: tuple[Place, Place], wall: Wall, start: Callable[..., Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, strange = places
    inside = start(settings_of(ours))
    with monkeypatch.context() as patch:
        patch.setattr("harness.egress.wall.written", lambda address: {}[address])
        for _ in range(2):
            assert inside.does("by_libc", "127.0.0.1", strange.port) == REFUSED
    (told,) = wall.refused
    assert told.startswith("? (pay-1, not judged: KeyError:")
    assert inside.does("by_libc", "127.0.0.1", ours.port) == 0 and ours.reached(), "the wall stands"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_where_the_wall_has_failed_nobody_waits_for_it(wall: Wall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that comes just then ends with words; for one that comes later there is no door."""
    fails = threading.Event()

    def failing(descriptor: int, event: int) -> None:
        fails.wait(30)
        raise OSError(5, "broken")

    monkeypatch.setattr(wall, "_happened", failing)
    door = wall.door("pay-1", {})
    process = subprocess.Popen(
        [sys.executable, "-c", INSIDE],
        env={**os.environ, "PYTHONPATH": str(AGENT), **told_of(door)},
        pass_fds=[door.fileno()],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    door.close()
    fails.set()
    try:
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, said) == (
        69,
        "harness agent: the wall around this process is gone, so it could connect to nothing, and ends\n",
    )
    with pytest.raises(EnvironmentFault, match="pay-2 cannot start: the wall around workers is gone: it has failed: OSError"):
        wall.door("pay-2", {})


def test_where_the_kernel_refuses_it_is_said(wall: Wall, tmp_path: Path) -> None:
    """The agent says why, and the process goes on behind Python's guard alone."""
    code = INSIDE.replace("wall.stand_behind()", "wall.seccomp.trouble = lambda: 'it is forbidden here'\nwall.stand_behind()")
    door = wall.door("pay-1", {})
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(AGENT), **told_of(door)},
        pass_fds=[door.fileno()],
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=True,
    )
    door.close()
    deadline = time.monotonic() + 60
    while not wall.trouble and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done.returncode == 0 and wall.trouble == "it is forbidden here"
    assert wall.state == "none, only the guard in Python's sockets: it is forbidden here"


def test_where_the_kernel_lets_nobody_look_there_is_no_wall_and_that_is_said(
    places: tuple[Place, Place], wall: Wall, start: Callable[..., Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with kernel.yama.ptrace_scope=2: else no worker could connect to anything. Who hides later goes nowhere."""
    ours, strange = places

    def refuse(*_: object) -> bytes:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr("harness.egress.wall._read", refuse)
        blind = start(settings_of(ours))
        assert blind.does("by_libc", "127.0.0.1", ours.port) == 0 and ours.reached()
        assert "none, only the guard" in wall.state and "ptrace_scope" in wall.state
    inside = start(settings_of(ours))
    assert inside.does("by_libc", "127.0.0.1", ours.port) == 0 and ours.reached()
    monkeypatch.setattr("harness.egress.wall._read", refuse)
    assert inside.does("by_libc", "127.0.0.1", strange.port) == REFUSED and not strange.reached()
