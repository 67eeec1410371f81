"""`hash` of a text is another one in each interpreter: so it is in each process of the explorer, though these are forks of one, and in
each worker that repeats one of its findings, though these have one seed.

Only where the user's code calls it. Sets and dictionaries have the seed of all, since they were made before the fork.
"""

from __future__ import annotations

import builtins
import os
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any, Callable

from celery_harness_agent.frames import Frames

__all__ = ["VARIES", "install"]

#: The environment's name for: nobody has chosen a seed.
VARIES = "CELERY_HARNESS_HASH_VARIES"
#: Their hashes are the same everywhere.
_NUMBERS = (int, float, complex, Decimal, Fraction)


def install(frames: Frames) -> None:
    """From now on, in this process."""
    if os.environ.get(VARIES):
        builtins.hash = varied(builtins.hash, frames, int.from_bytes(os.urandom(8), "little"))


def varied(plain: Callable[[object], int], frames: Frames, seed: int) -> Callable[[object], int]:
    """As ``plain`` for whoever is not the user, and for methods by which dictionaries find what was put there before the fork."""

    def hash(obj: object, /) -> int:
        code = sys._getframe(1).f_code
        if code.co_name == "__hash__" or not frames.is_user(code.co_filename) or _is_the_same_everywhere(obj):
            return plain(obj)
        return abs(plain((plain(obj), seed)))  # a sign more would be another form of text

    return hash


def _is_the_same_everywhere(obj: Any) -> bool:
    return isinstance(obj, _NUMBERS) or (isinstance(obj, (tuple, frozenset)) and all(_is_the_same_everywhere(one) for one in obj))
