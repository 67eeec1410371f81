"""URLs of the app's own that a service stands for: a scheme, a host's name and a port, and nothing more."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["Host", "host_of"]

_PORTS = {"https": 443, "http": 80}
#: RFC 1123, 2.1; what a name server is asked for.
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_EXAMPLE = "write it as https://api.example.com or http://api.example.com:8080"


class Host(NamedTuple):
    """One of them. ``name``: in small letters, without a dot at its end."""

    scheme: str
    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.name}" + (f":{self.port}" if self.port != _PORTS[self.scheme] else "")


def host_of(url: str) -> Host:
    """ValueError, in words, for what is no such URL."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"{url} is no URL: {exc}; {_EXAMPLE}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url} is no URL of https or http; {_EXAMPLE}")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{url} has more than a host and a port: the service answers all its paths, see `routes`; {_EXAMPLE}")
    name = parts.hostname.lower().rstrip(".")
    if "*" in name:
        raise ValueError(f"{url}: a host is named in full, each of several by itself; {_EXAMPLE}")
    if _is_address(name) or name == "localhost" or name.endswith(".localhost"):
        raise ValueError(f"{url} is no name that leads elsewhere: give the app `${{{{ service.url }}}}` by `env`")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"`{name}` cannot be the name of a host; {_EXAMPLE}")
    if port == 0:
        raise ValueError(f"{url}: 0 is no port; {_EXAMPLE}")
    return Host(parts.scheme, name, port or _PORTS[parts.scheme])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
