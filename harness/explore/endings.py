"""How a delivery ended, from what the child has told of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.explore.shared_page import SharedPage
from harness.model.exploration import Ending, Outcome, Place, Stop

__all__ = ["ending_of"]


def ending_of(
    told: Mapping[str, Any],
    outcome: Outcome,
    stops: Sequence[Stop],
    page: SharedPage,
    *,
    endless: str,
    doubts: Iterable[str],
    undeclared: Iterable[str],
    slept: float,
) -> Ending:
    """``told``: the child's answer, empty where it gave none. ``endless``: why it had no end, for one that is ENDLESS."""
    error = str(told.get("error") or "")
    if outcome is Outcome.DIED and not error:
        error = "the process of the task ended by itself, without an answer (os._exit, a signal, a crash of the interpreter)"
    if outcome is Outcome.ENDLESS:
        error = endless
    place = told.get("place")
    return Ending(
        outcome,
        tuple(stops),
        result=str(told.get("result") or ""),
        error=error,
        traceback=str(told.get("traceback") or ""),
        requeue=bool(told.get("requeue")),
        returned=bool(told.get("returned")),
        place=Place(place["module"], place["function"], page.relative(place["file"]), place["line"]) if place else None,
        doubts=tuple(doubts),
        undeclared=tuple(undeclared),
        slept=slept,
    )
