"""Which worlds do the fates allow? Effects of a single call first, then those that several share, then what nobody left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.checks._worlds.callfates import Allow, Allowance
from harness.checks._worlds.effects import ABSENT, Effects, Touch
from harness.checks._worlds.lens import Ident, Lens, State, View
from harness.checks._worlds.read import expires
from harness.checks._worlds.verdicts import AGAIN, DIFFERENT, MISSING, PART, Outcome, Violation
from harness.model.finding import Word
from harness.model.masks import number

__all__ = ["Case", "judge_single", "multiple_of", "shown"]


@dataclass
class Case:
    """Everything that the comparison needs. ``in_order``: did these calls, in this order, follow one another in the run with faults?"""

    lens: Lens
    effects: Effects
    allowances: Mapping[int, Allowance]
    tasks: Mapping[int, str]
    before: View
    after: View
    clean_after: View
    arguments: Mapping[int, frozenset[Any]]
    owners: Mapping[Any, int]  # argument -> the only call that has it
    suspects: frozenset[int]  # calls that ran again or were cut short
    order_is_free: Callable[[list[int]], bool] = lambda calls: False  # the clean passes show that their order has no meaning
    in_order: Callable[[list[int]], bool] = lambda calls: False
    outcome: Outcome = field(default_factory=Outcome)
    present: dict[int, bool] = field(default_factory=dict)  # calls that may have left all or nothing: which it is, where it can be told
    deficits: list[tuple[int, Ident]] = field(default_factory=list)  # rows that a call's clean execution leaves and that are not there

    def allow(self, call: int) -> Allow:
        """What this call may have left."""
        return self.allowances[call][0]

    def all_done(self, touches: list[Touch]) -> bool:
        """Did all of these calls succeed?"""
        return all(self.allow(t.call) is Allow.ALL for t in touches)

    def blame(
        self, word: Word, cause: str, ident: Ident, calls: tuple[int, ...], before: Any, after: Any, expected: Any, path: str = ""
    ) -> None:
        """Note a violation."""
        self.outcome.violations.append(Violation(word, cause, ident, calls, before, after, expected, path))


@dataclass
class _Votes:
    """What the effects of one call say together, where it may have left all or nothing."""

    whole: list[Ident] = field(default_factory=list)
    none: list[Ident] = field(default_factory=list)
    part: list[tuple[Ident, Any, Any, Any]] = field(default_factory=list)


def judge_single(case: Case) -> None:
    """Identities that exactly one call touches in the clean pass; settles which of the undecided calls left anything."""
    votes: dict[int, _Votes] = {}
    for ident, touches in case.effects.touches.items():
        if len(touches) == 1:
            case.outcome.compared += 1
            mine = votes.setdefault(touches[0].call, _Votes())
            (_bag if ident[2] == "bag" else _cell)(case, ident, touches[0], mine)
    for call, mine in votes.items():
        if case.allow(call) is Allow.ALL_OR_NONE:
            _tally(case, call, mine)


def _tally(case: Case, call: int, votes: _Votes) -> None:
    for ident, before, after, expected in votes.part:
        case.blame(Word.PARTIAL, PART, ident, (call,), before, after, expected)
    if votes.whole and votes.none:
        for ident in votes.none:
            before, after, expected = shown(case, ident)
            case.blame(Word.PARTIAL, PART, ident, (call,), before, after, expected)
    elif votes.whole or votes.none:
        case.present[call] = bool(votes.whole)
    if votes.part or (votes.whole and votes.none):
        case.present.pop(call, None)


def shown(case: Case, ident: Ident) -> tuple[Any, Any, Any]:
    """(before, after, expected) of what a single call touches, had it left one clean execution."""
    touch = case.effects.touches[ident][0]
    if ident[2] == "bag":
        base, actual = case.before.bags.get(ident, 0), case.after.bags.get(ident, 0)
        return base, actual, base + touch.count
    base_state = _first(case.before.cells.get(ident))
    return base_state, _first(case.after.cells.get(ident)), _expected(touch, base_state)


def _first(states: list[State] | None) -> State | None:
    return states[0] if states else None


def _bag(case: Case, ident: Ident, touch: Touch, votes: _Votes) -> None:
    base, actual, d = case.before.bags.get(ident, 0), case.after.bags.get(ident, 0), touch.count
    got, allow = actual - base, case.allow(touch.call)
    if got == 0 and d > 0:
        case.deficits.append((touch.call, ident))
    if d > got >= 0 and expires(case.effects.rows.get(ident, {})):
        case.outcome.expiring += 1
        return
    if got == d:
        if case.effects.is_own(touch.call, ident):
            votes.whole.append(ident)
        return
    between = min(0, d) <= got <= max(0, d)
    if not between:
        case.blame(Word.EFFECT, AGAIN if got * d > 0 else DIFFERENT, ident, (touch.call,), base, actual, base + d)
    elif allow is Allow.ALL:
        case.blame(Word.EFFECT, MISSING, ident, (touch.call,), base, actual, base + d)
    elif allow is Allow.ALL_OR_NONE:
        if got:
            votes.part.append((ident, base, actual, base + d))
        elif case.effects.is_own(touch.call, ident):
            votes.none.append(ident)


def _cell(case: Case, ident: Ident, touch: Touch, votes: _Votes) -> None:
    states, allow = case.after.cells.get(ident, []), case.allow(touch.call)
    base = _first(case.before.cells.get(ident))
    expected, actual = _expected(touch, base), _first(states)
    own = case.effects.is_own(touch.call, ident)
    if len(states) > 1:
        case.blame(Word.EFFECT, AGAIN, ident, (touch.call,), base, f"{len(states)} rows", expected)
        return
    if actual is None and expected is not None and expires(case.effects.rows.get(ident, {})):
        case.outcome.expiring += 1
        return
    if actual is None and expected is not None:
        case.deficits.append((touch.call, ident))
    if actual == expected:
        if own and base != expected:
            votes.whole.append(ident)
        return
    again = any(multiple_of(b, e, a) for b, e, a in _differing(base, expected, actual))
    if again:
        case.blame(Word.EFFECT, AGAIN, ident, (touch.call,), base, actual, expected)
    elif allow is Allow.ALL:
        case.blame(Word.EFFECT, MISSING if actual == base else DIFFERENT, ident, (touch.call,), base, actual, expected)
    elif allow is Allow.ALL_OR_NONE:
        if actual != base:
            votes.part.append((ident, base, actual, expected))
        elif own:
            votes.none.append(ident)


def _expected(touch: Touch, base: State | None) -> State | None:
    if touch.new is None:
        return None
    if base is None:
        return touch.new
    state = dict(base)
    for path, _, new in touch.leaves():
        if new == ABSENT:
            state.pop(path, None)
        else:
            state[path] = new
    return state


def _differing(base: State | None, expected: State | None, actual: State | None) -> list[tuple[Any, Any, Any]]:
    if expected is None or actual is None:
        return []
    paths = [p for p in {**expected, **actual} if expected.get(p, ABSENT) != actual.get(p, ABSENT)]
    return [((base or {}).get(p, ABSENT), expected.get(p, ABSENT), actual.get(p, ABSENT)) for p in paths]


def multiple_of(base: Any, expected: Any, actual: Any) -> bool:
    """Is the actual change the expected one, two or more times over?"""
    start, once, now = number(0 if base in (ABSENT, None) else base), number(expected), number(actual)
    if start is None or once is None or now is None or once == start:
        return False
    ratio = (now - start) / (once - start)
    return bool(ratio > 1.5 and abs(ratio - round(ratio)) < 1e-9)
