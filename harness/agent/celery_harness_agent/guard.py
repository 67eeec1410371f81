"""Fail closed: no connection but to what the harness started, and no start on brokers that are not ours."""

from __future__ import annotations

import _socket
import ipaddress
import json
import socket
import sys
from typing import Any, Callable, Mapping

from celery_harness_agent.frames import Frames
from celery_harness_agent.journal import Journal, mono, quoted
from celery_harness_agent.names import Names
from celery_harness_agent.settings import Settings

__all__ = ["Guard"]

_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"})
_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", ""})
_LOOPBACK = "127.0.0.1"


class Guard:
    """An audit hook: cannot be removed, and forked children have it too.

    It sees what goes through Python's socket module, and so can name the user's line. A C library with sockets of its own (libpq,
    librdkafka) is held by the wall (wall.py), and in containers by a network that has no way out.
    """

    def __init__(
        self, settings: Settings, frames: Frames, journal: Journal | None, on_refusal: Callable[[str, list[str]], None] | None = None
    ) -> None:
        self._allowed = {(_normal(host), port) for host, port in settings.allow}
        self._hosts = {host for host, _ in self._allowed}
        self._egress = [_host_and_port(entry) for entry in settings.egress]
        #: What is named rather than numbered: in containers our own servers too.
        self._named = self._egress + [(host, port) for host, port in self._allowed if not _is_address(host)]
        self._resolved: dict[str, set[str]] = {}
        self._names = Names(settings.names)
        self._frames = frames
        self._journal = journal
        self._on_refusal = on_refusal
        self._seen: set[tuple[str, str]] = set()
        self._asked: dict[str, Callable[[str, Any], None]] = {}

    def install(self, others: Mapping[str, Callable[[str, Any], None]] | None = None) -> None:
        """From here on. Answers for names that are open are remembered: connections are made to addresses. Names that a service stands
        for lead to it (`Names`).

        ``others``: what else wants to know of which event; one hook for all, since each costs at every event.
        """
        if self._named:
            self._remember_answers()
        self._names.install()
        asked = self._asked = {**dict.fromkeys(_EVENTS, self._judge), **(others or {})}

        # A plain function: the interpreter looks for `__cantrace__` on a hook at every event, some sixteen times a task,
        # and on a bound method that is not there costs an AttributeError (700 ns against 240).
        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in asked:
                asked[event](event, arguments)

        sys.addaudithook(hook)

    def retire(self) -> None:
        """Another one is about to be installed in this process: a fork with settings of its own."""
        self._asked.clear()

    def _judge(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.getaddrinfo", "socket.gethostbyname"):
            if not self._may_resolve(arguments[0]):
                if _normal(_text(arguments[0])) == _normal(socket.gethostname()):  # smtplib wants to know who it is, and does without
                    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
                self._refuse(_with_port(_text(arguments[0]), arguments[1] if len(arguments) > 1 else None))
            return
        sock, address = arguments[0], arguments[1]
        if address is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        host, port = _text(address[0]), address[1]
        if not self._may_connect(host, port):
            self._refuse(f"{self._names.called(host)}:{port}")

    def _may_connect(self, host: str, port: int) -> bool:
        normal = _normal(host)
        if (normal, port) in self._allowed:
            return True
        for name, only in self._named:
            if only in (None, port) and (_normal(name) == normal or normal in self._resolved.get(name, ())):
                return True
        return False

    def _may_resolve(self, host: Any) -> bool:
        """Addresses, our own names and the names that `egress` opens; asking for another name already leaves the machine."""
        if host is None:
            return True
        normal = _normal(_text(host))
        return (
            normal == _LOOPBACK or normal in self._hosts or _is_address(normal) or any(_normal(name) == normal for name, _ in self._egress)
        )

    def _refuse(self, address: str) -> None:
        stack = self._frames.stack(sys._getframe(1))
        key = (address, stack[0] if stack else "")
        if key not in self._seen:
            self._seen.add(key)
            if self._journal is not None:
                self._journal.emit(f'{{"k":"undeclared","m":{mono()},"address":{quoted(address)},"stack":{json.dumps(stack)}}}\n')
            if self._on_refusal is not None:
                self._on_refusal(address, stack)
        raise ConnectionRefusedError(
            f"celery-harness refuses the connection to {address}: the scenario does not declare it (services: or egress: open it)"
        )

    def _remember_answers(self) -> None:
        ask = _socket.getaddrinfo

        def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
            answers = ask(host, *arguments, **options)
            name = _text(host).lower() if host is not None else ""
            if any(name == opened for opened, _ in self._named):
                self._resolved.setdefault(name, set()).update(_normal(_text(answer[4][0])) for answer in answers)
            return answers

        _socket.getaddrinfo = getaddrinfo
        for function in ("gethostbyname", "gethostbyname_ex"):
            setattr(socket, function, self._remembering(getattr(socket, function)))

    def _remembering(self, ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def gethostbyname(host: Any) -> Any:
            answer = ask(host)
            name = _text(host).lower()
            if any(name == opened for opened, _ in self._named):
                addresses = answer[2] if isinstance(answer, tuple) else [answer]
                self._resolved.setdefault(name, set()).update(_normal(_text(address)) for address in addresses)
            return answer

        return gethostbyname


def _with_port(host: str, port: Any) -> str:
    """A name as it was asked for; many clients ask for the port too, and so say which service it is."""
    return f"{host}:{port}" if port and str(port).isdigit() else host


def _text(host: Any) -> str:
    return host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else str(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _normal(host: str) -> str:
    """One spelling per host: all of loopback is one (the ports are ours and nobody else's)."""
    name = host.lower().rstrip(".").partition("%")[0]
    if name in _LOOPBACK_NAMES:
        return _LOOPBACK
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    return _LOOPBACK if address.is_loopback else str(address)


def _host_and_port(entry: str) -> tuple[str, int | None]:
    """("api.example.com", 443) for api.example.com:443; a bare IPv6 address has no port."""
    host, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.startswith("[")):
        return host.strip("[]").lower(), int(port)
    return entry.strip("[]").lower(), None
