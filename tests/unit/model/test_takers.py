from __future__ import annotations

import pytest

from harness.model.takers import Takers, queue_of
from tests.unit.checks.histories import Build


def takers(b: Build) -> Takers:
    return Takers(b.history, b.history.stopped_at)


def test_the_queue_of_a_message_is_where_it_waits_or_what_the_default_exchange_leads_to() -> None:
    b = Build()
    message = b.call(queue="emails")
    assert queue_of(message) == "emails"
    message.exchange = "events"
    assert queue_of(message) == ""
    b.held(message, "ready", queue="audit")
    assert queue_of(message) == "audit"


def test_who_said_nothing_of_its_queues_may_consume_any() -> None:
    b = Build()
    first, second = b.history.processes
    first.queues = ("orders",)
    assert [life.name for life in takers(b).of("emails")] == ["w-2"]
    second.queues = ("emails",)
    assert takers(b).alive("emails") and not takers(b).alive("invoices")
    second.down = 50.0
    assert not takers(b).alive("emails") and takers(b).alive("")


@pytest.mark.parametrize(
    ("down", "how", "named"), [(10.5, "SIGKILL", True), (10.5, "exit 1", False), (9.0, "SIGKILL", False), (30.0, "", False)]
)
def test_only_a_kill_while_the_message_may_have_been_taken_counts(down: float, how: str, named: bool) -> None:
    b = Build()
    message = b.call(9.9)
    b.run(b.call(10.0), 10.2, pid=2)  # it came after it: by then somebody had taken the first one
    b.history.processes[0].down, b.history.processes[0].how = down, how
    assert takers(b).taken_by(message) == pytest.approx(12.2)
    assert (takers(b).killed_with(message, 9.9, first=True) is not None) is named
