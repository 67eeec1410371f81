from __future__ import annotations

import pytest

from harness.explore import alarms as module
from harness.explore.alarms import Alarms


def test_one_that_would_ring_is_a_doubt_and_one_that_is_taken_back_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    alarms = Alarms()
    alarms.set(5, slept=1.0, really=False)
    assert "alarm" in alarms.waits
    clock[0] += 60.0  # for which it stood, or the machine is slow
    alarms.pass_time(5.9, really=False)
    alarms.set(0, slept=5.9, really=False)
    assert alarms.waits == "" and alarms.end(90.0, really=True, over=True) == {}
    alarms.set(5, slept=90.0, really=True)
    assert alarms.end(94.0, really=False, over=False) == {}, "it was killed"
    assert ["ends with an alarm" in doubt for doubt in alarms.end(94.0, really=False, over=True)] == [True]
    assert ["longer than that" in doubt for doubt in alarms.end(95.0, really=False, over=True)] == [True]


def test_while_programs_of_the_task_work_time_itself_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    alarms = Alarms()
    alarms.set(5, slept=0.0, really=True)
    clock[0] += 5.0
    assert len(alarms.end(0.0, really=True, over=True)) == 1
