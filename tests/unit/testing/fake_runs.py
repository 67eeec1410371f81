"""Runs that never touch a broker: a function from a schedule to a verdict, and results as small as the model allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.model.finding import CheckResult, Finding, Word
from harness.model.result import FaultResult, RunResult
from harness.model.verdict import EXIT_CODES, Verdict
from harness.testing.plans import Ground

Schedule = Sequence[Mapping[str, Any]]


def check(verdict: Verdict, *words: Word, name: str = "no_loss", **more: Any) -> CheckResult:
    findings = tuple(Finding(word=word, headline=f"It is {word}.") for word in words)
    return CheckResult(name=name, question="does it hold", verdict=verdict, summary=f"it is {verdict}", findings=findings, **more)


def result(verdict: Verdict, *checks: CheckResult, faults: Sequence[FaultResult] = (), **more: Any) -> RunResult:
    return RunResult(
        run_id=more.pop("run_id", "0101-000000-0000"),
        scenario="a plan",
        file="plan.yaml",
        description="",
        seed=0,
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        started="2024-01-01T00:00:00Z",
        took=1.0,
        runtime="processes",
        environment={},
        checks=checks or (check(verdict),),
        faults=tuple(faults),
        **more,
    )


def passed(**more: Any) -> RunResult:
    return result(Verdict.PASS, **more)


def failed(word: Word = Word.EFFECT, **more: Any) -> RunResult:
    return result(Verdict.FAIL, check(Verdict.FAIL, word), **more)


def missed(evidence: str = "the worker was idle") -> RunResult:
    """A fault that did not bite."""
    fault = FaultResult(index=0, name="worker.kill", planned="now", begun=0.1, bit=False, evidence=evidence)
    return result(Verdict.INCONCLUSIVE, check(Verdict.PASS), faults=[fault])


class FakeRunner:
    """``answers``: a schedule, and how often it was run before -> its result. ``runs``: what was run, with `again`."""

    ground = Ground(("pay",), ("payments",))
    root = Path("/project")

    def __init__(self, answers: Callable[[Schedule, int], RunResult]) -> None:
        self._answers = answers
        self.runs: list[tuple[Schedule, bool]] = []
        self.forgotten: list[str] = []

    def run(self, schedule: Schedule, *, again: bool) -> RunResult:
        before = sum(1 for earlier, _ in self.runs if earlier == schedule)
        self.runs.append((schedule, again))
        return self._answers(schedule, before).model_copy(update={"run_id": f"run-{len(self.runs)}"})

    def forget(self, result: RunResult) -> None:
        self.forgotten.append(result.run_id)

    def folder(self, result: RunResult) -> Path:
        return self.root / "reports" / result.run_id


def names(schedule: Schedule) -> list[str]:
    """Of its faults."""
    return [step["fault"] for step in schedule if "fault" in step]
