"""What several checks share: counting in words, cells per fault, grouping of offenders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from harness.model.finding import CheckResult
from harness.model.history import Delivery, FaultRecord, History
from harness.model.verdict import Verdict
from harness.ports.check import Recorded

__all__ = ["by_fault", "count", "first_match", "inconclusive", "opened", "provoked", "tasks_of", "user_line", "visibility_timeout"]

T = TypeVar("T")

#: Seconds by which a worker may notice late that its connection is gone, or leave late.
NOTICED_LATE = 5.0


def count(number: int, noun: str, plural: str = "") -> str:
    """``count(1, 'task')`` -> '1 task'; ``count(1200, 'task')`` -> '1,200 tasks'."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def opened(text: str) -> str:
    """With a capital at its start, unless its first word is a name (shop.tasks.MailDown): names keep their case."""
    first = text.split(" ", 1)[0]
    return text if "." in first or "_" in first else text[:1].upper() + text[1:]


def inconclusive(check: type, summary: str, advice: str = "", **more: object) -> CheckResult:
    """No verdict; ``summary`` says why and ``advice`` what would help."""
    return CheckResult(
        name=check.name,  # type: ignore[attr-defined]
        question=check.question,  # type: ignore[attr-defined]
        verdict=Verdict.INCONCLUSIVE,
        summary=summary,
        advice=advice,
        **more,  # type: ignore[arg-type]
    )


def by_fault(
    history: History, guilty: Mapping[int, str], words: Callable[[FaultRecord], str], unclear: Mapping[int, str] | None = None
) -> tuple[tuple[Verdict | None, str], ...]:
    """One cell per fault: fail where it is guilty, inconclusive where unclear, pass where it was exercised.

    ``words``: what the fault did to the thing that the check watches; '' if it did not touch it ('not exercised').
    """
    cells: list[tuple[Verdict | None, str]] = []
    for fault in history.faults:
        if fault.index in guilty:
            cells.append((Verdict.FAIL, guilty[fault.index]))
        elif unclear and fault.index in unclear:
            cells.append((Verdict.INCONCLUSIVE, unclear[fault.index]))
        elif fault.evidence.bit is False:
            cells.append((None, "did not bite"))
        else:
            text = words(fault)
            cells.append((Verdict.PASS, text) if text else (None, "not exercised"))
    return tuple(cells)


def provoked(history: History, delivery: Delivery) -> bool:
    """Did a fault of ours end this delivery: by striking its worker, or by cutting the connection it came through?

    What a worker that lives on sent back by itself, with a reject and requeue, no fault provoked.
    """
    if delivery.died_by is not None:
        return True
    until = next((d.at for d in delivery.message.deliveries if d.at > delivery.at), float("inf"))
    return any(
        _struck_worker(history, fault, delivery) or _cut_connection(history, fault, delivery, until)
        for fault in history.faults
        if fault.evidence.bit is not False
        and fault.begun is not None
        and fault.begun <= until
        and delivery.at <= _end_of(fault) + (NOTICED_LATE if fault.name == "worker.scale" else 0.0)
    )


def _end_of(fault: FaultRecord) -> float:
    begun = fault.begun if fault.begun is not None else float("-inf")
    return fault.ended if fault.ended is not None else begun if fault.healed else float("inf")


def _struck_worker(history: History, fault: FaultRecord, delivery: Delivery) -> bool:
    if not fault.name.startswith(("worker.", "task.")) or (delivery.ack is not None and delivery.ack < (fault.begun or 0.0)):
        return False
    killed = delivery.pid in fault.killed_pids or bool(delivery.pid_run and delivery.pid_run in fault.killed_pids)
    if fault.name == "worker.scale":  # its target is a group, and which of the group had to leave is not in the record
        begun, until = fault.begun or 0.0, _end_of(fault) + NOTICED_LATE
        lives = [p for p in history.processes if p.pid == delivery.pid and p.name.rpartition("-")[0] == fault.target]
        killed = killed or any(p.down is not None and begun <= p.down <= until for p in lives)
    if delivery.reject is not None and delivery.requeue:
        return killed and fault.begun is not None and fault.begun <= delivery.reject
    return killed or bool(fault.target and delivery.worker == fault.target)


def _cut_connection(history: History, fault: FaultRecord, delivery: Delivery, until: float) -> bool:
    """A lost connection is the evidence: without one the broker had no reason of ours to deliver again."""
    if not fault.name.startswith(("broker.", "net.")) or (delivery.reject is not None and delivery.requeue):
        return False
    first, last = max(delivery.at, fault.begun or 0.0), min(until, _end_of(fault)) + NOTICED_LATE
    return any(first <= cut <= last for p in history.processes if p.pid == delivery.pid for cut in p.disconnected)


def first_match(patterns: Mapping[str, T], task: str) -> T | None:
    """The value of the first pattern (shell wildcards, in the order of the file) that the task's name matches."""
    return next((value for pattern, value in patterns.items() if fnmatchcase(task, pattern)), None)


def tasks_of(deliveries: Iterable[Delivery]) -> tuple[str, ...]:
    """Task ids of these deliveries, each once, in order."""
    return tuple(dict.fromkeys(d.message.task_id for d in deliveries))


def user_line(history: History, delivery: Delivery | None) -> tuple[str, int | None]:
    """The user's line that was running when the delivery ended or died; ('', None) if unknown."""
    if delivery is None:
        return "", None
    if delivery.last_line:
        file, _, line = delivery.last_line.rpartition(":")
        return file, int(line) if line.isdigit() else None
    if delivery.line is not None:
        return delivery.file, delivery.line
    for fault in history.faults:
        if fault.index == delivery.died_by and fault.line is not None and fault.task_id == delivery.message.task_id:
            return fault.file, fault.line
    return "", None


def visibility_timeout(recorded: Recorded) -> Any | None:
    """The setting, in seconds, where the broker delivers again by it; None where the app sets none, or for another broker."""
    if recorded.semantics.get("redelivers_on", "visibility_timeout") != "visibility_timeout":
        return None
    return (recorded.history.config.get("broker_transport_options") or {}).get("visibility_timeout")
