"""How the harness itself speaks to an encrypted server of its run, also to one whose certificate no client may trust."""

from __future__ import annotations

import ssl
from typing import Any

from harness.ports.broker import Tls

__all__ = ["run_context", "wrapped"]

#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME (openssl/x509_vfy.h); Python's ssl has no name for it.
_NO_CHECK_TIME = 0x200000


def run_context(tls: Tls) -> ssl.SSLContext:
    """Trusts what the run's authority has signed, and nothing else; the name and the dates in a certificate do not count.

    They may be the flaw that the scenario asks for (``tls: expired``), and the harness still has to look in. It is no way
    past verification: the authority's key is in this process alone, so only a server of this run has such a certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    context.load_verify_locations(str(tls.authority))
    return context


def wrapped(connection_class: type[Any], tls: Tls | None) -> type[Any]:
    """A connection class of redis-py (4.5 to 8.1: `_connect` returns the connected socket) that encrypts by `run_context`.

    redis-py takes flags of verification only since 6.1, and a context never. The class itself where there is no TLS.
    """
    if tls is None:
        return connection_class
    context = run_context(tls)

    class RunConnection(connection_class):  # type: ignore[misc]
        def _connect(self) -> Any:
            return context.wrap_socket(super()._connect())

    return RunConnection
