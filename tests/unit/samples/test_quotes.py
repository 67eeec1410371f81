"""The quotes samples by themselves: what each asks of retry, and how the budget is spent and earned."""

from __future__ import annotations

import importlib
import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sample_tasks import quotes_world


class _Partner(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = json.dumps({"cents": 41_900, "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def partner(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Partner) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("PARTNER_API", f"http://127.0.0.1:{server.server_address[1]}")
        yield
        server.shutdown()
        thread.join()


class Retried(Exception):
    """What the task's own `retry` would raise."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Countdowns that a task asked for; its partner is away."""
    found: list[float] = []

    def retry(exc: Exception, countdown: float) -> Exception:
        found.append(countdown)
        return Retried()

    monkeypatch.setenv("PARTNER_API", "http://127.0.0.1:1")
    for name in ("quotes", "quotes_broken"):
        monkeypatch.setattr(app(name).ask, "retry", retry)
    return found


def app(name: str) -> Any:
    return importlib.import_module(f"sample_tasks.{name}")


@pytest.mark.parametrize("name", ["quotes", "quotes_broken"])
def test_both_get_their_quote(name: str, partner: None) -> None:
    (car,), _ = quotes_world.cars(random.Random(1))
    assert app(name).ask.apply((car,)).get() == 41_900


def test_the_broken_one_asks_again_at_once_and_for_ever(asked: list[float]) -> None:
    for _ in range(20):
        with pytest.raises(Retried):
            app("quotes_broken").ask.run("B-AK-1")
    assert (asked, app("quotes_broken").ask.max_retries) == ([0] * 20, None)


def test_the_right_one_spreads_its_retries_until_its_budget_is_used_up(asked: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    module = app("quotes")
    monkeypatch.setattr(module, "budget", threading.BoundedSemaphore(8))
    for _ in range(8):
        with pytest.raises(Retried):
            module.ask.run("B-AK-1")
    with pytest.raises(module.PartnerSlow):
        module.ask.run("B-AK-1")
    assert len(set(asked)) == 8 and all(0 <= countdown <= 1 for countdown in asked)
    assert module.ask.max_retries == 2


def test_answers_earn_a_budget_and_no_more_than_there_is_room_for(partner: None, monkeypatch: pytest.MonkeyPatch) -> None:
    module = app("quotes")
    budget = threading.BoundedSemaphore(2)
    monkeypatch.setattr(module, "budget", budget)
    monkeypatch.setattr(module.random, "random", lambda: 0.0)
    assert budget.acquire(blocking=False) and budget.acquire(blocking=False) and not budget.acquire(blocking=False)
    for _ in range(3):
        assert module.ask.run("B-AK-1") == 41_900
    assert budget.acquire(blocking=False) and budget.acquire(blocking=False) and not budget.acquire(blocking=False)
