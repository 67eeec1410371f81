from __future__ import annotations

import builtins
import os
import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.ports.trust import run_context
from harness.runtimes.shared.authority import WRONG_NAME, Authority
from harness.runtimes.shared.tls_words import contents, tls_failure


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture(params=[0o000, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """Without a socket: what either side says is handed to the other."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server, server_hostname=host), server.wrap_bio(to_server, to_client, server_side=True)]
    open_sides = list(sides)
    for _ in range(10):
        for side in list(open_sides):
            try:
                side.do_handshake()
                open_sides.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not open_sides


def served(authority: Authority, *hosts: str, flaw: str = "") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(a client that trusts this authority, a server)."""
    tls = authority.issue("server", hosts, flaw=flaw)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls.certificate, tls.key)
    return ssl.create_default_context(cafile=str(tls.authority)), server


@pytest.mark.parametrize("host", ["127.0.0.1", "broker", "::1"])
def test_a_client_that_verifies_is_content_with_every_name(authority: Authority, host: str) -> None:
    client, server = served(authority, "127.0.0.1", "broker", "::1")
    handshake(client, server, host)


@pytest.mark.parametrize(
    ("flaw", "said"),
    [("wrong_name", "the certificate is for wrong.example, not for 127.0.0.1"), ("expired", "the certificate expired on ")],
)
def test_a_flaw_fails_and_is_put_into_words(authority: Authority, flaw: str, said: str) -> None:
    client, server = served(authority, "127.0.0.1", flaw=flaw)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        handshake(client, server, "127.0.0.1")
    found = contents(authority.certificate.parent / "server" / "certificate.pem")
    assert tls_failure([str(caught.value)], [found]).startswith(said)


@pytest.mark.parametrize("flaw", ["", "wrong_name", "expired"])
def test_the_harness_itself_gets_through_but_to_nobody_else(authority: Authority, tmp_path: Path, flaw: str) -> None:
    tls = authority.issue("mine", ["127.0.0.1"], flaw=flaw)
    handshake(run_context(tls), served(authority, "127.0.0.1", flaw=flaw)[1], "127.0.0.1")
    _, stranger = served(Authority(tmp_path / "other"), "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(run_context(tls), stranger, "127.0.0.1")


def test_what_is_in_them(authority: Authority) -> None:
    now = datetime.now(timezone.utc)
    good, late, other = (contents(authority.issue("x", ["broker", "127.0.0.1"], flaw=f).certificate) for f in ("", "expired", "wrong_name"))
    assert good.names == ("broker", "127.0.0.1") == late.names
    assert other.names == (WRONG_NAME,)
    assert timedelta(0) < good.ends - now < timedelta(days=8)
    assert late.ends < now
    with pytest.raises(ValueError, match="no such flaw"):
        authority.issue("x", ["a"], flaw="self_signed")


@pytest.mark.usefixtures("umask")
def test_keys_are_private_and_certificates_are_not(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    for _ in range(2):  # a second one takes the place of the first
        tls = authority.issue("broker", ["127.0.0.1"])
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tls.authority, tls.certificate, tls.key)}
    assert modes == {"authority.pem": 0o644, "certificate.pem": 0o644, "key.pem": 0o600}
    keys = [path for path in (tmp_path / "authority").rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()]
    assert keys == [tls.key], "the authority's own key is nowhere"
    assert "PRIVATE" not in repr(tls)


def test_without_trustme_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "trustme":
            raise ImportError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError) as caught:
        Authority(tmp_path)
    assert "pip install 'celery-harness[tls]'" in caught.value.hint
