from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.errors import EnvironmentFault, ScenarioError
from harness.runtimes.processes.children import ask, child_environment, interpreter
from harness.runtimes.shared.environment import resolve_placeholders, write_private


def test_placeholders_are_replaced_wherever_they_stand() -> None:
    offers = {"db": {"url": "sqlite:///x"}, "card_api": {"port": "81"}}
    assert resolve_placeholders("a ${{ db.url }} b ${{card_api.port}}", offers) == "a sqlite:///x b 81"


def test_a_placeholder_that_nothing_offers_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"db\.urll"):
        resolve_placeholders("${{ db.urll }}", {"db": {"url": "x"}})


def test_celerys_own_variables_never_reach_a_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://production/0")
    env = child_environment("run", {"APP": "1"}, tmp_path, tmp_path / "s.json")
    assert "CELERY_BROKER_URL" not in env
    assert env["APP"] == "1"
    assert env["CELERY_HARNESS_RUN"] == "run"
    assert str(tmp_path) in env["PYTHONPATH"]


def test_the_apps_own_python_is_checked(tmp_path: Path) -> None:
    assert interpreter("", tmp_path) == sys.executable
    with pytest.raises(ScenarioError, match=r"system\.python"):
        interpreter("venv/bin/python", tmp_path)


def test_settings_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = write_private(tmp_path / "s.json", {"password": "x"})
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["s.json"]


def test_a_child_that_dies_without_an_answer_is_the_environments_fault_with_its_last_lines(tmp_path: Path) -> None:
    (tmp_path / "celery_harness_agent.py").write_text("print('what I said last'); raise SystemExit(5)")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with pytest.raises(EnvironmentFault, match="what I said last"):
        ask("check", sys.executable, {}, env=env, cwd=tmp_path, log=tmp_path / "log")
