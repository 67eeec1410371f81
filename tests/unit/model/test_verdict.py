from __future__ import annotations

import itertools

import pytest

from harness.model.finding import EXPLANATIONS, Word
from harness.model.verdict import EXIT_CODES, Verdict, combine

_ORDER = [Verdict.FAIL, Verdict.ENVIRONMENT, Verdict.INCONCLUSIVE, Verdict.PASS]


@pytest.mark.parametrize("verdicts", [c for n in range(1, 5) for c in itertools.combinations(_ORDER, n)])
def test_the_worst_verdict_wins_in_the_order_of_the_design(verdicts: tuple[Verdict, ...]) -> None:
    assert combine(verdicts) is min(verdicts, key=_ORDER.index)
    assert combine(reversed(verdicts)) is combine(verdicts)


def test_nothing_to_combine_is_no_pass() -> None:
    assert combine([]) is Verdict.INCONCLUSIVE


def test_exit_codes_are_those_of_the_design() -> None:
    assert EXIT_CODES == {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.ENVIRONMENT: 3, Verdict.INCONCLUSIVE: 4}


def test_every_word_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Word)
    assert all(part.endswith(".") for texts in EXPLANATIONS.values() for part in texts)
