"""`hosts` in containers: the app's own URL leads through the run's network to the service, over TLS that it verifies."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from harness.assembly import build_cell, choose_runtime, registry
from harness.ports.clock import MonotonicClock
from harness.scenario import load_scenarios
from tests.conformance.containers_support import Engine, left_of, session_engine
from tests.e2e.containers import needs_engine

__all__ = ["session_engine"]  # fixtures

APP = '''"""Asks for a URL of its own."""
import urllib.request

from celery import Celery

app = Celery("out")


def ask(urls):
    return [answer(url) for url in urls]


def answer(url):
    try:
        return urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=10).read().decode()
    except OSError as exc:
        return str(getattr(exc, "reason", exc))
'''
RUN_ID = "0104-000000-0007"


def test_a_container_finds_the_service_under_the_hosts_own_url(engine: Engine, tmp_path: Path) -> None:
    needs_engine()
    for name in ("project", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "project" / "out.py").write_text(APP)
    services = {"card_api": {"http": {"hosts": ["https://api.stripe.com", "http://api.stripe.com"]}}}
    file = tmp_path / "project" / "s.yaml"
    system = {"app": "out:app", "services": services}
    file.write_text(json.dumps({"version": 1, "runtime": "containers", "system": system, "load": [{"send": "out.noop", "count": 1}]}))
    (loaded,) = load_scenarios(file, registry())
    live = choose_runtime("containers").system(build_cell(loaded, tmp_path / "project", MonotonicClock()).system(RUN_ID, tmp_path / "run"))
    with ExitStack() as stack:
        stack.callback(live.close)
        live.open()
        urls = ["https://api.stripe.com/v1", "http://api.stripe.com/v2", "https://api.stripe.com:8443/"]
        first, second, third = live.call_user_code("out:ask", urls)  # type: ignore[attr-defined]
        assert (first, second) == ('{"ok": true}', '{"ok": true}')
        assert "celery-harness refuses the connection to api.stripe.com:8443" in third
        rows = live.observe().stores["card_api"].collections["requests"].rows
        assert [row["path"] for row in rows] == ["/v1", "/v2"]
    assert left_of(engine, RUN_ID) == ([], [])
