"""Can real workers on a real broker go the way of a finding, in real time? If so, how; else why not, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.explore.confirm import Replayed
from harness.explore.graph import Suspicion
from harness.explore.judged import is_beneath
from harness.explore.spots import Step
from harness.model.exploration import Outcome, Rerun
from harness.model.quantities import format_duration

__all__ = ["rerun_of"]

#: Seconds. A message must not come back while a worker that lives still runs or holds it, on a slow machine too; nor much later.
_REDELIVERY, _LONGEST = 5.0, 600.0
#: So long after that a slow machine may take until a worker runs it again.
_SLOW = 25.0
_ENDS = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED, Outcome.RETRY)


def rerun_of(suspicion: Suspicion, replayed: Replayed) -> Rerun:
    """``replayed``: the same path, walked with true kills."""
    steps, fault = suspicion.spot.steps, suspicion.fault
    ends = tuple(ending.outcome for ending in replayed.endings)
    waits, due = _redeliveries(steps), _due(steps)
    slept = [ending.slept for ending in replayed.endings]
    # A retry that is not due is held by a worker, unacknowledged: on Redis it would come back meanwhile, and run twice.
    redelivery = max([_REDELIVERY + 2 * max(slept, default=0.0) + max(due, default=0.0), *(wait + 1 for wait in waits)])
    seconds = sum(slept) + redelivery * len(waits) + sum(due)
    refused = _refusal(suspicion, replayed) or _refusal_of_time(steps, replayed, redelivery)
    if not refused and seconds > _LONGEST:
        refused = f"{format_duration(seconds)} would have to pass for real"
    return Rerun(ends, fault.against, redelivery, seconds, refused)


def _refusal(suspicion: Suspicion, replayed: Replayed) -> str:
    steps, endings = suspicion.spot.steps, replayed.endings
    if endings[-1].returned and not suspicion.spot.kills:
        return "it takes no crash: calling the task once shows it"
    if suspicion.fault.word in ("STORM", "STUCK") or any(ending.outcome is Outcome.ENDLESS for ending in endings):
        return "it has no end"
    if any(step.delivery.warm for step in steps):
        return "its message comes back to the process that has run it, for which the worker would have to lose its connection at the ack"
    first = steps[0].message
    if any(step.message.id != first.id for step in steps):
        return f"it needs messages beside the one of {first.task}, whose order no real broker promises"
    if any(step.delivery.message for step in steps) or any(len(node.pending) > 1 for node in replayed.worlds):
        return "it needs two messages at a time, whose order no real broker promises"
    if (hidden := next(filter(is_beneath, suspicion.fault.differences), None)) is not None:
        return f"it differs in {hidden.get('collection')}, which checks of real workers do not compare"
    if any("@celery-harness" in str(one) for one in suspicion.fault.differences):
        return "it takes another worker's name (self.request.hostname), and a worker that is started again there has the same"
    if odd := next((e for step, e in zip(steps, endings, strict=True) if step.delivery.killed_at is None and e.outcome not in _ENDS), None):
        return f"a delivery of it ends as {odd.outcome.value} without a crash of ours"
    return ""


def _refusal_of_time(steps: Sequence[Step], replayed: Replayed, redelivery: float) -> str:
    """A real broker gives a message back after one and the same time, and a retry when it is due."""
    for number, step in enumerate(steps[1:], 1):
        wait, left = step.delivery.wait, replayed.worlds[number - 1].deadlines
        if steps[number - 1].delivery.killed_at is None:
            if wait > step.message.eta + 1:
                return "it needs a retry that is delivered later than it is due"
        elif not wait and left and min(left) < redelivery + _SLOW:
            return f"its message has to come back before {format_duration(min(left))} have passed, when something of what was left expires"
    if len({wait > 0 for wait in _redeliveries(steps)}) > 1:
        return "its message has to come back at once after one crash, and later after another"
    return "" if not steps[0].delivery.wait else "its first delivery comes late"


def _redeliveries(steps: Sequence[Step]) -> list[float]:
    return [step.delivery.wait for before, step in pairwise(steps) if before.delivery.killed_at is not None]


def _due(steps: Sequence[Step]) -> list[float]:
    return [step.delivery.wait for before, step in pairwise(steps) if before.delivery.killed_at is None]
