"""A mail server that the app sends through: it takes every mail, delivers none, and keeps them as its state."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import TYPE_CHECKING, Any, ClassVar

from harness.model.world import Collection, Row, StoreState
from harness.ports.store import SeenEffect, StoreHost, StoreParameters
from harness.stores._values import canonical

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope

    from harness.stores._smtp_server import LoopbackMailServer

__all__ = ["SmtpParameters", "SmtpStore"]


class SmtpParameters(StoreParameters):
    """Keys of a service ``smtp``: none."""


class SmtpStore:
    """See `Store`. One collection ``mails``: a row per mail that was accepted, so one that was sent twice is two rows.

    Columns: sender and recipients of the envelope, subject, message_id, text (of each part that is text), attachments (name, type,
    size, sha256). Other headers, the date among them, are how a mail was sent and not what it says.
    """

    kind: ClassVar[str] = "smtp"
    summary: ClassVar[str] = "a mail server that takes every mail and delivers none"
    Parameters: ClassVar[type[StoreParameters]] = SmtpParameters
    lists_in_order: ClassVar[bool] = True  # as they came

    def __init__(self, name: str, parameters: Any) -> None:
        self.name, self.parameters = name, parameters
        self._server: LoopbackMailServer | None = None
        self._told = ("", 0)  # where the app finds it
        self._lock = threading.Lock()
        self._mails: list[Row] = []
        self._effects: list[SeenEffect] = []
        self._changes = 0

    def start(self, host: StoreHost) -> None:
        """Listen on a port of 127.0.0.1 that the system chooses."""
        # Here, not above: the import costs time, and `--help` does not need it.
        from harness.stores._smtp_server import LoopbackMailServer

        self.clear()
        self._server = LoopbackMailServer(self._accept, name=self.name)
        self._told = host.expose(self.name, self._server.port)

    @property
    def _address(self) -> tuple[str, int]:
        assert self._server is not None, f"{self.name} is not started"
        return self._told

    def offers(self) -> Mapping[str, str]:
        """``url`` (smtp://host:port), ``host``, ``port``. No TLS; any user and password are taken."""
        host, port = self._address
        return {"url": f"smtp://{host}:{port}", "host": host, "port": str(port)}

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The server's."""
        return (self._address,)

    def clear(self) -> None:
        """No mails; connections stay."""
        with self._lock:
            self._mails, self._effects = [], []
            self._changes += 1

    def observe(self) -> StoreState:
        """The mails, in the order in which they came."""
        with self._lock:
            return StoreState(self.name, {"mails": Collection("mails", tuple(self._mails))})

    def touched(self) -> int:
        """The number of changes so far."""
        with self._lock:
            return self._changes

    def settled(self) -> bool:
        """See `Settles`."""
        assert self._server is not None, f"{self.name} is not started"
        return self._server.settled()

    def effects(self) -> list[SeenEffect]:
        """See `LogsEffects`."""
        with self._lock:
            return list(self._effects)

    def save(self) -> tuple[Row, ...]:
        """The mails. Rows are never changed in place."""
        with self._lock:
            return tuple(self._mails)

    def restore(self, image: Any) -> None:
        """The log of effects goes on."""
        with self._lock:
            self._mails = list(image)
            self._changes += 1

    def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        self._server = None

    def _accept(self, envelope: Envelope) -> None:
        row = _row(envelope)
        with self._lock:
            self._mails.append(row)
            self._changes += 1
            told = f"mail to {', '.join(row['recipients'])}"
            self._effects.append(SeenEffect(time.monotonic(), told, "accepted", "mails", row))


def _row(envelope: Envelope) -> Row:
    content = envelope.original_content or b""
    message = BytesParser(_class=EmailMessage, policy=default).parsebytes(content)
    texts, attachments = [], []
    for part in message.walk():
        if part.is_multipart():
            continue
        body = part.get_payload(decode=True)
        raw = body if isinstance(body, bytes) else b""
        if part.get_content_maintype() == "text" and not part.is_attachment():
            texts.append(_text(raw, part.get_content_charset("utf-8")))
        else:
            digest = hashlib.sha256(raw).hexdigest()
            attachments.append({"name": part.get_filename(), "type": part.get_content_type(), "size": len(raw), "sha256": digest})
    return {
        "sender": envelope.mail_from or "",
        "recipients": sorted(envelope.rcpt_tos),
        "subject": _header(message, "Subject"),
        "message_id": _header(message, "Message-ID"),
        "text": texts,
        "attachments": attachments,
    }


def _header(message: EmailMessage, name: str) -> str | None:
    value = message.get(name)
    return None if value is None else str(value)


def _text(raw: bytes, charset: str) -> Any:
    try:
        return raw.decode(charset).replace("\r\n", "\n")
    except (UnicodeDecodeError, LookupError):
        return canonical(raw)
