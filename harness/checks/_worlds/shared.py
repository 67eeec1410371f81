"""Identities that several calls touch: sums (counters, equal rows), and leaves that the last writer decides."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from harness.checks._worlds.allowed import Case
from harness.checks._worlds.callfates import Allow
from harness.checks._worlds.effects import ABSENT, Touch
from harness.checks._worlds.lens import Ident, State
from harness.checks._worlds.verdicts import AGAIN, DIFFERENT, MISSING
from harness.model.finding import Word
from harness.model.masks import number

__all__ = ["judge_shared"]

#: States of the search over undecided calls; beyond it only the range of each sum is looked at.
_MOST_STATES = 20_000
_ROW = "row"  # stands for "the row is there" beside its leaves


@dataclass
class _Sum:
    """One number that calls add to. ``needs``: what is left to explain by the undecided calls."""

    ident: Ident
    path: str
    base: Any
    actual: Any
    settled: float
    lowest: float
    highest: float
    free: dict[int, float] = field(default_factory=dict)
    callers: dict[int, float] = field(default_factory=dict)
    mixed: bool = False
    written: tuple[Any, ...] = ()  # the same values are explained by calls that overwrite one another

    @property
    def need(self) -> float:
        return _number(self.actual) - _number(self.base) - self.settled

    def fits(self, taken: float) -> bool:
        """Do the undecided calls that are taken to have happened explain it, with any part of the lost ones?"""
        left = self.need - taken
        slack = 1e-9 * max(1.0, abs(self.need), abs(self.settled))
        return self.lowest - slack <= left <= self.highest + slack


def judge_shared(case: Case) -> None:
    """After `judge_single`, which settles what it can of the undecided calls."""
    sums: list[_Sum] = []
    for ident, touches in case.effects.touches.items():
        if len(touches) < 2:
            continue
        case.outcome.compared += 1
        if ident[2] == "bag":
            counts = case.before.bags.get(ident, 0), case.after.bags.get(ident, 0)
            sums.append(_sum(case, ident, "", [(t.call, float(t.count)) for t in touches], *counts))
        else:
            sums.extend(_cell(case, ident, touches))
    for group in _groups(sums):
        _judge_group(case, group)


def _number(value: Any) -> float:
    return float(number(value) or 0)


# --- sums -------------------------------------------------------------------------------------------------------------


def _sum(case: Case, ident: Ident, path: str, adds: list[tuple[int, float]], base: Any, actual: Any) -> _Sum:
    callers: dict[int, float] = defaultdict(float)
    for call, d in adds:
        callers[call] += d
    found = _Sum(ident, path, base, actual, 0.0, 0.0, 0.0, {}, dict(callers), min(callers.values()) < 0 < max(callers.values()))
    for call, d in callers.items():
        allow = case.allow(call)
        if allow is Allow.ALL or (allow is Allow.ALL_OR_NONE and case.present.get(call)):
            found.settled += d
        elif allow is Allow.ANY_PART:
            found.lowest += min(0.0, d)
            found.highest += max(0.0, d)
        elif call not in case.present:
            found.free[call] = d
    return found


def _groups(sums: list[_Sum]) -> list[list[_Sum]]:
    """Sums that share an undecided call are judged together."""
    parent = list(range(len(sums)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    seen: dict[int, int] = {}
    for i, one in enumerate(sums):
        for call in one.free:
            parent[root(i)] = root(seen.setdefault(call, i))
    grouped: dict[int, list[_Sum]] = defaultdict(list)
    for i, one in enumerate(sums):
        grouped[root(i)].append(one)
    return list(grouped.values())


def _judge_group(case: Case, group: list[_Sum]) -> None:
    reachable = _reachable(group)
    if reachable is None:
        for one in group:
            low = sum(min(0.0, d) for d in one.free.values())
            high = sum(max(0.0, d) for d in one.free.values())
            if one.lowest + low <= one.need <= one.highest + high:
                case.outcome.doubt(f"{_name(one.ident, one.path)}: {len(one.free)} undecided calls, too many to tell their shares apart")
            else:
                _wrong_sum(case, one)
        return
    if any(all(one.fits(taken) for one, taken in zip(group, vector, strict=True)) for vector in reachable):
        return
    alone = [one for one in group if not any(one.fits(v[i]) for v in reachable for i in (group.index(one),))]
    for one in alone or group:
        _wrong_sum(case, one)


def _reachable(group: list[_Sum]) -> set[tuple[float, ...]] | None:
    """All vectors that subsets of the undecided calls can add up to; None where there are too many."""
    calls = sorted({call for one in group for call in one.free})
    reached: set[tuple[float, ...]] = {(0.0,) * len(group)}
    for call in calls:
        step = tuple(one.free.get(call, 0.0) for one in group)
        reached |= {tuple(round(a + b, 9) for a, b in zip(vector, step, strict=True)) for vector in reached}
        if len(reached) > _MOST_STATES:
            return None
    return reached


def _wrong_sum(case: Case, one: _Sum) -> None:
    calls = list(one.callers)
    if one.mixed and not case.order_is_free(calls) and not case.in_order(calls):
        case.outcome.doubt(f"{_name(one.ident, one.path)}: calls build on one another's effects there, in an order that may matter")
        return
    if one.actual in one.written:
        case.outcome.doubt(f"{_name(one.ident, one.path)}: a sum, or the last (or highest) value written? The clean passes can't tell")
        return
    low = one.lowest + sum(min(0.0, d) for d in one.free.values())
    sign = 1.0 if sum(one.callers.values()) >= 0 else -1.0
    extra = one.need * sign > max(low * sign, (one.highest + sum(max(0.0, d) for d in one.free.values())) * sign)
    undecided = [c for c in one.free if one.need]
    word = Word.PARTIAL if undecided and not extra else Word.EFFECT
    expected = one.settled + _number(one.base)
    shown = int(expected) if float(expected).is_integer() else expected
    case.blame(word, AGAIN if extra else MISSING, one.ident, _culprits(case, one, extra), one.base, one.actual, shown, one.path)


def _culprits(case: Case, one: _Sum, extra: bool) -> tuple[int, ...]:
    """Those whose share is what is too much or too little, if it can be told; else all that ran again."""
    suspects = [c for c in one.callers if c in case.suspects]
    exact = [c for c in suspects if abs(one.callers[c] - (one.need if extra else -one.need)) < 1e-9]
    return tuple(exact if len(exact) == 1 else suspects)


# --- cells ------------------------------------------------------------------------------------------------------------


def _cell(case: Case, ident: Ident, touches: list[Touch]) -> list[_Sum]:
    states: list[State] = case.after.cells.get(ident, [])
    known = case.before.cells.get(ident, [])
    base: State | None = known[0] if known else None
    actual: State | None = states[0] if states else None
    if len(states) > 1:
        suspects = tuple(t.call for t in touches if t.call in case.suspects)
        case.blame(Word.EFFECT, AGAIN, ident, suspects, base, f"{len(states)} rows", "1 row")
        return []
    if not _presence(case, ident, touches, base, actual):
        return []
    final = dict(touches[-1].new or {})
    sums = []
    paths = dict.fromkeys(p for t in touches for p, _, _ in t.leaves())
    for path in paths:
        writers = [(t, old, new) for t in touches for p, old, new in t.leaves() if p == path]
        b, a = (base or {}).get(path, ABSENT), (actual or {}).get(path, ABSENT)
        if _adds_up(case, touches, writers):
            adds = [(t.call, _number(new) - _number(old)) for t, old, new in writers]
            one = _sum(case, ident, path, adds, 0 if b == ABSENT else b, 0 if a == ABSENT else a)
            one.written = _overwritten(case, writers)
            sums.append(one)
        elif actual is not None:
            _written(case, ident, path, touches, writers, b, a, final.get(path, ABSENT))
    for path in {**(base or {}), **(actual or {})} if actual is not None else ():
        b, a = (base or {}).get(path, ABSENT), (actual or {}).get(path, ABSENT)
        if path not in paths and a != b:
            _odd(case, ident, path, touches, b, a, b)
    return sums


def _presence(case: Case, ident: Ident, touches: list[Touch], base: State | None, actual: State | None) -> bool:
    """Is the row there, where it must be or may be? True where its leaves are worth a look."""
    if any(t.new is None for t in touches):
        last = touches[-1].new
        if case.all_done(touches) and (last is None) == (actual is None):
            return actual is not None
        if case.all_done(touches):
            _odd(case, ident, _ROW, touches, base, actual, last)
        elif actual not in [base, *(t.new for t in touches)]:
            case.outcome.doubt(f"{_name(ident)}: calls of different fates add and remove it")
        return False
    if actual is not None:
        return True
    done = tuple(t.call for t in touches if case.allow(t.call) is Allow.ALL)
    if base is not None or done:
        case.deficits.extend((c, ident) for c in done)
        case.blame(Word.EFFECT, MISSING, ident, done, base, None, touches[-1].new)
    return False


def _adds_up(case: Case, touches: list[Touch], writers: list[tuple[Touch, Any, Any]]) -> bool:
    """Does each call add a share of its own, whatever the others did?

    The clean passes end alike in different orders. Shares that are all equal, or that each call names in its
    arguments, or that every call of the task has, are additions; a maximum, which also ends alike, has none of these.
    """
    if len(writers) < 2 or not all(number(v) is not None or v == ABSENT for _, old, new in writers for v in (old, new)):
        return False
    if any(new == ABSENT for _, _, new in writers) or any(old == ABSENT for _, old, _ in writers[1:]):
        return False
    if _even_or_named(case, writers):
        return True
    callers = Counter(case.tasks[t.call] for t, _, _ in writers)
    everyone = Counter(case.tasks.values())
    return all(n == everyone[task] for task, n in callers.items())


def _even_or_named(case: Case, writers: list[tuple[Touch, Any, Any]]) -> bool:
    shares = [(t.call, _number(new) - _number(old)) for t, old, new in writers]
    return len({share for _, share in shares}) == 1 or all(abs(share) in case.arguments.get(call, ()) for call, share in shares)


def _overwritten(case: Case, writers: list[tuple[Touch, Any, Any]]) -> tuple[Any, ...]:
    """The values written, where calls that overwrite (or keep the highest) would have ended the clean passes just so."""
    calls = [t.call for t, _, _ in writers]
    touches = [t for t, _, _ in writers]
    if case.all_done(touches) and (case.order_is_free(calls) or case.in_order(calls)):
        return ()  # whatever it is, it must end as in the clean passes
    from_arguments = all(number(new) in case.arguments.get(t.call, ()) for t, _, new in writers)
    if not from_arguments and (_even_or_named(case, writers) or case.order_is_free(calls)):
        return ()
    return tuple(new for _, _, new in writers)


def _written(
    case: Case, ident: Ident, path: str, touches: list[Touch], writers: list[tuple[Touch, Any, Any]], base: Any, actual: Any, final: Any
) -> None:
    """A leaf that is overwritten: the last writer's value, and which one is the last may differ from run to run."""
    values = [new for t, _, new in writers]
    done = [t for t, _, _ in writers if case.allow(t.call) is Allow.ALL]
    all_done = len(done) == len(writers)
    if all_done and actual == final:
        return
    lost = any(case.allow(t.call) is Allow.ANY_PART for t, _, _ in writers)
    possible = values if done else [base, *values]
    if actual in possible:
        calls = [t.call for t, _, _ in writers]
        if all_done and len(set(map(repr, values))) > 1 and (case.order_is_free(calls) or case.in_order(calls)):
            _odd(case, ident, path, touches, base, actual, final)
        return
    if all_done or not lost:
        _odd(case, ident, path, touches, base, actual, final)
    else:
        case.outcome.doubt(f"{_name(ident, path)}: calls of different fates write it, and its value is none of theirs")


def _odd(case: Case, ident: Ident, path: str, touches: list[Touch], base: Any, actual: Any, expected: Any) -> None:
    """Wrong if the order of the calls cannot excuse it, else in doubt."""
    calls = [t.call for t in touches]
    single = len({repr(t.new) for t in touches}) == 1
    if case.all_done(touches) and (single or case.order_is_free(calls) or case.in_order(calls)):
        suspects = tuple(c for c in calls if c in case.suspects)
        case.blame(Word.EFFECT, DIFFERENT, ident, suspects, base, actual, expected, "" if path == _ROW else path)
    else:
        case.outcome.doubt(f"{_name(ident, path)}: several calls write it, and the order may matter")


def _name(ident: Ident, path: str = "") -> str:
    return ident[0] + (f".{path}" if path and path != _ROW else "")
