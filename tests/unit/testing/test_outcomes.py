"""From a verdict to an exception, and its text: the story, the reason, the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import EnvironmentFault
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.testing.outcomes import Failed, Inconclusive, demand_pass
from harness.testing.wording import failure_text, inconclusive_text, replay_command
from tests.unit.reporting import sample
from tests.unit.testing.fake_runs import missed


def test_a_pass_returns() -> None:
    result = sample.passing()
    assert demand_pass(result) is result


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (sample.failing(), Failed),
        (sample.inconclusive(), Inconclusive),
        (sample.interrupted().model_copy(update={"verdict": Verdict.INCONCLUSIVE}), Inconclusive),
        (sample.environment(), EnvironmentFault),
    ],
)
def test_anything_else_raises_its_own(result: RunResult, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        demand_pass(result)
    if not isinstance(raised.value, EnvironmentFault):
        assert raised.value.result is result  # type: ignore[attr-defined]
        assert isinstance(raised.value, AssertionError)


def test_a_failure_is_the_story(tmp_path: Path) -> None:
    text = failure_text(sample.failing(), folder=tmp_path, note="as the test tried it")
    lines = text.splitlines()
    assert lines[0].startswith("EFFECT  ")
    for part in ("▶", "Fix  ", "FAIL", "worker.kill", "as the test tried it", f"Report     {tmp_path / 'report.html'}", "Reproduce  "):
        assert part in text
    assert "\x1b" not in text
    assert max(map(len, (line for line in lines if "Re" not in line))) <= 80


def test_inconclusive_says_why_first() -> None:
    text = inconclusive_text(missed("the worker was idle"))
    assert text.splitlines()[0] == "INCONCLUSIVE  worker.kill did not bite: the worker was idle"
    assert inconclusive_text(sample.inconclusive()).startswith("INCONCLUSIVE  ")


def test_text_from_the_app_cannot_steer_the_terminal() -> None:
    hostile = sample.hostile()
    for text in (failure_text(hostile), inconclusive_text(hostile)):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_the_command_leads_to_the_projects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = sample.failing()
    (command,) = [again.command for again in result.reproduce[:1]]
    monkeypatch.chdir(tmp_path)
    assert replay_command(result, tmp_path) == command
    elsewhere = tmp_path / "the project"
    elsewhere.mkdir()
    assert replay_command(result, elsewhere).startswith(f"(cd '{elsewhere}' && celery-harness run ")
    assert replay_command(result.model_copy(update={"reproduce": ()})) == ""
