"""A broker that hangs is told as such; what a fault does is not."""

from __future__ import annotations

import pytest

from harness.errors import EnvironmentFault
from harness.run.silence import Silence, blamed


class _System:
    def __init__(self, words: str) -> None:
        self.words = words

    def silent(self) -> str:
        return self.words


HANGS = "broker (Redis) runs and does not answer; its last lines:\n  Ready"


def test_one_that_is_silent_for_long_is_told() -> None:
    silence = Silence(_System(HANGS))
    for now, answered in ((0.0, False), (10.0, True), (11.0, False), (26.0, False)):
        silence.note(now, answered=answered)
    with pytest.raises(EnvironmentFault, match="broker \\(Redis\\) runs and does not answer"):
        silence.note(26.1, answered=False)


@pytest.mark.parametrize("system", [_System(""), object()])
def test_what_a_fault_does_is_not(system: object) -> None:
    silence = Silence(system)
    for now in range(100):
        silence.note(float(now), answered=False)


def test_an_address_gets_its_name() -> None:
    fault = EnvironmentFault("PostgreSQL does not answer: timeout", where="127.0.0.1:5")
    told = str(blamed(_System("backend (PostgreSQL) runs and does not answer; its last lines:\n  x"), fault))
    assert told.startswith("backend (PostgreSQL)") and "(127.0.0.1:5: PostgreSQL does not answer: timeout)" in told
    assert blamed(_System(""), fault) is fault and blamed(object(), fault) is fault
    named = EnvironmentFault("pay-1 ended; its last lines: x")
    assert blamed(_System(HANGS), named) is named
