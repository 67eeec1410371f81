"""The wall around workers: before each connection, by whichever library or program, the kernel asks here (seccomp user notification).

One thread per system. When it is gone, with this process, connections fail (ENOSYS): nothing leaks.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.egress.addresses import NAME_SERVICES, Address, address_of, written
from harness.egress.listener import Call, Listener
from harness.egress.name_server import NameServer
from harness.egress.resolver import Resolver
from harness.egress.sockets import connect_for, kind_of, process_of, strange
from harness.egress.ways import Ways
from harness.errors import EnvironmentFault

__all__ = ["VARIABLE", "Wall", "told_of"]

#: Where the agent finds the descriptor by which it hands its listener over (its wall.py).
VARIABLE = "CELERY_HARNESS_WALL"
_LENGTH = struct.Struct("!I")
_LARGEST_ADDRESS = 128
#: sendmmsg takes no more at once (UIO_MAXIOV); struct mmsghdr on 64 bits, which begins with a struct msghdr.
_MOST_DATAGRAMS, _MMSGHDR = 1024, 64
_DNS = 53
#: What the loop does takes no longer, unless a process breaks off in the middle of its first message.
_CLOSING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Inside:
    """One process with all that it starts."""

    name: str
    ways: Ways
    calls: Mapping[int, str]
    listener: Listener


class Wall:
    """`door` for each process that is about to start; what was refused is in `refused`, and why a process has no wall in `trouble`.

    ``ask``: name -> its addresses, for the names of `egress`; by default this machine's resolver.
    """

    def __init__(self, ask: Callable[[str], Iterable[str]] | None = None) -> None:
        self._resolver = Resolver(ask) if ask is not None else Resolver()
        self._poll = select.poll()
        self._waking, self._wake = os.pipe()
        self._lock = threading.Lock()
        self._coming: dict[int, tuple[str, Ways, socket.socket]] = {}
        self._inside: dict[int, _Inside] = {}
        self._servers: dict[int, tuple[Ways, NameServer]] = {}
        self._refused: dict[str, None] = {}
        self._looked: set[int] = set()  # listeners of processes whose memory could be read
        self._ended = False
        self._serves = True  # the loop runs, or is about to
        self.trouble = ""
        self.held = 0  # processes that stand behind it, or stood
        self._poll.register(self._waking, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="egress-wall", daemon=True)
        self._thread.start()

    @property
    def refused(self) -> list[str]:
        """ "host:port (worker: program)", in the order in which they came."""
        with self._lock:
            return list(self._refused)

    @property
    def state(self) -> str:
        """In words, for the report."""
        if self.trouble:
            return f"none, only the guard in Python's sockets: {self.trouble}"
        return "seccomp, around workers and producer"

    def door(self, name: str, settings: Mapping[str, Any]) -> socket.socket:
        """The end that the process ``name`` inherits, by the number in `VARIABLE`; close it here once that runs.

        EnvironmentFault where nobody would answer there any more.
        """
        ways = Ways(settings, self._resolver)
        with self._lock:
            if not self._serves:
                what = f"{name} cannot start: the wall around workers is gone: {self.trouble or 'it is closed'}"
                raise EnvironmentFault(what, hint="system.wall: false does without")
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            ours.settimeout(10)
            self._coming[ours.fileno()] = (name, ways, ours)
            self._poll.register(ours, select.POLLIN)
            os.write(self._wake, b"\0")
        return theirs

    def close(self) -> None:
        """Also twice. Calls that wait fail. Takes a few seconds at most."""
        if self._ended:
            return
        self._ended = True
        os.write(self._wake, b"\0")
        self._thread.join(_CLOSING_SECONDS)
        if self._thread.is_alive():
            return  # it still uses what would be closed here; it ends by itself, or with this process
        os.close(self._waking)
        os.close(self._wake)

    # --- the loop ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ended:
                for descriptor, event in self._poll.poll():
                    self._happened(descriptor, event)
        except BaseException as exc:
            self.trouble = f"it has failed: {type(exc).__name__}: {exc}"
            raise
        finally:  # nobody may wait for an answer that does not come
            with self._lock:
                self._serves = False
                coming = [ours for _, _, ours in self._coming.values()]
                self._coming.clear()
            for ours in coming:
                ours.close()
            for inside in self._inside.values():
                inside.listener.close()
            for _, server in self._servers.values():
                server.close()

    def _happened(self, descriptor: int, event: int) -> None:
        """Of a descriptor that is gone meanwhile nothing is left to do."""
        if descriptor == self._waking:
            os.read(self._waking, 4096)
        elif descriptor in self._coming:
            self._comes(descriptor)
        elif descriptor in self._servers:
            with contextlib.suppress(Exception):  # who gets no answer asks again
                self._servers[descriptor][1].serve()
        elif descriptor in self._inside and event & select.POLLIN:
            self._one_call(self._inside[descriptor])
        elif descriptor in self._inside:
            self._all_gone(descriptor)

    def _comes(self, descriptor: int) -> None:
        """A process hands its listener over, says why it has none, or has ended before."""
        with self._lock:
            name, ways, ours = self._coming.pop(descriptor)
        self._poll.unregister(descriptor)
        # Whatever is wrong with it: the socket is closed, which ends that process, and nobody else has to do with it.
        with ours, contextlib.suppress(Exception):
            data, descriptors, _, _ = socket.recv_fds(ours, 1 << 16, 1)
            while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
                part = ours.recv(1 << 16)
                if not part:
                    return
                data += part
            told = json.loads(data[_LENGTH.size :])
            if not descriptors:
                self.trouble = str(told.get("what") or "no listener came")
                return
            calls = {int(number): str(call) for number, call in told["calls"].items()}
            listener = Listener(descriptors[0])
            self._inside[listener.fileno()] = _Inside(name, ways, calls, listener)
            self._poll.register(listener, select.POLLIN)
            self.held += 1
            ours.sendall(_LENGTH.pack(2) + b"{}")

    def _all_gone(self, descriptor: int) -> None:
        """The last process behind this listener has ended."""
        self._poll.unregister(descriptor)
        inside = self._inside.pop(descriptor)
        self._looked.discard(descriptor)
        inside.listener.close()
        for number, (ways, server) in list(self._servers.items()):
            if ways is inside.ways:
                self._poll.unregister(number)
                del self._servers[number]
                server.close()

    # --- one call ------------------------------------------------------------------------------------------------------

    def _one_call(self, inside: _Inside) -> None:
        try:
            call = inside.listener.receive()
        except OSError:
            self._all_gone(inside.listener.fileno())
            return
        if call is None:
            return
        try:
            self._decide(inside, call)
        except Exception as exc:  # it is refused and told, and everybody's wall stands
            self._note(f"? ({inside.name}, not judged: {type(exc).__name__}: {exc})")
            with contextlib.suppress(EnvironmentFault):
                inside.listener.fail(call, errno.ECONNREFUSED)

    def _decide(self, inside: _Inside, call: Call) -> None:
        name = inside.calls.get(call.number, "")
        if name == "socket":
            self._refuse(inside, call, written(strange(*(argument & 0xFFFFFFFF for argument in call.arguments[:3]))))
            inside.listener.fail(call, errno.EPERM)
            return
        try:
            addresses = _addresses(call, name)
            self._looked.add(inside.listener.fileno())
        except PermissionError as exc:
            # From the first call on: the kernel lets nobody look, and the guard in Python's sockets stands alone, as where it refuses the
            # filter. Later: a program of theirs hides its memory, and goes nowhere.
            if inside.listener.fileno() in self._looked:
                inside.listener.fail(call, errno.ECONNREFUSED)
                return
            self.trouble = f"the memory of a process cannot be read: {exc.strerror} (kernel.yama.ptrace_scope may be 0 or 1)"
            inside.listener.go_on(call)
            return
        except OSError:
            inside.listener.fail(call, errno.EFAULT)  # as the kernel says of an address that nobody can read
            return
        if all(self._allowed(inside, call, name, address) for address in addresses):
            inside.listener.go_on(call)

    def _allowed(self, inside: _Inside, call: Call, name: str, address: Address) -> bool:
        """False: it was answered here."""
        ways = inside.ways
        if address[0].startswith(NAME_SERVICES):
            inside.listener.fail(call, errno.ENOENT)
            return False
        if address[0].startswith("unix:") or ways.is_open(address):
            return True
        if name == "connect":
            process, descriptor = process_of(call.thread), call.arguments[0] & 0xFFFFFFFF
            kind = kind_of(process, descriptor)
            to = ways.leads_to(address) if kind == socket.SOCK_STREAM else None
            if kind == socket.SOCK_DGRAM and address[1] == _DNS:
                to = self._name_server(inside).address
            elif kind == socket.SOCK_DGRAM and (not address[1] or ways.stands_for_a_host(address[0])):
                return True  # sends nothing: the C library connects such ones to sort the addresses that it was told
            if to is not None:
                _tell(inside.listener, call, connect_for(inside.listener, call, process, descriptor, to))
                return False
        self._refuse(inside, call, written(ways.called(address)))
        inside.listener.fail(call, errno.ECONNREFUSED)
        return False

    def _refuse(self, inside: _Inside, call: Call, address: str) -> None:
        program = ""
        with contextlib.suppress(OSError):
            program = Path(f"/proc/{call.thread:d}/comm").read_text(errors="replace").strip()
        self._note(f"{address} ({inside.name}: {program})" if program else f"{address} ({inside.name})")

    def _note(self, refused: str) -> None:
        with self._lock:
            self._refused[refused] = None

    def _name_server(self, inside: _Inside) -> NameServer:
        """Of all processes that are told the same; made when the first of them asks."""
        for ways, server in self._servers.values():
            if ways is inside.ways:
                return server
        known: set[str] = set()

        def unknown(name: str) -> None:
            # The C library tries a name again below each domain that this machine searches.
            if not any(name.startswith(f"{one}.") for one in known):
                known.add(name)
                self._note(f"{name} ({inside.name}, by name)")

        server = NameServer(inside.ways.answer, unknown)
        self._servers[server.fileno()] = (inside.ways, server)
        self._poll.register(server, select.POLLIN)
        return server


def told_of(door: socket.socket | None) -> dict[str, str]:
    """For the environment of the process that inherits it."""
    return {VARIABLE: str(door.fileno())} if door is not None else {}


def _tell(listener: Listener, call: Call, error: int) -> None:
    if error:
        listener.fail(call, error)
    else:
        listener.answer(call)


def _addresses(call: Call, name: str) -> list[Address]:
    """Those that the call names; none where it goes on where it is connected to already. OSError where they cannot be read."""
    _, first, second, _, fourth, fifth = call.arguments
    if name == "connect":
        places = [(first, second & 0xFFFF)]
    elif name == "sendto":
        places = [(fourth, fifth & 0xFFFF)]
    else:
        count = min(second & 0xFFFFFFFF, _MOST_DATAGRAMS) if name == "sendmmsg" else 1
        headers = _read(call.thread, first, _MMSGHDR * count)
        places = [struct.unpack_from("=QI", headers, at) for at in range(0, len(headers) - 15, _MMSGHDR)]
    found = [address_of(_read(call.thread, where, min(size, _LARGEST_ADDRESS))) for where, size in places if where and size]
    return [address for address in found if address is not None]


def _read(thread: int, address: int, size: int) -> bytes:
    with Path(f"/proc/{thread:d}/mem").open("rb", buffering=0) as memory:
        try:
            memory.seek(address)
        except (ValueError, OverflowError) as exc:
            raise OSError(errno.EFAULT, "no address") from exc
        return memory.read(size) or b""
