"""Which effect is to blame: the line that is named first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.explore.confirm import Replayed
from harness.explore.identities import without_tokens
from harness.explore.spots import Step
from harness.explore.watching import Effect
from harness.model.exploration import Ending, Place, Stop
from harness.model.masks import FORMATS, masked
from harness.ports.exploring import Node, Surroundings

__all__ = ["culprit", "with_line"]


def culprit(
    steps: Sequence[Step],
    replayed: Replayed,
    effects: Sequence[Sequence[Effect]],
    differences: Sequence[Mapping[str, Any]],
    surroundings: Surroundings,
    first: Node,
) -> tuple[Stop | None, Place | None]:
    """The effect that lasted although what should have followed it was lost; where nothing had lasted, the stop of the last kill.

    Where something is there too often or goes too far, the effect that did it before the last kill, though another came after it.
    Where only the result could not be stored, the line that returned it.
    ``effects``: of each delivery of the path.
    """
    stop, place = _last_before_the_kill(steps, replayed)
    if replayed.endings[-1].returned:
        return stop, replayed.endings[-1].place or place
    excessive = [one for one in differences if _too_much(one)]
    if stop is None or not excessive:
        return stop, place
    killed = [effect for step, made in zip(steps, effects, strict=True) if step.delivery.killed_at is not None for effect in made]
    guilty = [effect.stop for effect in killed if _made(effect, excessive, surroundings, first)]
    if not guilty:  # what came too often came under another name the first time, by the same line; or would have
        lines = {(one.place.file, one.place.line) for one in (effect.stop for effect in killed) if one.place is not None}
        instead = [
            one for one in excessive if one.get("collection") in {other.get("collection") for other in differences if _too_little(other)}
        ]
        again = [effect for made in effects for effect in made if _made(effect, excessive, surroundings, first)]
        guilty = [one.stop for one in again if one.stop.place is not None and (one.stop.place.file, one.stop.place.line) in lines]
        guilty = guilty or [one.stop for one in again if _made(one, instead, surroundings, first)]
    if not guilty or any(_same(stop, one) for one in guilty):
        return stop, place
    return guilty[-1], guilty[-1].place


def _last_before_the_kill(steps: Sequence[Step], replayed: Replayed) -> tuple[Stop | None, Place | None]:
    struck: Stop | None = None
    for step, ending, stop in reversed(list(zip(steps, replayed.endings, replayed.struck, strict=True))):
        if step.delivery.killed_at is None:
            continue
        struck = struck or stop
        effect = with_line(step.effect, ending)
        if effect is not None:
            return effect, effect.place
    if struck is not None:
        return None, struck.place
    last = replayed.endings[-1]
    return None, last.place or next((stop.place for stop in reversed(last.stops) if stop.place), None)


def with_line(stop: Stop | None, ending: Ending) -> Stop | None:
    """The same stop, as it was in the replay."""
    return None if stop is None else next((one for one in ending.stops if one.number == stop.number), stop)


def _same(one: Stop, other: Stop) -> bool:
    """The same call, or the same line: it may run more than once."""
    if one.place is not None and other.place is not None:
        return (one.place.file, one.place.line) == (other.place.file, other.place.line)
    return (one.number, one.identity) == (other.number, other.identity)


def _made(effect: Effect, differences: Sequence[Mapping[str, Any]], surroundings: Surroundings, first: Node) -> bool:
    """Did it change a row that differs?

    In a collection that it has changed: who deletes the row whose number stands in a request has not made that request another.
    """
    was, there = effect.before.world.collections(), effect.after.world.collections()
    changed = surroundings.differences(effect.before, effect.after, first)
    return any(_row(one) == _row(other) for one in changed if _differ(was, there, str(one.get("collection"))) for other in differences)


def _differ(was: Mapping[str, Any], there: Mapping[str, Any], name: str) -> bool:
    """Also where it is none of the services' own."""
    return name not in was or was[name] != there.get(name)


def _row(difference: Mapping[str, Any]) -> tuple[Any, str]:
    """Without what is another in each walk of the path: the message's id, what is drawn, the time."""
    return difference.get("collection"), str(masked(without_tokens(repr(difference.get("row"))), FORMATS))


def _too_much(difference: Mapping[str, Any]) -> bool:
    """Is it there more often, or does it go further than it should?"""
    before, after, expected = (difference.get(key) for key in ("before", "after", "expected"))
    if after is None:
        return False
    if expected is None:
        return True
    if isinstance(after, Mapping) and isinstance(expected, Mapping):
        was: Mapping[str, Any] = before if isinstance(before, Mapping) else {}
        return any(_further(was.get(column), after[column], expected.get(column)) for column in after)
    return _further(before, after, expected)


def _too_little(difference: Mapping[str, Any]) -> bool:
    """Is it not there, or less often than it should be?"""
    after, expected = difference.get("after"), difference.get("expected")
    if isinstance(after, (int, float)) and isinstance(expected, (int, float)):
        return after < expected
    return after is None and expected is not None


def _further(before: Any, after: Any, expected: Any) -> bool:
    if isinstance(after, str) and isinstance(expected, str):
        numbers = _number(before or "0"), _number(after), _number(expected)
        if None not in numbers:
            return _further(*numbers)
        return len(after) > len(expected) and after.startswith(expected[:-1] or expected)
    if isinstance(after, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(after) > len(expected)
    if isinstance(after, (int, float)) and isinstance(expected, (int, float)):
        start = before if isinstance(before, (int, float)) else 0
        return abs(after - start) > abs(expected - start)
    return False


def _number(text: str) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
