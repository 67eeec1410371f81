import api
import pytest
from fastapi.testclient import TestClient


async def test_a_user_is_welcomed(monkeypatch):
    sent = []
    monkeypatch.setattr(api.welcome, "delay", sent.append)
    assert TestClient(api.api).post("/users", params={"address": "a@example.org"}).status_code == 202
    assert sent == ["a@example.org"]


@pytest.mark.harness(checks={"no_loss": {}})
async def test_a_mail_is_sent_though_a_worker_dies(harness):
    harness.crash(api.welcome, "start")
    harness.send(api.welcome, "a@example.org").wait()
    harness.check()


async def test_a_mail_is_sent_twice(harness):
    harness.crash(api.welcome, "before_ack")
    harness.send(api.welcome, "a@example.org")
