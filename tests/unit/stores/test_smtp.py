from __future__ import annotations

import contextlib
import hashlib
import smtplib
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from harness.stores.smtp import SmtpParameters, SmtpStore
from tests.unit.brokers.servers import eventually
from tests.unit.stores.hosts import FolderHost


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SmtpStore]:
    found = SmtpStore("mail", SmtpParameters())
    found.start(FolderHost(tmp_path))
    yield found
    found.stop()


def mail(subject: str = "Paid", text: str = "Thank you.\n", **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.com", "b@example.com, a@example.com", subject
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def send(store: SmtpStore, message: EmailMessage) -> None:
    host, port = store.addresses()[0]
    with smtplib.SMTP(host, port, timeout=10) as client:
        client.send_message(message)


def rows(store: SmtpStore) -> list[Any]:
    return [dict(row) for row in store.observe().collections["mails"].rows]


def test_it_offers_where_to_send(store: SmtpStore) -> None:
    host, port = store.addresses()[0]
    assert store.offers() == {"url": f"smtp://{host}:{port}", "host": host, "port": str(port)}


def test_a_mail_is_a_row_and_one_sent_twice_is_two(store: SmtpStore) -> None:
    message = mail(Message_ID="<1@shop>", Date="Sat, 21 Nov 2026 10:00:00 +0000")
    send(store, message)
    expected = {
        "sender": "shop@example.com",
        "recipients": ["a@example.com", "b@example.com"],
        "subject": "Paid",
        "message_id": "<1@shop>",
        "text": ["Thank you.\n"],
        "attachments": [],
    }
    assert rows(store) == [expected]
    send(store, message)
    assert rows(store) == [expected, expected]
    assert [(one.text, one.outcome, one.row) for one in store.effects()] == [
        ("mail to a@example.com, b@example.com", "accepted", expected)
    ] * 2


def test_parts_alternatives_and_attachments(store: SmtpStore) -> None:
    message = mail("Grüße", "Schön.\n")
    message.add_alternative("<p>Schön.</p>\n", subtype="html")
    message.add_attachment(b"%PDF\x00\xff", maintype="application", subtype="pdf", filename="invoice.pdf")
    message.add_attachment("a;b\n", subtype="csv", filename="lines.csv")
    send(store, message)
    row = rows(store)[0]
    assert row["subject"] == "Grüße" and row["text"] == ["Schön.\n", "<p>Schön.</p>\n"] and row["message_id"] is None
    digest = hashlib.sha256(b"%PDF\x00\xff").hexdigest()
    assert row["attachments"][0] == {"name": "invoice.pdf", "type": "application/pdf", "size": 6, "sha256": digest}
    assert (row["attachments"][1]["name"], row["attachments"][1]["type"]) == ("lines.csv", "text/csv")


def test_any_login_is_taken(store: SmtpStore) -> None:
    with smtplib.SMTP(*store.addresses()[0], timeout=10) as client:
        client.login("shop", "secret")
        client.send_message(mail())
    assert len(rows(store)) == 1


def test_what_is_no_mail_is_kept_all_the_same(store: SmtpStore) -> None:
    with smtplib.SMTP(*store.addresses()[0], timeout=10) as client:
        client.sendmail("a@x", ["b@x"], b"Content-Type: text/plain; charset=klingon\r\n\r\n\xff\xfe\r\n")
    assert rows(store)[0]["text"] == ["x'fffe0d0a'"]


def test_save_restore_and_touched(store: SmtpStore) -> None:
    send(store, mail())
    image, before = store.save(), store.touched()
    send(store, mail("another"))
    assert store.touched() != before
    store.restore(image)
    assert [row["subject"] for row in rows(store)] == ["Paid"]
    store.clear()
    assert rows(store) == []
    store.restore(image)
    assert store.save() == image


def raw(store: SmtpStore, text: bytes) -> socket.socket:
    client = socket.create_connection(store.addresses()[0], timeout=10)
    client.sendall(text)
    return client


_WHOLE = b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSubject: %d\r\n\r\nhello\r\n.\r\n"


def test_it_has_settled_exactly_when_every_mail_that_was_sent_is_there(store: SmtpStore) -> None:
    """Clients that send everything at once and wait for no word of the server's; after some of them everybody looks."""
    with contextlib.ExitStack() as clients:
        for number in range(300):
            clients.enter_context(raw(store, _WHOLE % number))
            if number % 30 == 0:
                eventually(store.settled)
                assert len(rows(store)) == number + 1
        eventually(store.settled)
        assert sorted(int(row["subject"]) for row in rows(store)) == list(range(300))
    eventually(store.settled)  # also when they have gone, most with an answer unread
    assert len(rows(store)) == 300


def test_it_has_not_settled_while_a_mail_is_on_its_way(store: SmtpStore) -> None:
    """The server is held up before it reads; what it was sent counts as not dealt with until it has."""
    assert store._server is not None
    held = threading.Event()
    store._server._loop.call_soon_threadsafe(held.wait, 10)
    asked: list[bool] = []
    with raw(store, _WHOLE % 1):
        asker = threading.Thread(target=lambda: asked.append(store.settled()))
        asker.start()
        assert not asked and rows(store) == []
        held.set()
        asker.join(60)
        assert asked == [False] or len(rows(store)) == 1
        eventually(store.settled)
        assert len(rows(store)) == 1


def test_it_asks_its_loop_only_when_somebody_has_come_since_all_were_gone(store: SmtpStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store._server is not None
    for number in range(30):
        with raw(store, _WHOLE % number):
            eventually(store.settled)
            assert len(rows(store)) == number + 1
        eventually(lambda: store.settled() and store._server is not None and store._server._accepted == store._server._done_with)
        with monkeypatch.context() as alone:
            alone.setattr(store._server, "_settled", lambda: pytest.fail("it asked"))
            assert store.settled()


def test_half_a_mail_is_none_and_no_reason_to_wait(store: SmtpStore) -> None:
    client = raw(store, (_WHOLE % 1)[:-3])
    eventually(store.settled)
    assert rows(store) == []
    client.sendall(b".\r\n")
    eventually(store.settled)
    assert len(rows(store)) == 1
    client.close()


def test_stop_ends_open_connections_and_the_thread(tmp_path: Path) -> None:
    store = SmtpStore("mail", SmtpParameters())
    store.start(FolderHost(tmp_path))
    client = raw(store, b"EHLO x\r\n")
    threads = {thread.name for thread in threading.enumerate()}
    assert "smtp-mail" in threads
    store.stop()
    store.stop()
    assert "smtp-mail" not in {thread.name for thread in threading.enumerate()}
    with contextlib.suppress(ConnectionResetError):
        while client.recv(4096):
            pass
    client.close()
