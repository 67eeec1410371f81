"""Hosts of a test: network namespaces on one machine, each with a loopback of its own, and a cable from the first to each other one.

They reach one another as hosts do: by address alone. What listens on loopback of one is on none of the others.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import wait_until

__all__ = ["Host", "Network", "listening", "network"]

#: Like `ssh -L PORT:127.0.0.1:PORT`: listens on loopback in one namespace, and connects to loopback in another one.
TUNNEL = """
import ctypes, os, socket, sys, threading

other, *ports = sys.argv[1:]
listeners = [socket.create_server(("127.0.0.1", int(port))) for port in ports]
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000

def enter():
    # Of the thread that calls it: each has to.
    if libc.setns(os.open(other, os.O_RDONLY), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")

def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for end in (a, b):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def serve(listener):
    enter()
    port = listener.getsockname()[1]
    while True:
        here, _ = listener.accept()
        try:
            there = socket.create_connection(("127.0.0.1", port))
        except OSError:
            here.close()
            continue
        for pair in ((here, there), (there, here)):
            threading.Thread(target=copy, args=pair, daemon=True).start()

for listener in listeners:
    threading.Thread(target=serve, args=(listener,)).start()
print("open", flush=True)
"""


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@dataclass(frozen=True)
class Host:
    """``namespace``: its name; ``address``: at which the others reach it; ``ahead``: by how many seconds its CLOCK_MONOTONIC is."""

    namespace: str
    address: str
    ahead: int = 0

    @property
    def prefix(self) -> list[str]:
        """Of a command that is to run here."""
        clock = ["unshare", "--fork", "--kill-child", "--time", f"--monotonic={self.ahead}"] if self.ahead else []
        return ["ip", "netns", "exec", self.namespace, *clock]

    def start(self, *command: str, cwd: Path, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """A process of this host."""
        return subprocess.Popen([*self.prefix, *command], cwd=cwd, env={**os.environ, **(env or {})}, text=True, **options)


@dataclass
class Network:
    """Hosts that reach one another, and what runs there."""

    tag: str
    hosts: list[Host] = field(default_factory=list)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, host: Host, *command: str, cwd: Path, env: dict[str, str] | None = None, log: Path) -> subprocess.Popen[str]:
        """A process of a host's, until the network goes."""
        with log.open("w") as out:
            process = host.start(*command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def tunnel(self, host: Host, *ports: int) -> None:
        """From loopback of this host to loopback of the test's own namespace, as ssh makes one."""
        own = f"/proc/{os.getpid()}/ns/net"
        command = (sys.executable, "-c", TUNNEL, own, *map(str, ports))
        process = host.start(*command, cwd=Path("/"), stdout=subprocess.PIPE)
        self.processes.append(process)
        assert process.stdout is not None and process.stdout.readline() == "open\n"

    def close(self) -> None:
        """All of it, also half of it."""
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for host in self.hosts:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", host.namespace)  # and its end of every cable with it, which takes the other end along


@pytest.fixture
def network() -> Iterator[Callable[..., Network]]:
    """Makes hosts, one for each number: how far its clock is ahead, in seconds."""
    if os.geteuid():
        pytest.skip("needs root: who else may make network namespaces differs by system")
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            pytest.skip(f"needs a server: {program} is not on PATH (Debian: iproute2, util-linux)")
    made: list[Network] = []

    def make(*ahead: int) -> Network:
        # Names of interfaces are short, and the subnet is drawn, so that tests beside this one have others.
        found = Network(secrets.token_hex(3))
        made.append(found)
        subnet = f"10.231.{int(found.tag, 16) % 254 + 1}"
        try:
            for number, seconds in enumerate(ahead, 1):
                _join(found, Host(f"cht-{found.tag}-{number}", f"{subnet}.{number}", seconds), number)
        except subprocess.CalledProcessError as exc:
            pytest.skip(f"needs a server: namespaces are refused (`{' '.join(exc.cmd)}`: {exc.stderr.strip()})")
        return found

    try:
        yield make
    finally:
        for one in made:
            one.close()


def _join(found: Network, host: Host, number: int) -> None:
    _ip("netns", "add", host.namespace)
    found.hosts.append(host)
    _ip("-n", host.namespace, "link", "set", "lo", "up")
    if host.ahead:
        subprocess.run([*host.prefix, "true"], check=True, capture_output=True, text=True)
    if number == 1:
        return
    first, there, here = found.hosts[0], f"chs{found.tag}{number}", f"chn{found.tag}{number}"
    _ip("link", "add", there, "netns", first.namespace, "type", "veth", "peer", "name", here, "netns", host.namespace)
    for end, name, peer in ((first, there, host), (host, here, first)):
        _ip("-n", end.namespace, "addr", "add", end.address, "peer", peer.address, "dev", name)
        _ip("-n", end.namespace, "link", "set", name, "up")


def listening(host: Host, port: int) -> None:
    """Until somebody listens there."""
    probe = f"import socket; socket.create_connection(({host.address!r}, {port}), 2).close()"

    def answers() -> bool:
        return subprocess.run([*host.prefix, sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0

    wait_until(answers, f"{host.address}:{port} answers", 20)
