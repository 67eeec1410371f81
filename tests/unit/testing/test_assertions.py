"""Promises in a line, against a harness that runs nothing: what they ask of it, and what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import UsageError
from harness.model.finding import Word
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.testing.assertions import assert_idempotent, assert_no_loss, assert_retry_policy
from harness.testing.configuration import Configuration
from harness.testing.handles import plain
from harness.testing.harness import Harness, default_checks, task_name
from harness.testing.outcomes import Failed, Inconclusive
from tests.unit.testing.fake_runs import check, missed, passed, result

SYSTEM = {"app": "shop:app", "services": {"db": "sqlite", "partner": {"http": {"routes": [{"path": "/a"}]}}, "api": "http"}}


class FakeHarness(Harness):
    """Notes what is asked of it and of its like; every run ends with ``results``, the last one for ever."""

    def __init__(self, *results: RunResult, document: Mapping[str, Any] | None = None, log: list[Any] | None = None) -> None:
        self.log: list[Any] = [] if log is None else log
        self.results = list(results) or [passed()]
        workshop: Any = SimpleNamespace(report_folder=lambda configuration, result: None)
        super().__init__(workshop, Configuration(document or {"system": SYSTEM}, Path.cwd(), "here"), "test")

    def another(self, suffix: str, changes: Mapping[str, Any] | None = None, *, clean: Any = None) -> Harness:
        self.log.append(("another", suffix, dict(changes or {})))
        other = FakeHarness(document=self.configuration.with_changes(changes or {}, "").document, log=self.log)
        other.results = self.results
        return other

    def expect(self, **checks: Any) -> Harness:
        self.log.append(("expect", checks))
        return self

    def fault(self, name: str, **parameters: Any) -> Any:
        self.log.append((name, parameters))

    def apply(self, task: Any, args: Any = (), kwargs: Any = None, **options: Any) -> Any:
        self.log.append(("send", tuple(args), dict(kwargs or {})))
        return SimpleNamespace(number=1)

    @property
    def history(self) -> Any:
        return SimpleNamespace(messages={"m": SimpleNamespace(call=1, queue="payments")})

    def judge(self) -> RunResult:
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]

    def of(self, kind: str) -> list[Any]:
        return [entry for entry in self.log if entry[0] == kind]


def test_idempotent_tries_each_crash_point_and_each_kind_of_copy() -> None:
    harness = FakeHarness()
    assert len(assert_idempotent(harness, "shop.book", (1, 900))) == 5
    assert [entry[1] for entry in harness.of("another")] == [
        "crash-start",
        "crash-before_ack",
        "crash-after_ack",
        "copies-sequential",
        "copies-together",
    ]
    assert [entry[1]["when"]["reaches"] for entry in harness.of("task.crash")] == ["start", "before_ack", "after_ack"]
    copies = [(entry[1]["when"]["reaches"], entry[1]["queue"], entry[1]["deliver"]) for entry in harness.of("message.duplicate")]
    assert copies == [("end", "payments", "next"), ("start", "payments", "together")]
    assert harness.of("expect")[0] == ("expect", {"idempotent": {}})


@pytest.mark.parametrize(
    ("workers", "changes"),
    [
        ({}, {}),
        ({"pay": {"concurrency": 1, "replicas": 4}}, {"pay": {"concurrency": 2}}),
        (
            {"pay": {"concurrency": 1, "queues": ["payments", "x"]}, "mail": {"concurrency": 1, "queues": ["x"]}},
            {"pay": {"concurrency": 2}},
        ),
        ({"pay": {"pool": "solo"}, "b": {"pool": "solo", "replicas": 2}}, {"pay": {"replicas": 2, "prefetch_multiplier": 1}}),
    ],
)
def test_copies_that_run_beside_their_original_have_a_slot_to_run_in(workers: Any, changes: Any) -> None:
    harness = FakeHarness(document={"system": {**SYSTEM, **({"workers": workers} if workers else {})}})
    assert_idempotent(harness, "shop.book", (1,), crash_points=["start"])
    asked = {entry[1]: entry[2] for entry in harness.of("another")}
    together = asked.pop("copies-together")
    assert together == ({"system": {"workers": changes}} if changes else {})
    assert not any(asked.values())


def test_several_calls_are_hit_each() -> None:
    harness = FakeHarness()
    assert_idempotent(harness, "shop.book", (), calls=[(1, 900), (2, 900)], crash_points=["shop.py:41"], copies=(), kwargs={"eur": True})
    assert [entry[1]["when"] for entry in harness.of("task.crash")] == [
        {"task": "shop.book", "reaches": "shop.py:41", "call": 1},
        {"task": "shop.book", "reaches": "shop.py:41", "call": 2},
    ]
    assert harness.of("send") == [("send", (1, 900), {"eur": True}), ("send", (2, 900), {"eur": True})]
    assert harness.of("another")[0][1] == "crash-shop.py-41"


def test_the_first_run_that_is_no_pass_ends_it() -> None:
    harness = FakeHarness(passed(), result(Verdict.FAIL, check(Verdict.FAIL, Word.EFFECT, name="idempotent")))
    with pytest.raises(Failed, match=r"shop\.book with its worker killed at before_ack, as assert_idempotent tries it"):
        assert_idempotent(harness, "shop.book", (1,))
    with pytest.raises(Inconclusive):
        assert_idempotent(FakeHarness(missed()), "shop.book", (1,))


def test_a_run_in_which_nothing_came_again_is_none_that_fails_as_long_as_something_did_in_another() -> None:
    def silent(**numbers: float) -> RunResult:
        told = {"exercised": 0.0, "doubts": 0.0, **numbers}
        return result(Verdict.INCONCLUSIVE, check(Verdict.INCONCLUSIVE, name="idempotent").model_copy(update={"numbers": told}))

    assert len(assert_idempotent(FakeHarness(silent(), passed()), "shop.book", (1,))) == 5
    with pytest.raises(Inconclusive, match=r"shop\.book never ran again, whatever assert_idempotent tried"):
        assert_idempotent(FakeHarness(silent()), "shop.book", (1,))
    for other in (silent(doubts=1.0), silent(exercised=1.0), silent().model_copy(update={"deaths": ("pay-1 died",)})):
        with pytest.raises(Inconclusive, match="killed at start"):
            assert_idempotent(FakeHarness(other, passed()), "shop.book", (1,))


def test_idempotent_needs_something_to_look_at_and_a_queue() -> None:
    with pytest.raises(UsageError, match="no services"):
        assert_idempotent(FakeHarness(document={"system": {"app": "shop:app"}}), "shop.book", (1,))
    with pytest.raises(UsageError, match="did you mean `together`"):
        assert_idempotent(FakeHarness(), "shop.book", (1,), copies=["togeter"])
    with pytest.raises(UsageError, match="pass queue="):
        assert_idempotent(FakeHarness(), "shop.book", (1,), crash_points=())
    assert len(assert_idempotent(FakeHarness(), "shop.book", (1,), crash_points=(), queue="payments")) == 2


def test_a_retry_policy_is_judged_on_a_service_that_refuses() -> None:
    harness = FakeHarness()
    assert_retry_policy(harness, "shop.fetch", ("A-1",), fail_with={"partner": 500, "api": 503}, max_retries=5, backoff="none")
    (_, suffix, changes) = harness.of("another")[0]
    assert (suffix, changes["time"]) == ("retries", {"retries": "/60"})
    assert changes["system"]["services"] == {
        "partner": {"http": {"routes": [{"fail": "always", "fail_status": 500}, {"path": "/a"}]}},
        "api": {"http": {"routes": [{"fail": "always", "fail_status": 503}]}},
    }
    assert harness.of("expect") == [("expect", {"retry_policy": {"shop.fetch": {"max_retries": 5, "backoff": "none"}}})]
    assert len(harness.of("send")) == 1


def test_jitter_takes_many_calls_and_a_number_goes_before() -> None:
    policy = {"backoff": "exponential", "base": "1s", "jitter": "full"}
    spread, counted = FakeHarness(), FakeHarness()
    assert_retry_policy(spread, "shop.fetch", (), policy=policy)
    assert_retry_policy(counted, "shop.fetch", (), policy=policy, count=3)
    assert (len(spread.of("send")), len(counted.of("send"))) == (20, 3)


@pytest.mark.parametrize(
    ("promised", "words"),
    [
        ({}, "no policy"),
        ({"max_retry": 3}, "did you mean `max_retries`"),
        ({"max_retries": 3, "fail_with": "partnr"}, "did you mean `partner`"),
        ({"max_retries": 3, "fail_with": "db"}, "no http service"),
    ],
)
def test_a_policy_that_cannot_be_judged_is_refused(promised: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        assert_retry_policy(FakeHarness(), "shop.fetch", (), **promised)


def test_no_loss_looks_at_its_own_check_alone() -> None:
    both = result(Verdict.FAIL, check(Verdict.PASS), check(Verdict.FAIL, Word.EFFECT, name="idempotent"))
    assert assert_no_loss(FakeHarness(both)).verdict is Verdict.PASS
    lost = result(Verdict.FAIL, check(Verdict.FAIL, Word.LOST), check(Verdict.PASS, name="idempotent"))
    with pytest.raises(Failed, match="LOST"):
        assert_no_loss(FakeHarness(lost))
    with pytest.raises(Inconclusive, match="did not bite"):
        assert_no_loss(FakeHarness(missed()))
    with pytest.raises(UsageError, match="not judged by no_loss"):
        assert_no_loss(FakeHarness(result(Verdict.PASS, check(Verdict.PASS, name="idempotent"))))


def test_default_checks_compare_worlds_where_there_are_services() -> None:
    assert list(default_checks({})) == ["no_loss", "no_duplicates"]
    assert default_checks(SYSTEM)["idempotent"] == {"observe": ["db", "partner", "api"]}


def test_a_task_is_known_by_its_name() -> None:
    assert task_name("shop.book") == task_name(SimpleNamespace(name="shop.book")) == "shop.book"
    with pytest.raises(UsageError, match="is no task"):
        task_name(7)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", float("nan")])
def test_arguments_are_what_json_carries(value: object) -> None:
    with pytest.raises(UsageError, match="cannot be written into a plan"):
        plain([value], "an argument")
    assert plain((1, {"a": (2, None)}), "an argument") == [1, {"a": [2, None]}]


def test_keywords_of_the_call_are_not_taken_for_options() -> None:
    with pytest.raises(UsageError, match="no option `number`"):
        FakeHarness().assert_idempotent("shop.book", number=7)


def test_an_assertion_that_tries_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing would be tried"):
        assert_idempotent(FakeHarness(), "shop.charge", [7], crash_points=[], copies=[])
