"""Did real workers come to the end that the explorer has foreseen? A judge beside a scenario's own checks, for `replay --confirm`."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from harness.explore.differences import brief, differences, shares
from harness.explore.identities import without_tokens
from harness.explore.story import told_difference
from harness.explore.varying import Varying
from harness.model.finding import CheckResult
from harness.model.masks import template
from harness.model.replaying import Foreseen
from harness.model.verdict import Verdict
from harness.model.world import World
from harness.ports.check import CheckParameters, CleanPass, Recorded

__all__ = ["ForeseenEnd"]

_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_ENDED = {"SUCCESS": "succeeded", "DEDUPLICATED": "succeeded", "FAILURE": "failed", "RAISED": "failed"}
#: Seconds since 1970 from 2001 on: a moment, no amount.
_MOMENT = 1e9
#: Seconds that a run and its clean passes take at most, as far as times that they write are concerned.
_LONGEST = 1700.0


class ForeseenEnd:
    """See `Check`. ``faults``: of how many faults each has to bite, so that the end means anything."""

    name: ClassVar[str] = "as_foreseen"
    question: ClassVar[str] = "real workers come to the end that `explore` has foreseen"
    summary: ClassVar[str] = "the end is the one that `explore` has foreseen"
    Parameters: ClassVar[type[Any]] = CheckParameters
    needs_clean: ClassVar[bool] = True

    def __init__(self, foreseen: Foreseen) -> None:
        self._foreseen = foreseen
        #: What came otherwise, in words; None before it was judged.
        self.otherwise: tuple[str, ...] | None = None
        #: Faults that did not strike, and why.
        self.missed: tuple[str, ...] = ()
        #: Records of the journal that are lost: what they would have told is not known.
        self.torn = 0

    def judge(self, recorded: Recorded) -> CheckResult:
        """Pass: it came as foreseen, which says nothing good of the task. Inconclusive where a fault did not bite, or a record is torn."""
        self.torn = recorded.history.torn
        faults = recorded.history.faults
        self.missed = tuple(f"{one.name}: {one.evidence.text}" for one in faults if one.evidence is None or not one.evidence.bit)
        self.otherwise = tuple(self._otherwise(recorded))
        if self.missed:
            return self._result(Verdict.INCONCLUSIVE, self.missed[0], "explore again: the task, or what it runs on, is another by now")
        if self.torn:
            return self._result(Verdict.INCONCLUSIVE, f"records of the journal are torn ({self.torn})", "run it again")
        if self.otherwise:
            return self._result(Verdict.FAIL, self.otherwise[0])
        return self._result(Verdict.PASS, f"{self._foreseen.word}, as foreseen: {self._told()}")

    def _result(self, verdict: Verdict, summary: str, advice: str = "") -> CheckResult:
        return CheckResult(name=self.name, question=self.question, verdict=verdict, summary=summary, advice=advice)

    def _told(self) -> str:
        listed = self._foreseen.differences
        if not listed:
            return f"the call {self._foreseen.ended}, and the world is right"
        return told_difference(listed[0]) + (f", and {len(listed) - 1} more" if len(listed) > 1 else "")

    def _otherwise(self, recorded: Recorded) -> list[str]:
        assert recorded.before is not None and recorded.after is not None and recorded.clean
        found = _differences(recorded.clean, recorded.before, recorded.after, self._foreseen.against)
        came, foreseen = Counter(map(_normal, found)), Counter(map(_normal, self._foreseen.differences))
        words = [f"foreseen, and not there: {_shown(text)}" for text in sorted((foreseen - came).elements())]
        words += [f"there, and not foreseen: {_shown(text)}" for text in sorted((came - foreseen).elements())]
        ended = _ended(recorded)
        if self._foreseen.ended and ended != self._foreseen.ended:
            words.append(f"the call {ended or 'was not seen'}, foreseen: {self._foreseen.ended}")
        if recorded.history.quiet_at is None:
            words.append("the system did not become quiet")
        return words


def _ended(recorded: Recorded) -> str:
    """How the last delivery of the call ended: what was told before is not what the caller hears."""
    call = next(iter(recorded.history.calls.values()), None)
    messages = [message for message in call.messages if message.task_id == call.root_task_id] if call else []
    last = max((one for message in messages for one in message.deliveries), key=lambda one: one.at, default=None)
    if last is None:
        return ""
    return _ENDED.get(last.state, "") if last.end is not None else "lost"


def _differences(clean: tuple[CleanPass, ...], before: World, after: World, against: str) -> tuple[Mapping[str, Any], ...]:
    """As the explorer has them, from worlds that real workers have left."""
    varying = Varying()
    first = before.collections()
    varying.remember(first)
    now = time.time()
    varying.learn([one.after.collections() for one in clean], [now] * len(clean), now - _LONGEST)
    given: dict[tuple[str, str], set[Any]] = {}
    for name, collection in first.items():
        for column in collection.surrogate:
            given.setdefault((name, column), set()).update(row.get(column) for row in collection.rows)
    expected = clean[0].after.collections() if against == "done" else first
    times = (now - _LONGEST, now + _LONGEST, now + _LONGEST)
    return brief(differences(varying, given, first, expected, after.collections(), first, times=times))


def _normal(difference: Mapping[str, Any]) -> str:
    """Without random tokens and moments, and without what was there before, which both have from the same setup."""
    kept = {name: _plain(difference.get(name)) for name in ("collection", "row", "after", "expected")}
    if shares(difference) and isinstance(kept["row"], Mapping):  # of a row that only its atoms tell from others, any may be short
        kept["row"] = {column: template(str(value)) for column, value in kept["row"].items()}
    return json.dumps(kept, sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        # A digest of a text that stands beside it says no more, and of one with a random token in it it differs.
        kept = {name: inner for name, inner in value.items() if name != "sha256" or not value.get("text")}
        return _by_plain_name((str(name), inner if name == "sha256" else _plain(inner)) for name, inner in kept.items())
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return "<moment>" if value > _MOMENT else value
    return _TIME.sub("<moment>", without_tokens(value)) if isinstance(value, str) else value


def _by_plain_name(entries: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A random name, such as a field of a Redis hash that a message's id is, says no more than a random value; of several all are kept."""
    named: dict[str, list[Any]] = {}
    for name, value in entries:
        named.setdefault(_plain(name), []).append(value)
    return {
        name: values[0] if len(values) == 1 else sorted(values, key=lambda one: json.dumps(one, sort_keys=True, default=str))
        for name, values in named.items()
    }


def _shown(text: str) -> str:
    return told_difference(json.loads(text))
