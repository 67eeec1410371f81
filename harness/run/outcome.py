"""What a pass leaves, as its driver has seen it; `harness.run.record` makes a history of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.model.history import Depth, Usage
from harness.model.world import World
from harness.ports.runtime import Death

__all__ = ["PassOutcome"]


@dataclass
class PassOutcome:
    """What one pass leaves, beside its journals. Times in seconds since its load began (``t0`` on the clock)."""

    journal: Path
    t0: float
    before: World
    per_call: dict[int, World] = field(default_factory=dict)
    deaths: dict[int, float] = field(default_factory=dict)
    ended: list[Death] = field(default_factory=list)
    depths: list[Depth] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    load_ended: float | None = None
    healed_at: float | None = None
    quiet_at: float | None = None
    stopped_at: float | None = None  # when stopping began
    ended_at: float | None = None  # when all had stopped
    ready_after: float = 0.0
    quiet: bool = False
    note: str = ""
