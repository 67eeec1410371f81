"""How far the clock of another machine is from ours, as bounds: it is asked, and answered between the question and the answer's arrival.

Intervals that must all hold the truth are intersected (K. Marzullo and S. Owicki, "Maintaining the Time in a Distributed System", 1983; the
same idea is behind RFC 5905, A.5.5.1), and grow while nobody asks.
"""

from __future__ import annotations

import re

__all__ = ["ClockBounds", "shifted"]

#: By how much two clocks drift apart at most. RFC 5905 takes 15 ppm for each (PHI); this leaves room for one that is being corrected.
_DRIFT = 100e-6

#: Below the least bound, ns: it moves, and the shift shall not.
_ROOM = 500_000

_AT = re.compile(r'"m":(\d+)')
_DUE = re.compile(r'"due":(\d+)')  # in the text of arguments the quotes would be escaped


class ClockBounds:
    """What is to be added to this machine's clock to have the other's: between ``low`` and ``high``. All times in ns."""

    def __init__(self) -> None:
        self.low = self.high = 0
        self.answers = 0
        self._heard = 0
        self._shift: int | None = None

    def heard(self, asked: int, answered: int, now: int) -> None:
        """``asked`` and ``now`` by this clock, ``answered`` by the other one."""
        low, high = answered - now, answered - asked
        if self.answers:
            drift = self._drift(now)
            both_low, both_high = max(low, self.low - drift), min(high, self.high + drift)
            if both_low <= both_high:  # else a clock jumped, as of a machine that slept: what was known of it is void
                low, high = both_low, both_high
        self.low, self.high, self._heard = low, high, now
        self.answers += 1

    def error(self, now: int) -> int:
        """How much earlier than it was something may seem."""
        return self.high + self._drift(now) - self.shift(now)

    def shift(self, now: int) -> int:
        """What to add, so that nothing seems later than it was: no effect comes before its cause, and no wait seems shorter than it was.

        It stays the same as long as it may: what began and ended here, such as a publish, lasts as long as it did.
        """
        low = self.low - self._drift(now)
        if self._shift is None or not low - 3 * _ROOM <= self._shift <= low:
            self._shift = low - _ROOM
        return self._shift

    def _drift(self, now: int) -> int:
        return int(max(0, now - self._heard) * _DRIFT)


def shifted(line: str, by: int, t0: int) -> str:
    """A record with the times of the run's clock: ``by`` is added to ours. ``t0``: when the load began, by the run's."""
    line = _AT.sub(lambda found: f'"m":{int(found[1]) + by}', line, count=1)
    if line.startswith('{"k":"call",'):
        line = _DUE.sub(lambda found: f'"due":{int(found[1]) + by - t0}', line, count=1)
    return line
