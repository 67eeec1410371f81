"""Times that are reckoned from now: how far ahead a task writes them, and whether one lies further than one execution goes.

A term that is prolonged twice ("a year from today, or from its end if that is later") varies with the day as one that is prolonged once,
so that it varies says nothing. What clean executions wrote says how far from their own now it was.
"""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from harness.explore.deadlines import REACH, left_until, moments

__all__ = ["AT_ONCE", "DATE", "FURTHER", "SLACK", "Reckoned", "moment_of"]

#: Days, with the four digits of the year: as ISO 8601 has them, with slashes, and the way round that people write.
DATE = r"\d{4}-\d\d-\d\d|\d{4}/\d\d/\d\d|\d{1,2}[./]\d{1,2}[./]\d{4}"
_IS_DATE, _IS_COMPACT = re.compile(DATE), re.compile(r"(?:19|20)\d{6}")
_DAY = 86_400.0
#: What is looked at so soon after the first world is as if at once: hardly a border of the calendar lies between.
AT_ONCE = 3600.0
#: Where executions on different days differ by less, it is from now that they reckon, not to the end of a month.
_STEADY = 3600.0
#: Days by which a border of the calendar (a weekend, the length of a month) may move what is reckoned from now.
_BORDER = 4 * _DAY
#: Some more executions may differ by so many times what few did.
FURTHER = 8
#: Seconds by which a slow machine may shift what is reckoned from now.
SLACK = 5.0


def moment_of(value: Any, now: float) -> tuple[float, bool] | None:
    """(wall seconds, whether it is a day) of a scalar that names one; None of any other."""
    if isinstance(value, str) and (_IS_DATE.fullmatch(value) or _IS_COMPACT.fullmatch(value)):
        day = _day(value)
        return None if day is None else (float(calendar.timegm(day.timetuple())), True)
    found = list(moments(value, now, REACH))
    return (max(found), False) if found else None


def _day(text: str) -> date | None:
    """Of 3/4/2027 the fourth of March: a wrong guess moves all of them alike."""
    parts = [int(part) for part in re.split(r"[-./]", text)]
    if len(parts) == 1:
        parts = [int(text[:4]), int(text[4:6]), int(text[6:])]
    elif parts[0] < 1000:
        first, second, year = parts
        parts = [year, first, second] if "/" in text and first <= 12 else [year, second, first]
    try:
        return date(*parts)
    except ValueError:
        return None


@dataclass
class Reckoned:
    """How far ahead of the look the times at one place lay. Spans from least to most, in seconds; of days: between midnights."""

    at_once: list[float] = field(default_factory=list)
    ever: list[float] = field(default_factory=list)
    known: bool = True  # was there always a time?

    def add(self, value: Any, at: float, begun: float) -> None:
        """One more was seen at ``at``, by the task's clock, which stood at ``begun`` in the first world."""
        found = moment_of(value, at)
        if found is None:
            self.known = False
            return
        ahead = found[0] - _floor(at, found[1])
        for span in [self.ever, *([self.at_once] if at - begun < AT_ONCE else [])]:
            span[:] = [min([*span, ahead]), max([*span, ahead])]

    @property
    def steady(self) -> bool:
        """Is it from now that they are reckoned, or has nobody seen otherwise? Else they are held only against what was written at once."""
        return not (self.known and self.ever) or self.ever[1] - self.ever[0] <= _STEADY

    def beyond(self, value: Any, begun: float, until: float) -> list[Any]:
        """How far it lies outside of all that can have been written between the two; empty where it does not, or nobody can tell."""
        found = moment_of(value, until)
        if not self.known or found is None or not self.ever:
            return []
        moment, is_day = found
        spread, slack = self.ever[1] - self.ever[0], SLACK
        span = self.at_once if until - begun < AT_ONCE else []
        if not span:
            if spread > _STEADY:
                return []
            span, slack = self.ever, _BORDER
        slack += FURTHER * (spread if spread <= _STEADY else span[1] - span[0]) + _grain(moment, is_day)
        under = _floor(begun, is_day) + span[0] - slack - moment
        over = moment - (_floor(until, is_day) + span[1] + slack)
        return ["under", left_until(under)] if under > 0 else ["over", left_until(over)] if over > 0 else []


def _floor(at: float, is_day: bool) -> float:
    return at // _DAY * _DAY if is_day else at


def _grain(moment: float, is_day: bool) -> float:
    """To what it may have been rounded: then it jumps when that is over. Where it is not UTC that is told, days change at other times."""
    if is_day:
        return _DAY if time.localtime(moment).tm_gmtoff else 0.0
    return next(grain for unit, grain in ((900, _DAY), (60, 3600.0), (5, 60.0), (1e-9, 1.0)) if moment % unit < 1e-6 or unit < 1)
