"""A live run's steps as a schedule: triggers are bound to what they struck."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from harness.errors import UsageError
from harness.model.history import FaultRecord
from harness.run.script import fault_name, pinned, ran_again, validated
from tests.unit.checks.histories import Build

ARMED: dict[str, Any] = {"fault": "task.crash", "when": {"task": "app.pay", "reaches": "start"}, "as": "fault-1"}


def struck(task_id: str = "", begun: float | None = None) -> FaultRecord:
    record = FaultRecord(0, "task.crash", "step 1")
    record.task_id, record.begun = task_id, begun
    return record


def test_a_trigger_is_bound_to_the_call_and_the_start_that_it_struck() -> None:
    build = Build()
    build.call()
    message = build.call(at=1.0)
    build.deliver(message, start=1.2)
    build.deliver(message, start=3.2)
    script = [{"send": "app.pay"}, {"send": "app.pay"}, ARMED]
    steps = pinned(script, [struck(message.task_id, 3.3)], build.history)
    assert steps == [*script[:2], {**ARMED, "when": {"task": "app.pay", "reaches": "start", "call": 2, "nth": 2}}]
    assert "call" not in ARMED["when"]


@pytest.mark.parametrize("record", [struck(), struck("t1"), struck("a task that the load did not send", 1.0)])
def test_what_is_not_certain_stays_as_it_was(record: FaultRecord) -> None:
    build = Build()
    build.deliver(build.call(), start=0.5)
    assert pinned([ARMED], [record], build.history) == [ARMED]


def test_a_call_that_was_named_stays_named() -> None:
    build = Build()
    build.deliver(build.call(), start=0.5)
    named = {**ARMED, "when": {**ARMED["when"], "call": 7}}
    assert pinned([named], [struck("t1", 1.0)], build.history) == [named]
    assert pinned([ARMED], [struck("t1", 1.0)], None) == [ARMED]


def test_something_ran_again_where_a_message_was_delivered_twice_or_retried() -> None:
    build = Build()
    message = build.call()
    build.deliver(message)
    assert not ran_again(build.history)
    build.deliver(message)
    assert ran_again(build.history)
    retried = Build()
    retried.message(retried.call().task_id, retries=1)
    assert ran_again(retried.history)


def test_names_of_faults_count_from_one() -> None:
    assert fault_name(0) == "fault-1"


class Count(BaseModel):
    count: int = Field(ge=1)


def test_what_does_not_validate_is_told_by_its_key() -> None:
    assert validated(Count, {"count": 3}).count == 3
    with pytest.raises(UsageError, match=r"^count: Input should be greater than or equal to 1$"):
        validated(Count, {"count": 0})
