"""The app's own URL, unchanged: https://api.stripe.com leads to a service of the scenario, and nothing else leads anywhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.support import Project

APP = '''"""Asks by every usual way, and by a program."""
import json
import os
import socket
import ssl
import subprocess
import urllib.request

import requests
from celery import Celery

app = Celery("pay")
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 1
URL = "https://api.stripe.com/v1/charges"


@app.task(name="pay.charge")
def charge(n):
    with urllib.request.urlopen(urllib.request.Request(URL, b"{}", {"Idempotency-Key": f"a{n}"})) as answer:
        assert answer.status == 200
    assert requests.post(URL, json={}, headers={"Idempotency-Key": f"b{n}"}, timeout=30).ok
    with socket.create_connection(("api.stripe.com", 443), 30) as plain:
        with ssl.create_default_context().wrap_socket(plain, server_hostname="api.stripe.com") as tls:
            tls.sendall(b"POST /v1/charges HTTP/1.1\\r\\nIdempotency-Key: c%d\\r\\nContent-Length: 0\\r\\n\\r\\n" % n)
            assert tls.recv(1000).startswith(b"HTTP/1.1 200")


def curl(*arguments):
    return subprocess.run(["curl", "-sS", "-m", "20", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


@app.task(name="pay.curl")
def by_curl(n):
    assert curl("-H", f"Idempotency-Key: d{n}", "-d", "x=1", URL) == '{"ok": true}'
    assert "Could not resolve" in curl("https://api.other.example")
    assert "connect to 10.1.2.3" in curl("http://10.1.2.3")


@app.task(name="pay.other")
def other(n):
    assert curl("-H", f"Idempotency-Key: e{n}", "-d", "x=1", URL) == '{"ok": true}'
    assert "Could not resolve" in curl("https://api.third.example")
    try:
        requests.get("https://api.other.example/x", timeout=30)
    except requests.ConnectionError:
        pass
'''
SERVICES = {"card_api": {"http": {"hosts": ["https://api.stripe.com"], "idempotency_key": "Idempotency-Key"}}}
SYSTEM = {"app": "pay:app", "services": SERVICES}


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    (tmp_path / "pay.py").write_text(APP)
    return Project(tmp_path)


def test_explored_it_is_certified(shop: Project) -> None:
    file = shop.scenario(runtime="processes", system=SYSTEM, explore=[{"task": "pay.charge", "args": [7]}])
    done = shop.run("explore", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "encrypted data sent to card_api" in done.stdout and "CERTIFIED" in done.stdout


def test_explored_an_undeclared_host_is_named_with_its_line_and_declaration(shop: Project) -> None:
    file = shop.scenario(runtime="processes", system=SYSTEM, explore=[{"task": "pay.other", "args": [7]}])
    done = shop.run("explore", str(file))
    line = APP.splitlines().index('        requests.get("https://api.other.example/x", timeout=30)') + 1
    said = " ".join(done.stdout.split())
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"undeclared service, connection refused: api.other.example:443 (pay.py:{line} other); declare it:" in said
    assert '{http: {hosts: ["https://api.other.example"]}}' in said
    assert "refused: api.third.example (by name); declare it:" in said, "asked for by a program"


def test_a_run_reaches_it_from_python_and_behind_a_wall_from_any_program(shop: Project) -> None:
    assert shutil.which("curl"), "the test needs curl"
    load = [{"send": name, "args": [1], "count": 1} for name in ("pay.charge", "pay.curl")]
    file = shop.scenario(runtime="processes", system=SYSTEM, load=load)
    done = shop.run("run", str(file))
    result = shop.result()
    assert done.returncode == 4, done.stdout + done.stderr
    assert "2 = 2 succeeded" in done.stdout
    assert sorted(result["undeclared"]) == ["10.1.2.3:80 (pay-1: curl)", "api.other.example (pay-1, by name)"]
    assert result["environment"]["Egress wall"] == "seccomp, around workers and producer"
