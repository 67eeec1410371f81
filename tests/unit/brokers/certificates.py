"""Certificates for tests: an authority of their own, good ones and bad ones."""

from __future__ import annotations

import datetime
from pathlib import Path

import trustme

from harness.ports.broker import Tls


def issue(folder: Path, *hosts: str, expired: bool = False) -> Tls:
    """A server's certificate for these names or addresses, and the authority that vouches for it."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    certificate = authority.issue_cert(
        *hosts, not_before=yesterday - datetime.timedelta(days=1), **({"not_after": yesterday} if expired else {})
    )
    found = Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(str(found.authority))
    found.certificate.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(found.key))
    return found
