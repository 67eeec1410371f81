"""``host:port`` as text, as Toxiproxy has it."""

from __future__ import annotations

__all__ = ["joined", "parted"]

LOOPBACK = "127.0.0.1"


def parted(address: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:80``, ``name:80``, ``[::1]:80`` and ``:80``. ValueError says what is wrong."""
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ValueError(f"address {address}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"address {address}: too many colons in address")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"address {address}: invalid port")
    return host, int(port)


def joined(host: str, port: int) -> str:
    """The text of an address; a literal IPv6 host goes into brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
