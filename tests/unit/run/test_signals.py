"""A signal is heard once, wherever it comes."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from harness.errors import Interrupted
from harness.run.signals import InterruptGuard, signals_wait


def test_one_that_comes_before_the_inner_guard_is_heard_there() -> None:
    with InterruptGuard() as outer:
        signal.raise_signal(signal.SIGTERM)
        with InterruptGuard() as inner, pytest.raises(Interrupted) as caught:
            inner.check()
        assert caught.value.signal_number == signal.SIGTERM
        inner.check()
        with pytest.raises(Interrupted):
            outer.check()


def test_one_that_was_told_already_is_not_told_again_within() -> None:
    with InterruptGuard() as outer:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            outer.check()
        with InterruptGuard() as inner:  # of what stops: that is not interrupted again
            inner.check()


@pytest.fixture
def terminal() -> Iterator[None]:
    """As where nobody has had SIGHUP ignored (nohup)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("terminal")
def test_one_that_waits_comes_when_it_is_over() -> None:
    with InterruptGuard() as outer:
        with signals_wait():
            signal.raise_signal(signal.SIGHUP)
            outer.check()
        with pytest.raises(Interrupted) as caught:
            outer.check()
    assert caught.value.signal_number == signal.SIGTERM
