"""Drawn arguments in words: what is going to be drawn, and what became of it."""

from __future__ import annotations

import json

from harness.model.exploration import Drawn, DrawnSet, Exploration
from harness.reporting.words import number, plural

__all__ = ["drawn_call", "drawn_sentences", "drawn_text"]


def drawn_text(source: str, rows: str, examples: int) -> str:
    """After a task's name, before anything was drawn: ``   10 sets of arguments, drawn from shop.testing:charges``."""
    empty = DrawnSet((), {}, None, "")
    words = Drawn(source, rows, 0, (empty,) * examples).words.partition(" with seed")[0]
    return f"   up to {words}"


def drawn_call(found: Exploration, call: str) -> str:
    """``call`` is of one set. With all of them where the verdict is on all."""
    if found.drawn is None or found.verdict == "fails":
        return call
    return f"{found.task}, {plural(len(found.drawn.sets), 'set')} of arguments"


def drawn_sentences(found: Exploration) -> list[str]:
    """Where the arguments came from, and which are of no use; [] where they were written out."""
    drawn = found.drawn
    if drawn is None:
        return []
    told = [drawn.words]
    if found.verdict == "fails":
        further = f"{number(drawn.smaller)} more {'was' if drawn.smaller == 1 else 'were'} tried to make it smaller"
        bounded = ", and then no more: there may be smaller ones" if drawn.bounded else ""
        rows = f"; `setup` was given {json.dumps(drawn.smallest_rows)}" if drawn.rows else ""
        told = [f"{drawn.words}; with the last of them it fails, and {further}{bounded}{rows}"]
    silent = [one for one in drawn.sets if not one.verdict]
    if silent:
        told.append(f"{number(len(silent))} of {number(len(drawn.sets))} sets say nothing: {silent[0].why}")
    return told
