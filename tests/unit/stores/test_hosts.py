"""An `http` service that stands for hosts of the app's own: their URLs, its certificate, and clients that ask for them by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.stores.http import HttpParameters, HttpStore
from tests.unit.stores.hosts import FolderHost

AGENT = Path(__file__).resolve().parents[3] / "harness" / "agent"
#: What a task's process does; prints a list of what came of each.
CLIENT = """
import asyncio, json, os, socket, ssl, sys, urllib.request
from celery_harness_agent.names import Names
Names(json.loads(os.environ["NAMES"])).install()

def told(ask):
    try:
        return ask()
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"

def raw():
    with socket.create_connection(("api.stripe.com", 443), 5) as plain:
        with ssl.create_default_context().wrap_socket(plain, server_hostname="api.stripe.com") as tls:
            tls.sendall(b"POST /raw HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n3\\r\\nabc\\r\\n0\\r\\n\\r\\n")
            return tls.recv(1000)[:15].decode()

async def streams():
    reader, writer = await asyncio.open_connection("API.Stripe.com.", 443, ssl=True, server_hostname="api.stripe.com")
    writer.write(b"GET /asyncio HTTP/1.0\\r\\n\\r\\n")
    return (await reader.read())[:15].decode()

def get(url):
    return json.load(urllib.request.urlopen(url, timeout=30))

def looked_up(port):
    return [answer[4] for answer in socket.getaddrinfo("api.stripe.com", port, type=socket.SOCK_STREAM)]

print(json.dumps([told(lambda: eval(text)) for text in sys.argv[1:]]))
"""


def asked(store: HttpStore, root: Path, *texts: str) -> list[Any]:
    at = {"api.stripe.com": "127.83.0.1", "files.stripe.com": "127.83.0.2"}
    names = [{"host": host, "port": port, "at": at[host], "to": store.addresses()[0]} for host, port in store.stands_for()]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT") and not name.lower().endswith("_proxy")}
    env = {**clean, "PYTHONPATH": str(AGENT), "NAMES": json.dumps(names), "SSL_CERT_FILE": str(root / "authority.pem")}
    done = subprocess.run([sys.executable, "-c", CLIENT, *texts], env=env, capture_output=True, text=True, timeout=60, check=True)
    return list(json.loads(done.stdout))


def started(root: Path, **parameters: Any) -> HttpStore:
    store = HttpStore("card_api", HttpParameters.model_validate(parameters))
    store.start(FolderHost(root))
    return store


@pytest.fixture
def card_api(tmp_path: Path) -> Iterator[HttpStore]:
    store = started(tmp_path, hosts=["https://api.stripe.com", "http://api.stripe.com", "https://files.stripe.com:8443"])
    yield store
    store.stop()


def test_its_urls_lead_to_it_over_tls_that_is_verified(card_api: HttpStore, tmp_path: Path) -> None:
    ways = ["get('https://api.stripe.com/a')", "get('http://api.stripe.com/b')", "get('https://files.stripe.com:8443/c')"]
    found = asked(card_api, tmp_path, *ways, "raw()", "asyncio.run(streams())", "looked_up('https')")
    assert found == [{"ok": True}] * 3 + ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK", [["127.83.0.1", 443]]]
    rows = card_api.observe().collections["requests"].rows
    assert [(row["method"], row["path"], row["body"]) for row in rows] == [
        *(("GET", path, None) for path in ("/a", "/b", "/c")),
        ("POST", "/raw", "abc"),
        ("GET", "/asyncio", None),
    ]
    assert card_api.settled()


def test_what_is_not_declared_is_not_there(card_api: HttpStore, tmp_path: Path) -> None:
    port = card_api.addresses()[0][1]
    other_port, other_name = asked(card_api, tmp_path, "get('https://api.stripe.com:8443')", f"get('https://localhost:{port}')")
    assert "Connection refused" in other_port
    assert "certificate is not valid for 'localhost'" in other_name, "its certificate holds the declared names alone"


@pytest.mark.parametrize(("flaw", "word"), [("wrong_name", "not valid for 'api.stripe.com'"), ("expired", "certificate has expired")])
def test_a_bad_certificate_is_refused_by_who_verifies(tmp_path: Path, flaw: str, word: str) -> None:
    store = started(tmp_path, hosts=["https://api.stripe.com"], tls=flaw)
    try:
        (said,) = asked(store, tmp_path, "get('https://api.stripe.com')")
        assert word in said and store.numbers()["accepted"] == 0
    finally:
        store.stop()


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"hosts": ["api.stripe.com"]}, "no URL of https or http"),
        ({"hosts": ["ftp://api.stripe.com"]}, "no URL of https or http"),
        ({"hosts": ["https://api.stripe.com/v1"]}, "more than a host and a port"),
        ({"hosts": ["https://*.stripe.com"]}, "named in full"),
        ({"hosts": ["https://10.0.0.1"]}, "no name that leads elsewhere"),
        ({"hosts": ["http://localhost:80"]}, "no name that leads elsewhere"),
        ({"hosts": ["https://api stripe.com"]}, "cannot be the name of a host"),
        ({"hosts": ["https://api.stripe.com:99999"]}, "no URL"),
        ({"hosts": ["http://api.stripe.com"], "tls": "expired"}, "there is none"),
    ],
)
def test_what_no_client_could_ask_for_is_refused(parameters: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word.replace("*", r"\*")):
        HttpParameters.model_validate(parameters)
