"""What a run leaves is handed on only where it came to its end; signals wait until what is removed is gone."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import EnvironmentFault, Interrupted
from harness.run.course import Course, Notes
from harness.run.runner import close_system
from harness.run.signals import InterruptGuard, signals_wait


def course(steps: list[str], failing: Exception | None = None) -> Course:
    """One whose steps only note that they were taken."""
    made = Course.__new__(Course)
    made.cell = SimpleNamespace(checks=())  # type: ignore[assignment]
    made.notes = SimpleNamespace(clean=[])  # type: ignore[assignment]
    made.guard = SimpleNamespace(check=lambda: None)
    made.system = SimpleNamespace(came_to_its_end=lambda: steps.append("its end"))  # type: ignore[assignment]

    def run() -> None:
        steps.append("run")
        if failing is not None:
            raise failing

    fakes: dict[str, Any] = {"open": lambda: None, "_with_faults": run, "judge": lambda: steps.append("judge")}
    vars(made).update(fakes)
    return made


def test_a_run_that_ended_says_so_before_it_is_judged() -> None:
    steps: list[str] = []
    course(steps).go()
    assert steps == ["run", "its end", "judge"]


@pytest.mark.parametrize("failing", [EnvironmentFault("the producer did not finish its load"), Interrupted(signal.SIGINT)])
def test_one_that_broke_off_does_not(failing: Exception) -> None:
    steps: list[str] = []
    with pytest.raises(type(failing)):
        course(steps, failing).go()
    assert steps == ["run"]


def test_a_signal_waits_for_the_end_of_the_block_and_then_is_what_it_would_have_been() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with signals_wait():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            done.append("removed")
        done.append("never")
    assert done == ["removed"]


def test_a_terminal_that_is_gone_stops_a_run_as_sigterm_does_unless_it_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with InterruptGuard() as guard:
            os.kill(os.getpid(), signal.SIGHUP)
        assert not guard.received
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with InterruptGuard() as guard:
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Interrupted) as caught:
                guard.check()
        assert caught.value.exit_code == 143 and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_within_a_guard_it_is_the_guards() -> None:
    with InterruptGuard() as guard:
        with signals_wait():
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            guard.check()


@pytest.mark.parametrize(("left", "before", "told"), [((), None, None), (("x is busy",), None, "x is busy"), (("x",), "broke", "broke")])
def test_what_a_run_leaves_behind_is_its_error_unless_it_has_one(left: tuple[str, ...], before: str | None, told: str | None) -> None:
    system: Any = SimpleNamespace(environment=dict, logs=dict, close=lambda: None, left=left)
    notes = Notes(error=EnvironmentFault(before) if before else None)
    close_system(system, notes)
    assert (notes.error is None) if told is None else (told in str(notes.error))
