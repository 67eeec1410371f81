"""From a finished pass to its history: journals, deaths, depths, what broker and backend still hold."""

from __future__ import annotations

import heapq
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.model.history import Depth, FaultRecord, Held, History, Message, SideEvent
from harness.model.rules import BrokerRules
from harness.ports.broker import BrokerInspector, ShowsRules
from harness.ports.clock import Clock
from harness.ports.runtime import LiveSystem
from harness.run.fold import read_history
from harness.run.outcome import PassOutcome

__all__ = ["record_pass"]


def record_pass(
    outcome: PassOutcome,
    faults: Sequence[FaultRecord],
    system: LiveSystem,
    clock: Clock,
    *,
    results: bool,
    root: Path | None = None,
    look: bool = True,
) -> History:
    """Workers have stopped. Look into broker and backend, read the journals, fold. Files below ``root`` are named from there.

    Without ``look`` nobody is asked: the journals are all there is.
    """
    offset = clock.wall() - (clock.now() - outcome.t0)
    held, rules = _looked(system.broker(), offset) if look else ([], BrokerRules())
    found = system.backend_results() if results and look else None
    history = read_history(
        outcome.journal,
        t0=outcome.t0,
        faults=list(faults),
        deaths=dict(outcome.deaths),
        held=held,
        depths=outcome.depths,
        results=found,
        load_ended=outcome.load_ended,
        healed_at=outcome.healed_at,
        quiet_at=outcome.quiet_at,
        stopped_at=outcome.stopped_at,
        ended=outcome.ended_at,
    )
    history.looked = look
    history.usage = list(outcome.usage)
    history.rules = rules
    _ends(history, outcome)
    _add_effects(history, system, outcome.t0)
    if root is not None:
        _name_files(history, str(root) + os.sep)
    history.depths = _with_ages(history, outcome.depths)
    return history


def _looked(inspector: BrokerInspector, offset: float) -> tuple[Sequence[Held], BrokerRules]:
    """What the broker holds, and what its queues do by themselves."""
    held = inspector.look(offset)
    return held, inspector.rules() if isinstance(inspector, ShowsRules) else BrokerRules()


def _ends(history: History, outcome: PassOutcome) -> None:
    """How each process ended, as the parent saw it."""
    by_pid = {death.pid: death for death in outcome.ended}
    for life in history.processes:
        death = by_pid.get(life.pid)
        if death is None:
            continue
        life.down = death.at - outcome.t0
        number = -death.status
        life.how = f"exit {death.status}" if death.status >= 0 else _signal_name(number)
        by_fault = next((f for f in history.faults if life.pid in f.killed_pids), None)
        life.unexpected = not death.expected and by_fault is None
        if by_fault is not None:
            life.how += f" by {by_fault.name}"


def _add_effects(history: History, system: LiveSystem, t0: float) -> None:
    """What the stores saw happen, among the side events: stories tell it at its time."""
    for store, seen in system.effects().items():
        for effect in seen:
            row = dict(effect.row) if effect.row else None
            detail = {"outcome": effect.outcome, "collection": effect.collection, "row": row, "status": effect.status}
            history.events.append(SideEvent("effect", effect.at - t0, store, effect.text, detail))
    history.events.sort(key=lambda event: event.at)


def _name_files(history: History, root: str) -> None:
    """As the user names them: from the project's folder."""
    for fault in history.faults:
        fault.file = fault.file.removeprefix(root)
    for delivery in history.deliveries.values():
        if delivery.file:
            delivery.file = delivery.file.removeprefix(root)
        if delivery.last_line:
            delivery.last_line = delivery.last_line.removeprefix(root)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _with_ages(history: History, depths: Sequence[Depth]) -> list[Depth]:
    """Adds the age of the oldest unfinished message to each sample: a sweep over publishes and ends, n log n."""
    spans = sorted((m.ok if m.ok is not None else m.begun, _end_of(m)) for m in history.messages.values() if m.begun is not None)
    open_messages: list[tuple[float, float]] = []  # (published, ended), by published
    aged: list[Depth] = []
    position = 0
    for depth in depths:
        while position < len(spans) and (spans[position][0] or 0.0) <= depth.at:
            heapq.heappush(open_messages, (spans[position][0] or 0.0, spans[position][1]))
            position += 1
        while open_messages and open_messages[0][1] <= depth.at:
            heapq.heappop(open_messages)
        oldest = depth.at - open_messages[0][0] if open_messages else 0.0
        aged.append(replace(depth, oldest=oldest))
    return aged


def _end_of(message: Message) -> float:
    ends = [d.end for d in message.deliveries if d.end is not None]
    return min(ends) if ends else float("inf")
