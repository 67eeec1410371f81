"""What a live run has done, as the `schedule:` of a scenario has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import UsageError
from harness.model.history import FaultRecord, History

__all__ = ["fault_name", "pinned", "ran_again", "validated"]

_Model = TypeVar("_Model", bound=BaseModel)


def fault_name(index: int) -> str:
    """Under which the fault with this index (from 0) can be healed."""
    return f"fault-{index + 1}"


def pinned(script: Sequence[dict[str, Any]], records: Sequence[FaultRecord], history: History | None) -> list[dict[str, Any]]:
    """The steps, with every trigger bound to the call that it struck: whichever came first may be another one next time."""
    if history is None:
        return list(script)
    by_name = {fault_name(record.index): record for record in records}
    steps = []
    for step in script:
        if "when" in step and "call" not in step["when"]:
            step = {**step, "when": {**step["when"], **_pin(by_name[step["as"]], history)}}
        steps.append(step)
    return steps


def _pin(record: FaultRecord, history: History) -> dict[str, int]:
    """The call that was struck, and how often it had got there; {} where that is not certain."""
    if not record.task_id or record.begun is None:
        return {}
    own = [d for d in history.deliveries.values() if d.message.task_id == record.task_id]
    calls = {d.message.call for d in own}
    times = sum(1 for d in own if d.start is not None and d.start <= record.begun)
    return {"call": calls.pop(), "nth": max(1, times)} if len(calls) == 1 and calls != {0} else {}


def ran_again(history: History) -> bool:
    """Was any message delivered twice, copied or retried?"""
    return any(message.is_retry or len(message.deliveries) > 1 for message in history.messages.values())


def validated(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """UsageError in place of pydantic's."""
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        first = exc.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{place}: {first['msg']}" if place else str(first["msg"]).removeprefix("Value error, ")) from None
