"""One system for several tests, without a broker: who is judged when, by what, and which system the next test gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EnvironmentFault, UsageError
from harness.model.finding import Finding, Word
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.testing.configuration import Configuration
from harness.testing.outcomes import Failed, Inconclusive
from harness.testing.shared import SharedHarness
from tests.unit.testing.fake_runs import check, failed, missed, passed, result


class FakeRun:
    """See `LiveRun`. ``so_far``, ``at_the_end``: its verdicts; None: it has no such check. ``events``: what was asked of it."""

    folder = Path("/project/reports/one")

    def __init__(
        self, so_far: Callable[[], RunResult] | None = passed, at_the_end: Callable[[], RunResult] | None = passed, *, quiet: bool = True
    ) -> None:
        self._so_far, self._at_the_end, self._quiet = so_far, at_the_end, quiet
        self.judges_so_far, self.judges_at_the_end = so_far is not None, at_the_end is not None
        self.events: list[str] = []
        self.script: list[str] = []
        self.calls = 0
        self.result: RunResult | None = None

    def send(self, call: Any) -> int:
        self.script.append("send")
        self.calls += 1
        return self.calls

    def heal(self) -> None:
        self.events.append("heal")

    def until_quiet(self, seconds: float | None = None) -> bool:
        self.events.append("quiet")
        return self._quiet

    def judge_so_far(self) -> RunResult:
        assert self._so_far is not None
        self.events.append("judge so far")
        self.script += ["heal", "quiet"]
        return self._so_far()

    def finish(self, optional: Any) -> RunResult:
        assert self._at_the_end is not None
        self.events.append("finish")
        self.result = self._at_the_end()
        return self.result

    def abandon(self, why: str, error: Any = None) -> RunResult | None:
        self.events.append(f"abandon: {why}")
        return None


class FakeWorkshop:
    """Gives these runs out, one after another."""

    def __init__(self, *runs: FakeRun) -> None:
        self._runs: Iterator[FakeRun] = iter(runs)
        self.settled: list[FakeRun] = []

    def opened(self, configuration: Any, **more: Any) -> FakeRun:
        return next(self._runs)

    def settle(self, configuration: Any, run: FakeRun) -> None:
        run.events.append("closed")
        self.settled.append(run)

    def report_folder(self, configuration: Any, result: RunResult) -> Path | None:
        return None


def shared(*runs: FakeRun) -> SharedHarness:
    workshop: Any = FakeWorkshop(*runs)
    return SharedHarness(workshop, Configuration({"system": {"app": "shop:app"}}, Path("/project"), "here"), "test_shop")


def one_test(harness: SharedHarness, name: str, sends: int = 1) -> None:
    """As the plugin does it (`Judge`)."""
    harness.begin_test(name)
    for _ in range(sends):
        harness.send("shop.book", 1)
    harness.after_test()


def blaming(*calls: int) -> RunResult:
    finding = Finding(word=Word.EFFECT, headline="It is twice.", calls=calls)
    return result(Verdict.FAIL, check(Verdict.FAIL).model_copy(update={"findings": (finding,)}))


def unhealthy() -> RunResult:
    raise EnvironmentFault("the broker ended by itself")


def test_a_system_that_passes_is_judged_after_each_test_and_goes_on() -> None:
    run = FakeRun()
    harness = shared(run)
    one_test(harness, "test_a")
    one_test(harness, "test_b")
    assert run.events == ["judge so far", "judge so far"]
    harness.finish()
    assert run.events == ["judge so far", "judge so far", "finish", "closed"]
    assert not harness.used


def test_nothing_starts_and_nothing_is_judged_where_nothing_is_asked() -> None:
    harness = shared()
    one_test(harness, "test_a", sends=0)
    harness.finish()
    assert not harness.used


def test_a_test_that_did_nothing_with_it_is_not_judged_again() -> None:
    run = FakeRun()
    harness = shared(run)
    one_test(harness, "test_a")
    one_test(harness, "test_b", sends=0)
    assert run.events == ["judge so far"]


def test_what_a_test_asked_to_be_judged_is_not_judged_twice() -> None:
    run = FakeRun()
    harness = shared(run)
    harness.begin_test("test_a")
    harness.send("shop.book", 1)
    harness.check()
    harness.after_test()
    assert run.events == ["judge so far"]


@pytest.mark.parametrize(("verdict", "error"), [(failed, Failed), (missed, Inconclusive)])
def test_one_that_shows_anything_but_a_pass_is_not_handed_on(verdict: Callable[[], RunResult], error: type[Exception]) -> None:
    dirty, clean = FakeRun(verdict), FakeRun()
    harness = shared(dirty, clean)
    with pytest.raises(error):
        one_test(harness, "test_a")
    assert dirty.events == ["judge so far", "closed"]
    one_test(harness, "test_b")
    assert clean.events == ["judge so far"], "the next test has one of its own"
    harness.finish()
    assert dirty.events[-1] == "closed"
    assert clean.events == ["judge so far", "finish", "closed"]


def test_one_whose_environment_failed_is_reported_and_not_handed_on() -> None:
    broken, clean = FakeRun(unhealthy), FakeRun()
    harness = shared(broken, clean)
    with pytest.raises(EnvironmentFault, match="ended by itself"):
        one_test(harness, "test_a")
    assert broken.events[1].startswith("abandon: not judged")
    assert broken.events[-1] == "closed"
    one_test(harness, "test_b")
    assert clean.events == ["judge so far"]


def test_after_a_test_that_raised_the_next_one_gets_a_new_system() -> None:
    left, clean = FakeRun(), FakeRun()
    harness = shared(left, clean)
    harness.begin_test("test_a")
    harness.send("shop.book", 1)
    harness.abandon(ValueError("a test's own"))
    assert left.events == ["abandon: not judged: the test ended with ValueError: a test's own", "closed"]
    one_test(harness, "test_b")
    assert harness.result is None
    assert clean.events == ["judge so far"]


def test_with_comparing_checks_alone_it_is_healed_and_quiet_between_tests() -> None:
    run = FakeRun(None)
    harness = shared(run)
    one_test(harness, "test_a")
    one_test(harness, "test_b")
    assert run.events == ["heal", "quiet", "heal", "quiet"]
    with pytest.raises(UsageError, match="every check compares with clean runs"):
        harness.check()
    harness.finish()
    assert run.events[-2:] == ["finish", "closed"]


def test_one_that_does_not_become_quiet_is_not_handed_on() -> None:
    busy, clean = FakeRun(None, quiet=False), FakeRun(None)
    harness = shared(busy, clean)
    one_test(harness, "test_a")
    assert busy.events == ["heal", "quiet", "closed"]
    one_test(harness, "test_b")
    assert clean.events == ["heal", "quiet"]


def test_a_failure_at_the_end_names_the_tests_whose_calls_it_concerns() -> None:
    run = FakeRun(passed, lambda: blaming(2, 4))
    harness = shared(run)
    one_test(harness, "test_a", sends=2)
    one_test(harness, "test_b")
    one_test(harness, "test_c")
    with pytest.raises(Failed, match="Sent by call 2: test_a; call 4: test_c"):
        harness.finish()
    assert run.events[-1] == "closed"


def test_numbers_of_calls_count_anew_in_a_new_system() -> None:
    harness = shared(FakeRun(failed), FakeRun(passed, lambda: blaming(1)))
    with pytest.raises(Failed):
        one_test(harness, "test_a", sends=3)
    one_test(harness, "test_b")
    with pytest.raises(Failed, match="Sent by call 1: test_b"):
        harness.finish()


def test_without_comparing_checks_the_last_verdict_is_the_result() -> None:
    run = FakeRun(passed, None)
    harness = shared(run)
    one_test(harness, "test_a")
    harness.finish()
    assert run.result is not None
    assert run.result.verdict is Verdict.PASS
    assert run.events == ["judge so far", "closed"]


def test_a_failure_at_the_end_closes_it_whatever_happens() -> None:
    run = FakeRun(passed, unhealthy)
    harness = shared(run)
    one_test(harness, "test_a")
    with pytest.raises(EnvironmentFault):
        harness.finish()
    assert run.events[-1] == "closed"
    harness.finish()
    assert run.events.count("closed") == 1
