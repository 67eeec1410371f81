"""What a Redis server of ours is told: where it listens, what it keeps, who may do what."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from types import MappingProxyType

from harness.ports.broker import Endpoint

__all__ = ["RIGHTS", "configuration", "digest", "rules"]

#: All that works on data, whatever its key: Celery's queues and results, and what the app itself keeps beside them. Not what
#: concerns the server as a whole: @admin and @dangerous are CONFIG, SHUTDOWN, FLUSHALL, KEYS, INFO, MONITOR, ACL, … Redis 6.2
#: counts all of CLIENT among them, with which clients say who they are; `client|setinfo` cannot be named to servers before 7.2.
_WORKER = "+@all -@admin -@dangerous +client|setname +client|getname +client|id"
#: Rights of each user that an endpoint has a login for. A producer puts messages in and reads results: it takes no message out.
RIGHTS = MappingProxyType(
    {
        "worker": _WORKER,
        "producer": f"{_WORKER} -@blocking -lpop -rpop -lmove -rpoplpush",
    }
)


def configuration(endpoint: Endpoint, *, bind: str, port: int, folder: str, persistence: bool, tls: tuple[str, str, str] | None) -> str:
    """The text of redis.conf. ``tls``: paths of certificate, key and authority; with it nothing is spoken in the clear."""
    settings = {
        "bind": bind,
        "port": "0" if tls else str(port),
        "protected-mode": "yes",
        "dir": _quoted(folder),
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
    if tls:
        certificate, key, authority = map(_quoted, tls)
        settings |= {"tls-port": str(port), "tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": authority}
        settings["tls-auth-clients"] = "no"
    return "".join(f"{name} {value}\n" for name, value in settings.items()) + "".join(_users(endpoint))


def _users(endpoint: Endpoint) -> Iterator[str]:
    """Access control lists (https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/), since Redis 6."""
    if endpoint.password:
        yield f"user default on #{digest(endpoint.password)} ~* &* +@all\n"
    for role, login in sorted(endpoint.logins.items()):
        yield f"user {login.user} {' '.join(rules(role, login.password))}\n"


def rules(role: str, password: str) -> list[str]:
    """What `ACL SETUSER` takes after a user's name."""
    return ["reset", "on", f"#{digest(password)}", "~*", "&*", *RIGHTS[role].split()]


def digest(password: str) -> str:
    """A server that only knows the digest can tell nobody the password."""
    return hashlib.sha256(password.encode()).hexdigest()


def _quoted(text: str) -> str:
    """A configuration file's string: the server reads \\xHH."""
    return '"' + "".join(chr(b) if (chr(b).isalnum() and b < 128) or b in b"/._-" else f"\\x{b:02x}" for b in os.fsencode(text)) + '"'
