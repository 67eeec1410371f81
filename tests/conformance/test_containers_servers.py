"""Servers and questions in containers at a real engine."""

from __future__ import annotations

import json
import secrets
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.brokers.redis import RedisBroker
from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint
from harness.runtimes.shared.environment import AGENT_FOLDER
from harness.runtimes.shared.hosting import ServerSpec
from tests.conformance.containers_support import ContainerHost, Engine, image, left_of, module_host, session_engine, until

__all__ = ["module_host", "session_engine"]  # fixtures


# --- servers --------------------------------------------------------------------------------------------------------


def _redis(host: ContainerHost, name: str, *, persistence: bool = False) -> Any:
    spec = ServerSpec(RedisBroker(), name, "broker", persistence)
    return host.server(spec, Endpoint("", 0, secrets.token_urlsafe(16)))


def _client(server: Any) -> Any:
    import redis

    end = server.endpoint
    return redis.Redis(end.host, end.port, password=end.password, socket_timeout=1.0, decode_responses=True)


def test_redis_keeps_what_it_should_over_stop_kill_and_pause(host: ContainerHost, engine: Engine) -> None:
    server = _redis(host, "keeper", persistence=True)
    server.start()
    where = server.endpoint
    assert where.host == "127.0.0.1" and where.inside == ("keeper", server.plan.port) and server.version[0].isdigit()
    assert _client(server).set("a", 1)
    for kill in (False, True):
        server.stop(keep=True, kill=kill)
        assert not server.alive() and not server.answers()
        server.start()
        assert server.endpoint == where and _client(server).get("a") == "1"
    server.pause()
    assert server.alive() and not server.answers()
    server.resume()
    until(server.answers, "it answers again")
    server.stop(keep=False)
    server.start()
    assert _client(server).get("a") is None
    assert [(life.status, life.expected_end) for life in server.processes[:2]] == [(0, True), (-signal.SIGKILL, True)]
    assert len({life.pid for life in server.processes}) == len(server.processes)
    inspected = json.dumps([engine.client.api.inspect_container(n.lstrip("/")) for n in left_of(engine, host.run_id)[0] if "keeper" in n])
    assert where.password not in inspected
    server.remove()
    server.remove()
    assert "eady to accept connections" in server.log.read_text()


def test_a_server_that_ends_at_once_shows_its_last_lines(host: ContainerHost) -> None:
    class Broken(RedisBroker):
        def container(self, endpoint: Endpoint, *, persistence: bool) -> Any:
            plan = super().container(endpoint, persistence=persistence)
            files = {path: text + "no-such-directive yes\n" for path, text in plan.files.items()}
            return type(plan)(plan.image, plan.argv, plan.port, files=files, user=plan.user)

    server = host.server(ServerSpec(Broken(), "broken", "broker"), Endpoint("", 0, "secret-of-the-run"))
    with pytest.raises(EnvironmentFault, match=r"broken \(redis in a container\) ended with status 1") as caught:
        server.start()
    assert "no-such-directive" in str(caught.value) and "secret-of-the-run" not in str(caught.value)
    server.remove()


# --- questions ------------------------------------------------------------------------------------------------------


def _ask(host: ContainerHost, program: str, request: dict[str, Any], **options: Any) -> dict[str, Any]:
    root = host.folders.root
    assert root is not None
    (root / "question.py").write_text(
        "def double(n):\n    print('counting')\n    return 2 * n\n\ndef leave(n):\n    import os\n    os._exit(5)\n"
    )
    (root / "celery" / "app").mkdir(parents=True, exist_ok=True)  # the image has no Celery, and the agent only looks for its base class
    (root / "celery" / "app" / "base.py").write_text("class Celery:\n    pass\n")
    settings = host.folders.part("call") / "call.json"
    settings.write_text(json.dumps({"role": "call", "root": str(root)}))
    env = {"PYTHONPATH": f"{AGENT_FOLDER}:{root}", "CELERY_HARNESS_AGENT": str(settings)}
    log = host.folders.report / "logs" / "setup.log"
    return host.ask(program, request, python="python3", env=env, cwd=root, image=image("python"), log=log, network=False, **options)


def test_a_question_is_answered_and_its_container_gone(host: ContainerHost, engine: Engine) -> None:
    answer = _ask(host, "call", {"call": "question:double", "args": [21]})
    assert "question.py" in {Path(path).name for path in answer.pop("read")}
    assert answer == {"ok": True, "value": 42, "undeclared": []}
    assert "counting" in (host.folders.report / "logs" / "setup.log").read_text()
    assert not [name for name in left_of(engine, host.run_id)[0] if "-call-" in name]


def test_a_question_without_an_answer_says_how_it_ended(host: ContainerHost) -> None:
    with pytest.raises(EnvironmentFault, match=r"runs `call` for your app ended without an answer \(status 5\)"):
        _ask(host, "call", {"call": "question:leave", "args": [1]})
