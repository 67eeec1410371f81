from __future__ import annotations

import random
from typing import Any

import pytest
from celery.utils.time import get_exponential_backoff_interval
from pydantic import ValidationError

from harness.checks._retry_rules import Policy, base_of, delay_allowed, is_one_of
from harness.checks.retry_policy import RetryPolicyParameters
from harness.model.finding import Word
from harness.model.verdict import Verdict
from tests.unit.checks.histories import Build

EXACT = {"max_retries": 3, "backoff": "exponential", "base": "1s", "cap": "60s", "jitter": "none"}
JITTER = EXACT | {"jitter": "full"}


def policy(**fields: Any) -> Policy:
    return Policy.model_validate(fields)


def chain(b: Build, delays: list[float], **more: Any) -> None:
    message = b.call()
    for delay in delays:
        message = b.retry(message, delay, **more)
    b.run(message)


def causes(b: Build, rules: dict[str, Any], pattern: str = "app.*") -> list[str]:
    return [f.cause for f in b.judge("retry_policy", {pattern: rules}).findings]


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("cap", [5, 60, 600])
def test_the_formula_is_the_installed_celerys(factor: int, cap: int) -> None:
    rules = policy(backoff="exponential", base=f"{factor}s", cap=f"{cap}s")
    for n in range(70):
        assert base_of(rules, n) == get_exponential_backoff_interval(factor, n, cap, full_jitter=False)


def test_every_draw_of_celery_is_allowed_and_nothing_else() -> None:
    rules = policy(backoff="exponential", base="1s", cap="8s", jitter="full")
    for n in range(6):
        drawn = {get_exponential_backoff_interval(1, n, 8, full_jitter=True) for _ in range(500)}
        assert drawn == {d for d in range(-2, 700) if delay_allowed(rules, n, d, exact=True)}
    assert not delay_allowed(rules, 3, 2.5, exact=True)


def test_passes_on_the_exact_delays_and_only_on_them() -> None:
    b = Build()
    chain(b, [1, 2, 4])
    assert b.judge("retry_policy", {"app.*": EXACT}).verdict is Verdict.PASS
    for wrong in ([1, 2, 5], [2, 2, 4], [0, 2, 4], [180]):
        b = Build()
        chain(b, wrong)
        assert causes(b, EXACT) == ["spacing"]


def test_no_retries_and_no_matching_task_are_no_evidence() -> None:
    b = Build()
    b.done()
    assert b.judge("retry_policy", {"app.*": EXACT}).verdict is Verdict.INCONCLUSIVE
    chain(b, [17])
    result = b.judge("retry_policy", {"other.*": EXACT})
    assert result.verdict is Verdict.INCONCLUSIVE and "pattern" in result.advice


def test_one_retry_too_many_even_if_it_never_ran() -> None:
    b = Build()
    chain(b, [1, 2, 4])
    assert causes(b, EXACT) == []
    assert causes(b, EXACT | {"max_retries": 2}) == ["count"]
    assert causes(b, {"max_retries": 0}) == ["count"]


def test_a_manual_retry_that_ignores_the_backoff_is_named_with_its_line() -> None:
    b = Build()
    chain(b, [180], file="/app/tasks.py", line=12)
    (finding,) = b.judge("retry_policy", {"app.*": EXACT}).findings
    assert (finding.word, finding.cause, finding.file, finding.line) == (Word.RETRY, "spacing", "/app/tasks.py", 12)
    assert "180" in finding.sentence and finding.story is not None


def test_measured_delays_have_a_margin_and_exact_ones_do_not() -> None:
    for delay, exact, allowed in ((3.99, False, True), (3.4, False, False), (4.1, False, False), (3.99, True, False), (4.0, True, True)):
        assert delay_allowed(policy(backoff="fixed", base="4s"), 0, delay, exact=exact) is allowed


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ({"retry_on": ["ConnectionError"]}, []),
        ({"retry_on": ["builtins.ConnectionError"]}, []),
        ({"retry_on": ["OSError"]}, []),  # its base class
        ({"retry_on": ["TimeoutError"]}, ["exception"]),
        ({"never": ["ConnectionError"]}, ["exception"]),
        ({"never": ["OSError"]}, ["exception"]),
        ({"never": ["ValueError"]}, []),
    ],
)
def test_exceptions(rules: dict[str, Any], found: list[str]) -> None:
    b = Build()
    chain(b, [1])
    assert causes(b, rules) == found


def test_names_of_exceptions() -> None:
    assert is_one_of("shop.errors.Busy", ["errors.Busy"]) and not is_one_of("shop.errors.Busy", ["rrors.Busy", "busy"])
    assert not is_one_of("shop.OSError", ["builtins.OSError"])
    assert not is_one_of("", ["OSError"])


def test_the_budget_counts_delays_asked_for_and_running_once_per_attempt() -> None:
    b = Build()
    chain(b, [10, 20], took=2.0)
    assert causes(b, {"within": "34.5s"}) == []
    assert causes(b, {"within": "33s"}) == ["budget"]
    first = b.history.messages["m1"]
    b.run(first, 50, state="RETRY", retry_delay=10, took=2.0)  # the same attempt, delivered again
    assert causes(b, {"within": "34.5s"}) == []


def test_jitter_passes_where_delays_differ() -> None:
    rng = random.Random(2)
    b = Build()
    for _ in range(20):
        chain(b, [rng.randrange(2), rng.randrange(3), rng.randrange(5)])
    assert b.judge("retry_policy", {"app.*": JITTER}).verdict is Verdict.PASS


def test_jitter_is_inconclusive_where_a_fixed_delay_is_not_refuted() -> None:
    b = Build()
    chain(b, [1, 2, 4])
    result = b.judge("retry_policy", {"app.*": JITTER})
    assert result.verdict is Verdict.INCONCLUSIVE and result.advice


def test_jitter_fails_outside_its_support_and_where_the_spread_is_too_improbable() -> None:
    b = Build()
    chain(b, [2])
    assert causes(b, JITTER) == ["spacing"]
    b = Build()
    for _ in range(30):
        chain(b, [1, 2, 4])
    result = b.judge("retry_policy", {"app.*": JITTER})
    assert (result.verdict, [f.cause for f in result.findings]) == (Verdict.FAIL, ["no jitter"])


def test_jitter_of_the_users_own_over_a_fixed_delay() -> None:
    rules = {"backoff": "fixed", "base": "5s", "jitter": "full"}
    b = Build()
    for n in range(25):
        chain(b, [n / 5.0])
    assert b.judge("retry_policy", {"app.*": rules}).verdict is Verdict.PASS
    for same, verdict in ((21, Verdict.FAIL), (20, Verdict.INCONCLUSIVE)):
        b = Build()
        for _ in range(same):
            chain(b, [2.5])
        assert b.judge("retry_policy", {"app.*": rules}).verdict is verdict


def test_an_offence_beside_jitter_that_is_not_shown_stays_a_failure() -> None:
    b = Build()
    chain(b, [1, 2, 4], error="builtins.ValueError")
    result = b.judge("retry_policy", {"app.*": JITTER | {"never": ["ValueError"]}})
    assert result.verdict is Verdict.FAIL and "offence" in result.summary


def test_the_first_pattern_that_matches_counts() -> None:
    b = Build()
    chain(b, [9])
    rules = {"app.pay": {"backoff": "fixed", "base": "9s"}, "app.*": EXACT}
    assert b.judge("retry_policy", rules).verdict is Verdict.PASS


def test_nested_layers_are_noted() -> None:
    b = Build()
    chain(b, [1])
    inner = b.message("inner", "app.http", 2, call=1, parent_id="t1")
    b.retry(inner, 1).parent_id = "t1"
    assert "app.http inside app.pay" in b.judge("retry_policy", {"app.pay": EXACT}).summary


def test_cells_count_retries_by_the_fault_during_which_they_failed() -> None:
    b = Build()
    b.fault("net.partition", 0.0, 1.0)
    b.fault("net.partition", 50.0, 51.0)
    chain(b, [1])
    assert b.judge("retry_policy", {"app.*": EXACT}).by_fault == ((Verdict.PASS, "1 retry"), (None, "not exercised"))


@pytest.mark.parametrize("bad", [{}, {"app.*": {"jitter": "full"}}, {"app.*": {"backof": "fixed"}}, {"app.*": {"base": "1s"}}])
def test_bad_parameters(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RetryPolicyParameters.model_validate(bad)
