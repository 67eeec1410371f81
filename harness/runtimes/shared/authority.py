"""A certificate authority for one run: servers get certificates that only this run's clients trust."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from harness.errors import UsageError
from harness.ports.broker import Tls

__all__ = ["FLAWS", "LASTING", "WRONG_NAME", "Authority"]

#: Ways in which a certificate can be bad, as a scenario's `tls:` names them.
FLAWS = ("wrong_name", "expired")
#: The only name in a certificate of the flaw `wrong_name`; .example is nobody's (RFC 2606).
WRONG_NAME = "wrong.example"

_BEFORE = timedelta(days=1)  # a container's or a remote engine's clock may be behind
_VALID = timedelta(days=7)
#: Of a certificate that a task sees whose clock is set: the explorer goes on by as much as a task asks for.
LASTING = timedelta(days=3650)


class Authority:
    """Made for one run. Its own key is never written; a server's key is in a file of mode 0600 below ``folder``.

    ``certificate``: where its own goes, for clients to read; none: into ``folder``. UsageError where trustme is not installed.
    """

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        try:
            import trustme
        except ImportError as exc:
            raise UsageError("TLS needs trustme, which is not installed", hint="pip install 'celery-harness[tls]'") from exc
        self._folder = folder
        self._authority = trustme.CA(organization_name="celery-harness", organization_unit_name="made for one run")
        self.certificate = certificate or folder / "authority.pem"
        folder.mkdir(parents=True, exist_ok=True)
        _write(self.certificate, self._authority.cert_pem.bytes(), 0o644)

    def issue(self, name: str, hosts: Sequence[str], *, flaw: str = "", valid: timedelta = _VALID) -> Tls:
        """Certificate and key for the server ``name``, valid for a week, or ``valid``, under the names and addresses ``hosts``.

        ``flaw``: '', 'wrong_name' (valid for `WRONG_NAME` alone) or 'expired' (since yesterday). A second certificate of
        the same name takes the place of the first.
        """
        if flaw and flaw not in FLAWS:
            raise ValueError(f"no such flaw: {flaw}")
        end = datetime.now(timezone.utc) + (-_BEFORE if flaw == "expired" else valid)
        names = (WRONG_NAME,) if flaw == "wrong_name" else tuple(dict.fromkeys(hosts))
        made = self._authority.issue_cert(*names, not_before=end - valid - _BEFORE, not_after=end)
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        _write(certificate, b"".join(pem.bytes() for pem in made.cert_chain_pems), 0o644)
        _write(key, made.private_key_pem.bytes(), 0o600)
        return Tls(self.certificate, certificate, key)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Never readable by more than ``mode`` says, not even for a moment."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)  # whatever the umask is
        stream.write(content)
