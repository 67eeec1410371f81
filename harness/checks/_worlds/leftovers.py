"""What is there (or gone, or changed) although no clean call leaves it so; and columns that only make sense as a whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from harness.checks._worlds.allowed import Case
from harness.checks._worlds.callfates import Allow
from harness.checks._worlds.effects import named_by
from harness.checks._worlds.lens import Ident, Kind
from harness.checks._worlds.read import Flat, expires
from harness.checks._worlds.verdicts import AGAIN, DIFFERENT, LEFT, MISSING, PART, Violation
from harness.model.finding import Word

__all__ = ["judge_columns", "judge_leftovers"]

_HOLDS = re.compile(r"lock|lease|mutex|semaphore|(?:^|[^a-z])(?:tmp|temp|draft|part|partial|wip|pid)(?:[^a-z]|$)")
_MOST_LIKENESSES = 500


def judge_leftovers(case: Case) -> None:
    """Identities that no call touches in the clean pass."""
    touched = case.effects.touches
    for ident in {**case.before.cells, **case.after.cells}:
        if ident not in touched:
            _cell(case, ident)
    for ident in {**case.before.bags, **case.after.bags}:
        if ident in touched:
            continue
        base, actual = case.before.bags.get(ident, 0), case.after.bags.get(ident, 0)
        case.outcome.compared += 1
        for _ in range(actual - base):
            _strange(case, ident, actual)
        if actual < base:
            case.blame(Word.EFFECT, MISSING, ident, _by_argument(case, ident), base, actual, base)

    case.outcome.violations = _reassigned(case)


def _reassigned(case: Case) -> list[Violation]:
    """A second copy of what a call left that ran but once is another call's work: of one that lacks such a row."""
    found = list(case.outcome.violations)
    for copy in [v for v in found if v.cause == AGAIN and v.calls and not case.suspects.intersection(v.calls)]:
        same_place = (v for v in found if v.cause == MISSING and v.ident[0] == copy.ident[0])
        lacking = next((v for v in same_place if case.suspects.intersection(v.calls)), None)
        if lacking is not None:
            found[found.index(copy)] = replace(copy, cause=DIFFERENT, calls=lacking.calls)
            found[found.index(lacking)] = replace(lacking, cause=DIFFERENT)
    return found


def _cell(case: Case, ident: Ident) -> None:
    base, actual = case.before.cells.get(ident, []), case.after.cells.get(ident, [])
    case.outcome.compared += 1
    if base == actual:
        return
    if not base:
        _strange(case, ident, len(actual))
    else:
        word = Word.LEAK if _holds(case, ident) and actual else Word.EFFECT
        cause = LEFT if word is Word.LEAK else DIFFERENT if actual else MISSING
        case.blame(word, cause, ident, _by_argument(case, ident), base[0], actual[0] if actual else None, base[0])


def _strange(case: Case, ident: Ident, actual: int) -> None:
    """A row that no clean execution leaves: a variant of one that is missing, something left behind, or one too many."""
    named = _by_argument(case, ident)
    variant = _variant_of(case, ident, named)
    if variant is not None:
        _judge_variant(case, ident, *variant)
    elif _looks_left(case, ident) and expires(case.after.rows.get(ident, {})):
        case.outcome.expiring += 1
    elif _looks_left(case, ident):
        case.blame(Word.LEAK, LEFT, ident, named, None, case.after.rows.get(ident), None)
    else:
        case.blame(Word.EFFECT, AGAIN, ident, named, 0, actual, 0)


def _judge_variant(case: Case, ident: Ident, call: int, missing: Ident) -> None:
    case.deficits.remove((call, missing))
    row, expected = case.after.rows.get(ident), case.effects.rows.get(missing)
    allow = case.allow(call)
    if allow is Allow.ANY_PART:
        return
    # One row in two shapes is one violation: the missing one was noted before.
    twin = (missing, (call,))
    case.outcome.violations = [v for v in case.outcome.violations if (v.ident, v.calls) != twin or v.cause not in (MISSING, PART)]
    if allow is Allow.ALL:
        case.blame(Word.EFFECT, DIFFERENT, missing, (call,), None, row, expected)
    else:
        case.blame(Word.PARTIAL, PART, missing, (call,), None, row, expected)


def _variant_of(case: Case, ident: Ident, named: tuple[int, ...]) -> tuple[int, Ident] | None:
    """The missing row of the same collection that it is most like, if any leaf agrees."""
    row = _looks(ident, case.after.rows)
    best: tuple[float, int, Ident] | None = None
    near = [(c, i) for c, i in case.deficits if i[0] == ident[0] and (not named or c in named)]
    copied = _closest_expected(case, ident, row) if near and not named else 0.0
    for call, missing in near[:_MOST_LIKENESSES]:
        likeness = _likeness(row, _looks(missing, case.effects.rows))
        if case.allow(call) is Allow.ANY_PART and not named and likeness <= copied:
            continue  # as well a second copy of what another call left
        if likeness > 0 and (best is None or likeness > best[0]):
            best = (likeness, call, missing)
    return None if best is None else (best[1], best[2])


def _looks(ident: Ident, rows: Mapping[Ident, Flat]) -> Flat:
    """Its leaves, ids told by the rows that they stand for."""
    return dict(ident[3]) if ident[2] == "bag" else rows.get(ident, {})


def _likeness(a: Flat, b: Flat) -> float:
    paths = {**a, **b}
    return sum(1 for p in paths if p in a and p in b and a[p] == b[p]) / max(1, len(paths))


def _closest_expected(case: Case, ident: Ident, row: Flat) -> float:
    there = (i for i in case.effects.rows if i[0] == ident[0] and (i in case.after.bags or i in case.after.cells))
    alike = (_looks(i, case.effects.rows) for i in there)
    return max((_likeness(row, r) for r in islice(alike, _MOST_LIKENESSES)), default=0.0)


def _by_argument(case: Case, ident: Ident) -> tuple[int, ...]:
    """The call whose own arguments the row names; else the only one that it can be."""
    row = case.after.rows.get(ident) or case.before.rows.get(ident) or {}
    found = sorted(named_by(case.lens.telling(ident, row), case.owners))
    if len(found) == 1:
        return tuple(found)
    suspects = [c for c in found if c in case.suspects] or sorted(case.suspects)
    return tuple(suspects) if len(suspects) == 1 else ()


def _texts(case: Case, ident: Ident) -> Iterable[str]:
    yield ident[0].lower()
    row = case.after.rows.get(ident, {})
    for column in case.lens.metas[ident[0]].key:
        value = row.get(column)
        if isinstance(value, str):
            yield value.lower()


def _holds(case: Case, ident: Ident) -> bool:
    return any(_HOLDS.search(text) for text in _texts(case, ident))


def _looks_left(case: Case, ident: Ident) -> bool:
    """State (not a log) of a kind that every clean run takes away again."""
    if _holds(case, ident):
        return True
    return ident[1][0] == "key" and (ident[0], ident[1]) not in case.lens.kinds


# --- columns that follow the order ------------------------------------------------------------------------------------


def judge_columns(case: Case, after_each: Mapping[tuple[str, Kind, str], list[dict[Any, int]]]) -> None:
    """A gapless number belongs to nobody in particular: the column must be what so many calls give.

    ``after_each``: the column in the first clean pass, after each call.
    """
    touched = {v.ident[0] for v in case.outcome.violations}
    for column, steps in after_each.items():
        collection, _, path = column
        actual = case.after.whole.get(column, {})
        if collection in touched or any(actual == step for step in steps if sum(step.values()) == sum(actual.values())):
            continue
        repeated = max(actual.values(), default=0) > max((n for step in steps for n in step.values()), default=0)
        if all(allow is Allow.ALL for allow, _ in case.allowances.values()) or repeated:
            expected = steps[-1] if steps else {}
            odd = Counter(actual) - Counter(expected)
            lacking = Counter(expected) - Counter(actual)
            ident: Ident = (collection, column[1], "column", (path,))
            case.blame(Word.EFFECT, DIFFERENT, ident, (), None, _few(odd), _few(lacking), path)
        else:
            case.outcome.doubt(f"{collection}.{path} follows the order of the calls, and not all of them succeeded")


def _few(values: Mapping[Any, int]) -> str:
    shown = ", ".join(str(v) for v in list(values)[:5])
    return shown + (", …" if len(values) > 5 else "")
