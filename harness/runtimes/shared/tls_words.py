"""What is wrong with a TLS connection, read from the log of the process that gave up on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

__all__ = ["Contents", "contents", "tls_failure"]


@dataclass(frozen=True, slots=True)
class Contents:
    """Of a certificate: the names and addresses that it is for, and when it ends."""

    names: tuple[str, ...]
    ends: datetime


def contents(certificate: Path) -> Contents:
    """Read a PEM file that `Authority` wrote."""
    from cryptography import x509  # trustme brings it

    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    # cryptography before 42 has the naive one only.
    ends = getattr(found, "not_valid_after_utc", None) or found.not_valid_after.replace(tzinfo=timezone.utc)
    return Contents(tuple(str(name.value) for name in names), ends)


def tls_failure(lines: Sequence[str], certificates: Sequence[Contents] = ()) -> str:
    """One sentence, without a full stop, on why TLS failed; '' where no line says that it did. The latest line counts.

    Knows the words of Python's ssl (redis-py, py-amqp), of libpq (psycopg, psycopg2) and of OpenSSL's alerts.
    ``certificates``: those of the run's servers; the sentence names what is in the one that explains the failure.
    """
    for line in reversed(lines):
        for pattern, sentence in _WORDS:
            if found := pattern.search(line):
                return sentence(found, certificates)
    return ""


_Sentence = Callable[["re.Match[str]", Sequence[Contents]], str]


def _not_for(found: re.Match[str], certificates: Sequence[Contents]) -> str:
    host = found["host"]
    said = found.groupdict().get("name")
    names = [said] if said else next((list(c.names) for c in certificates if host not in c.names), [])
    return f"the certificate is for {', '.join(names)}, not for {host}" if names else f"the certificate is not for {host}"


def _expired(_: re.Match[str], certificates: Sequence[Contents]) -> str:
    past = [c.ends for c in certificates if c.ends < datetime.now(timezone.utc)]
    return f"the certificate expired on {min(past):%Y-%m-%d %H:%M} UTC" if past else "the certificate has expired"


def _unverified(found: re.Match[str], certificates: Sequence[Contents]) -> str:
    """libpq does not say why."""
    if any(c.ends < datetime.now(timezone.utc) for c in certificates):
        return _expired(found, certificates)
    return "the certificate cannot be verified: it has expired, or an authority that is not trusted signed it"


def _always(text: str) -> _Sentence:
    return lambda found, _: text.format(**found.groupdict())


_UNTRUSTED = "the certificate was signed by an authority that is not trusted: {why}"
_WORDS: Sequence[tuple[re.Pattern[str], _Sentence]] = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence)
    for pattern, sentence in (
        # Python's ssl, after "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed:".
        (r"(?:hostname|ip address) mismatch, certificate is not valid for '(?P<host>[^']+)'", _not_for),
        (r"verify failed: certificate has expired|alert certificate expired", _expired),
        (r"verify failed: (?P<why>certificate is not yet valid)", _always("the {why}")),
        (r"verify failed: (?P<why>self[- ]signed certificate(?: \w+)*|unable to get (?:local )?issuer certificate)", _always(_UNTRUSTED)),
        # libpq: src/interfaces/libpq/fe-secure-common.c, fe-secure-openssl.c.
        (r'certificate for "(?P<name>[^"]+)"[^"]* does not match host name "(?P<host>[^"]+)"', _not_for),
        (r'root certificate file "(?P<path>[^"]+)" does not exist', _always("the authority's certificate {path} is not there")),
        (r"server does not support SSL, but SSL was required", _always("the app asks for TLS and the server has none")),
        # A client that speaks TLS to a server that does not.
        (r"\[SSL: (?:WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE)\]", _always("the app asks for TLS and the server has none")),
        (r"alert unknown ca\b", _always(_UNTRUSTED.format(why="unknown CA"))),
        (
            r"alert (?P<why>bad certificate|certificate unknown|certificate required|handshake failure)",
            _always("the other side refused: {why}"),
        ),
        (r"certificate[ _]verify[ _]failed", _unverified),
    )
)
