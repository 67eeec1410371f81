"""When a drain ends: at once, early because the broker gives nothing back before its end, or only then."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.errors import EnvironmentFault
from harness.model.history import Held
from harness.model.scenario import Scenario
from harness.ports.runtime import Death
from harness.run.live import OpenDelivery
from harness.run.outcome import PassOutcome
from harness.run.passes import PassDriver
from harness.run.timeline import Timeline
from tests.unit.run.test_live import opened, r

SCENARIO = Scenario.model_validate({"version": 1, "system": {"app": "app:app"}, "load": [{"send": "app.pay", "count": 1}]})
LATE = {"message_id": "m1", "task_id": "t1", "tag": "x"}


@dataclass
class Broker:
    """Counts, and what it shows."""

    counts: tuple[int, int]
    held: list[Held] = field(default_factory=list)

    def depth(self) -> tuple[int, int]:
        return self.counts

    def look(self, wall_offset: float) -> list[Held]:
        return self.held


@dataclass
class System:
    inspector: Broker

    def broker(self) -> Broker:
        return self.inspector


class Clock:
    """Stands still."""

    def now(self) -> float:
        return 100.0

    wall = now

    def sleep(self, seconds: float) -> None: ...


def nothing_before(counts: tuple[int, int], held: list[Held], waiting: int = 0) -> bool:
    """Of a drain that ends 60 s after the load began, while workers hold ``waiting`` tasks with later ETAs."""
    system: Any = System(Broker(counts, held))
    driver = PassDriver(system, SCENARIO, Clock(), lambda event: None, lambda: None)
    driver.outcome = PassOutcome(journal=None, t0=90.0, before=None)  # type: ignore[arg-type]
    driver.live.open = {str(n): OpenDelivery(1, "m", "t", eta_wall=9e9) for n in range(waiting)}
    return driver._nothing_before(60.0)


@pytest.mark.parametrize(
    ("held", "waiting", "expected"),
    [
        ([Held("unacked", "celery", returns_at=3_600.0, **LATE)], 0, True),
        ([Held("unacked", "celery", returns_at=50.0, **LATE)], 0, False),
        ([Held("unacked", "celery", **LATE)], 0, False),
        ([Held("delayed", "celery_delayed_27", returns_at=500.0, **LATE)], 0, True),
        ([Held("delayed", "celery_delayed_4", returns_at=30.0, **LATE)], 0, False),
        ([Held("delayed", "wait", **LATE)], 0, False),  # until when is not known
        # RabbitMQ does not show what consumers have: as many as wait in workers, or more.
        ([Held("unacked", "celery")], 1, True),
        ([Held("unacked", "celery")] * 2, 1, False),
        ([Held("unacked", "celery"), Held("delayed", "celery_delayed_27", returns_at=500.0, **LATE)], 1, True),
        ([Held("unacked", "celery"), Held("ready", "celery", returns_at=500.0, **LATE)], 1, False),
        ([Held("unacked", "celery"), Held("dead_letter", "dead", **LATE)], 1, True),
        ([Held("dead_letter", "dead", **LATE)], 0, False),  # what was counted is gone
        ([], 0, False),
    ],
)
def test_a_drain_ends_early_where_waiting_changes_nothing(held: list[Held], waiting: int, expected: bool) -> None:
    assert nothing_before((0, 1), held, waiting) is expected


def test_it_goes_on_while_something_is_ready_or_nothing_is_left() -> None:
    late = [Held("unacked", "celery", returns_at=3_600.0, **LATE)]
    assert not nothing_before((1, 1), late)
    assert not nothing_before((0, 0), late)


class Ticking(Clock):
    """Goes on by a hundredth of a second whenever it is looked at."""

    time = 100.0

    def now(self) -> float:
        self.time += 0.01
        return self.time

    wall = now


@pytest.mark.parametrize(
    ("ended", "now", "done", "refused"),
    [
        ("", 105.0, False, False),
        ("worker", 105.0, False, False),
        ("producer", 105.0, False, True),
        ("", 1000.0, False, True),
        ("producer", 1000.0, True, False),
    ],
)
def test_a_load_that_will_not_come_to_its_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, ended: str, now: float, done: bool, refused: bool
) -> None:
    clock = Clock()
    monkeypatch.setattr(clock, "now", lambda: now)
    system: Any = System(Broker((0, 0)))
    driver = PassDriver(system, SCENARIO, clock, lambda event: None, lambda: None)
    driver.outcome = PassOutcome(journal=None, t0=100.0, before=None)  # type: ignore[arg-type]
    driver.outcome.ended = [Death("its name", ended, pid=1, at=101.0, status=0)] if ended else []
    driver.live.load_done = done
    with pytest.raises(EnvironmentFault, match="did not finish its load") if refused else nullcontext():
        driver.watch_load(10.0)


CUT_OFF = (opened(10, "pay-1"), r("connected", queues=[]), r("disconnected"))


def drained(later: list[tuple[float, dict[str, Any]]], seconds: float = 20.0) -> PassOutcome:
    """After a drain of so many seconds at most, of an empty broker whose worker has lost its connection; ``later``: when it says what."""
    system: Any = System(Broker((0, 0)))
    driver = PassDriver(system, SCENARIO, Ticking(), lambda event: None, lambda: None)
    driver.outcome = outcome = PassOutcome(journal=None, t0=100.0, before=None)  # type: ignore[arg-type]
    driver.live.feed(CUT_OFF)
    told = list(later)

    def step(wait: float = 0.0) -> int:
        due = [record for at, record in told if at <= driver.now()]
        del told[: len(due)]
        return driver.live.feed(due)

    driver.step = step  # type: ignore[method-assign]
    driver._drain(Timeline([]), seconds)
    outcome.stopped_at = driver.now()
    return outcome


def test_a_drain_waits_for_a_worker_that_tries_to_connect_again() -> None:
    outcome = drained([(4.0, r("connected", queues=[]))])
    assert outcome.quiet and outcome.quiet_at is not None and 4.0 < outcome.quiet_at < 5.0
    assert not outcome.note


def test_one_that_never_comes_back_uses_the_whole_drain_and_is_named() -> None:
    outcome = drained([])
    assert outcome.stopped_at is not None and outcome.stopped_at >= 20.0
    assert outcome.note == "quiet, but for pay-1 without its connection to the broker, waited for until the drain's end"
    assert outcome.quiet, "there was no work left"


@pytest.mark.parametrize("says", [r("down"), r("settings", config={"broker_connection_retry": False}, tasks={})])
def test_one_that_does_not_try_is_not_waited_for(says: dict[str, Any]) -> None:
    outcome = drained([(2.0, says)])
    assert outcome.quiet and outcome.stopped_at is not None and outcome.stopped_at < 4.0
