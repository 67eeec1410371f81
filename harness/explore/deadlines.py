"""Moments that values name, and how long it is until then."""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

__all__ = ["GIVEN_BACK", "HOUR", "LONG_AGO", "REACH", "left_until", "moments", "waits"]

#: Nothing further away is taken for a moment: a number of ten digits may be anything.
_HORIZON = 60 * 86_400.0
#: Where it is known that a time is meant: as far as a task's clock is ever ahead.
REACH = 500 * 86_400.0
#: As long ago as that, whatever is to hold for less than a day holds no more.
LONG_AGO = 86_400.0 - 600
#: When Redis gives a message back (kombu's visibility_timeout, 3600 s, and until it looks), and none of the times that people choose.
GIVEN_BACK, HOUR = 3697.0, "an hour later"
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d(?::?\d\d)?)?")
_MAYBE = re.compile(r"\d{4}-\d\d-\d\d[T ]|\d{10}")
_EPOCH = re.compile(r"(?<![\d.])\d{10,19}(?:\.\d+)?(?![\d.])")
#: A longer text is a document, and what it says is not what a lease says.
_LONGEST = 4096
#: Seconds that people choose. What is left of a time to live counts as the next of these, so that some milliseconds more or less
#: make no other world.
_ROUND = sorted(
    {
        n * unit
        for unit, most in ((1, 60), (60, 60), (3600, 24))
        for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 45, 50)
        if n < most
    }
    | {day * 86_400 for day in range(1, 367)}
)
#: No multiple of what people sleep for is near it, so that a wait that is made of sleeps ends on the same side of it each time.
_SLACK = 0.45
#: Beyond the moment itself: a task that compares whole seconds must see it as past.
_BEYOND = 2.0


def moments(value: Any, now: float, reach: float = _HORIZON) -> Iterator[float]:
    """Wall seconds that a scalar names, at most ``reach`` from ``now``: numbers since the epoch, and ISO 8601 with a time of day.

    One without an offset may be UTC or local time: both.
    """
    if isinstance(value, str):
        if len(value) <= _LONGEST and value[:1] not in "{[":
            yield from _in_text(value, now, reach)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _of_number(float(value), now, reach)


def _in_text(text: str, now: float, reach: float) -> Iterator[float]:
    if _MAYBE.search(text) is None:
        return
    for found in _EPOCH.finditer(text):
        yield from _of_number(float(found[0]), now, reach)
    for found in _ISO.finditer(text):
        yield from (moment for moment in _of_iso(found[0]) if abs(moment - now) < reach)


def _of_number(number: float, now: float, reach: float) -> Iterator[float]:
    for unit in (1.0, 1e3, 1e6, 1e9):
        if abs(number / unit - now) < reach:
            yield number / unit


def _of_iso(text: str) -> Iterator[float]:
    text = text.replace(",", ".").replace("Z", "+00:00")
    whole, dot, rest = text.partition(".")
    if dot:  # Python 3.10 reads three or six digits
        digits = re.match(r"\d+", rest)
        assert digits is not None
        text = f"{whole}.{digits[0][:6]:0<6}{rest[digits.end() :]}"
    if re.search(r"[+-]\d\d$", text[10:]):
        text += ":00"
    text = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text) if len(text) > 16 else text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return
    if moment.tzinfo is not None:
        yield moment.timestamp()
        return
    yield moment.replace(tzinfo=timezone.utc).timestamp()
    if time.localtime(moment.replace(tzinfo=timezone.utc).timestamp()).tm_gmtoff:
        yield moment.timestamp()


def left_until(seconds: float) -> str | int:
    """How a time that is left counts where worlds are compared: "past", or the next round number of seconds."""
    if seconds <= 0:
        return "past"
    place = bisect_left(_ROUND, seconds - _SLACK)
    return _ROUND[place] if place < len(_ROUND) else int(seconds // 86_400) * 86_400


def waits(left: Iterable[float]) -> tuple[float, ...]:
    """Seconds to wait, one for each of these times that are left and are not past: each is well over then, and the next one not yet.

    The same for times that differ by milliseconds, as far as that can be had.
    """
    ahead = sorted(seconds for seconds in left if seconds > 0)
    found: list[float] = []
    for seconds, following in pairwise([*ahead, float("inf")]):
        if following - seconds < 1.0:
            continue  # one moment, named twice: it is over when its last is
        rounded = left_until(seconds)
        assert isinstance(rounded, int)
        wait = max(rounded, seconds) + _BEYOND
        found.append(wait if wait < following else (seconds + following) / 2)
    return tuple(found)
