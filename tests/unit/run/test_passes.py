"""When a drain may end early: the broker gives nothing back before its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.model.history import Held
from harness.model.scenario import Scenario
from harness.run.live import OpenDelivery
from harness.run.passes import PassDriver, PassOutcome

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
