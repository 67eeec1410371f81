"""'Did you mean': the nearest known name to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["known", "listed", "nearest"]

_CUTOFF = 0.6


def nearest(word: str, candidates: Iterable[str]) -> str:
    """A suffix for an error message: ``'; did you mean `rate`?'``, or ``''`` where nothing is near.

    The last part of a dotted name counts as near too: ``kill`` finds ``worker.kill``.
    """
    known = sorted(set(candidates))
    by_lower = {name.lower(): name for name in reversed(known)}
    close = get_close_matches(word.lower(), list(by_lower), n=1, cutoff=_CUTOFF)
    if close:
        return f"; did you mean `{by_lower[close[0]]}`?"
    tails = {name.rpartition(".")[2].lower(): name for name in reversed(known) if "." in name}
    close = get_close_matches(word.lower(), list(tails), n=1, cutoff=_CUTOFF)
    return f"; did you mean `{tails[close[0]]}`?" if close else ""


def listed(words: Iterable[str], last: str = "and") -> str:
    """``'a, b and c'``, in the order given."""
    names = list(words)
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def known(names: Iterable[str]) -> str:
    """A hint that lists what there is, in order of the alphabet."""
    present = sorted(set(names))
    return f"known: {listed(present)}" if present else "none is known"
