"""A recorded load, to be played again: when each call was made, and what it was where the recording says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["OwnCall", "Trace"]

#: Task, positional and keyword arguments of one call; None: the load item's.
OwnCall = tuple["str | None", "list[Any] | None", "dict[str, Any] | None"]


@dataclass(frozen=True, slots=True)
class Trace:
    """``at``: seconds from the trace's beginning, in order, one per call. ``own``: what each call says of itself, in the same order; ()
    where none does. ``kinds``: one (file:line, call) for each task, number of arguments and names of keyword arguments among them.
    """

    at: tuple[float, ...]
    own: tuple[OwnCall, ...] = ()
    kinds: tuple[tuple[str, OwnCall], ...] = ()
