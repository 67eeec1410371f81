"""The comparison from end to end: read the worlds, learn what varies, gather effects, judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.checks._worlds.allowed import Case, judge_single
from harness.checks._worlds.callfates import Allow, Allowance, executions, ran_again
from harness.checks._worlds.effects import Effects, arguments_of, gather, new_ids, owners_of, settle_ownership
from harness.checks._worlds.learn import Passes, learn, order_of
from harness.checks._worlds.leftovers import judge_columns, judge_leftovers
from harness.checks._worlds.lens import Kind, Labels, Lens, View
from harness.checks._worlds.read import Change, Flat, Reader, changes, expires, parts_of, raw_changes
from harness.checks._worlds.references import judge_references
from harness.checks._worlds.shared import judge_shared
from harness.checks._worlds.verdicts import Outcome
from harness.model.finding import Word
from harness.model.history import Call, History
from harness.model.world import Row, World
from harness.ports.check import CleanPass

__all__ = ["Comparison", "compare"]

#: Readings of ambiguous numbers that are tried where the first one finds something wrong.
_MOST_READINGS = 6
_Flats = dict[str, list[Flat]]
_Raw = Mapping[int, Mapping[str, tuple[list[Row], list[Row]]]]


@dataclass
class Comparison:
    """What came of it. ``unusable``: why nothing could be compared, '' where it could. ``ignored``: leaves that vary by themselves."""

    outcome: Outcome
    effects: Effects
    lens: Lens
    case: Case | None
    ignored: tuple[str, ...] = ()
    unusable: str = ""


@dataclass
class Worlds:
    """All flat worlds of the three passes."""

    befores: tuple[_Flats, _Flats, _Flats]
    first: _Flats
    second: _Flats
    after: _Flats


def compare(
    reader: Reader, clean: tuple[CleanPass, CleanPass], before: World, after: World, history: History, allowed: Mapping[int, Allowance]
) -> Comparison:
    """Hold the run's worlds against the clean passes. Calls that the run has and the passes lack must not be in ``allowed``."""
    first, second = clean
    order = list(first.order) or sorted(first.per_call)
    reader.learn_metas([*first.per_call.values(), first.before, first.after, second.before, second.after, before, after])
    raw = _raw_per_call(reader, first, order)
    reader.fleeting |= _fleeting(reader, raw, order)
    for collection, column in _shared_columns(reader, raw, order):
        reader.share(collection, column)
    per_call = {call: changes(reader, raw[call]) for call in order}
    befores = reader.flat(first.before), reader.flat(second.before), reader.flat(before)
    worlds = Worlds(befores, reader.flat(first.after), reader.flat(second.after), reader.flat(after))
    readings = Readings(reader, worlds, per_call, order, first.history, second.history, history, allowed)
    best = readings.judge(frozenset())
    if best.outcome.violations:
        for eager in readings.others(best):
            found = readings.judge(eager)
            if _rank(found) < _rank(best):
                best = found
            if not best.outcome.violations and not best.outcome.doubts:
                break
    return best


def _rank(found: Comparison) -> tuple[bool, bool]:
    return bool(found.outcome.violations), bool(found.outcome.doubts) or bool(found.unusable)


@dataclass
class Readings:
    """The ways to read numbers that may be ids of rows or numbers of their own.

    Where a gapless number and an autoincrement run in step in the clean passes, nothing there tells them apart. The run
    is right if one consistent reading makes it isomorphic to a clean execution, so a second one is tried where the first fails.
    """

    reader: Reader
    worlds: Worlds
    per_call: Mapping[int, Change]
    order: Sequence[int]
    first: History
    second: History
    run: History
    allowed: Mapping[int, Allowance]

    def __post_init__(self) -> None:
        self.arguments = {n: arguments_of(self.first.calls[n].args) for n in self.order}

    def _learn(self, eager: frozenset[str] | None) -> tuple[Lens, list[Labels]]:
        return _learn(self.reader, self.worlds, self.per_call, self.order, self.arguments, eager)

    def others(self, told: Comparison) -> list[frozenset[str] | None]:
        """Further readings: without any ids; with ids wherever they can be, in the collections that seem wrong, in all, in each."""
        known = _leaks(told.lens)
        possible = _leaks(self._learn(frozenset(self.reader.metas))[0]) - known
        places = frozenset(name for name, _, _ in possible)
        wrong = frozenset(v.ident[0] for v in told.outcome.violations if v.word is Word.EFFECT)
        choices = [places & wrong, places, *(frozenset({p}) for p in sorted(places))]
        eager = [c for c in dict.fromkeys(choices) if c][:_MOST_READINGS]
        return [None, *eager] if known else [*eager]

    def judge(self, eager: frozenset[str] | None) -> Comparison:
        """``eager``: collections in which numbers are ids wherever they can be; None: nowhere are they ids."""
        arguments = self.arguments
        lens, labels = self._learn(eager)
        effects = gather(lens, self.order, self.per_call, labels[0])
        tasks = {n: self.first.calls[n].task for n in self.order}
        settle_ownership(lens, effects, tasks, arguments)
        result = Comparison(Outcome(), effects, lens, None, _ignored(lens))
        views = [lens.view(w, label) for w, label in zip(self.worlds.befores, labels[3:], strict=True)]
        if odd := _differ(views[0], views[1]) or _differ(views[0], views[2]):
            result.unusable = f"the passes did not start from the same world: {', '.join(odd[:3])} differ"
            return result
        clean_after = lens.view(self.worlds.first, labels[0])
        result.case = case = Case(
            lens=lens,
            effects=effects,
            allowances=dict.fromkeys(self.order, (Allow.ALL_OR_NONE, "never sent")) | dict(self.allowed),
            tasks=tasks,
            before=views[2],
            after=lens.view(self.worlds.after, labels[2]),
            clean_after=clean_after,
            arguments=arguments,
            owners=owners_of(arguments),
            suspects=frozenset(n for n, c in self.run.calls.items() if executions(c) or ran_again(c) or _cut(c)),
            order_is_free=_freedom(self.second),
            in_order=_sequence(self.run),
            outcome=result.outcome,
        )
        _judge(case, self.worlds, labels, self.per_call, self.order)
        _set_aside(result.outcome, _differ(clean_after, lens.view(self.worlds.second, labels[1])))
        for name in sorted({name for (name, _), kind in lens.kinds.items() if kind.uncounted}):
            result.outcome.doubt(f"{name}: the clean passes leave different numbers of rows")
        return result


def _leaks(lens: Lens) -> set[tuple[str, str, tuple[str, str]]]:
    return {(name, path, target) for (name, _), one in lens.kinds.items() for path, target in one.leaked.items()}


def _judge(case: Case, worlds: Worlds, labels: Sequence[Labels], per_call: Mapping[int, Change], order: Sequence[int]) -> None:
    judge_single(case)
    judge_shared(case)
    judge_leftovers(case)
    judge_columns(case, _columns_after_each(case.lens, worlds.befores[0], per_call, order, labels[0]))
    if not case.outcome.violations:
        judge_references(case, (worlds.first, labels[0]), (worlds.second, labels[1]), (worlds.after, labels[2]))


def _cut(call: Call) -> bool:
    return any(d.died is not None for m in call.messages for d in m.deliveries)


# --- reading ----------------------------------------------------------------------------------------------------------


def _raw_per_call(reader: Reader, first: CleanPass, order: Sequence[int]) -> dict[int, dict[str, tuple[list[Row], list[Row]]]]:
    raw = {}
    world = first.before
    for call in order:
        raw[call] = raw_changes(reader, world, first.per_call[call])
        world = first.per_call[call]
    return raw


def _fleeting(reader: Reader, raw: _Raw, order: Sequence[int]) -> set[str]:
    """Collections in which rows that expire went while another call than theirs was running."""
    maker: dict[tuple[str, str], int] = {}
    found = set()
    for call in order:
        for name, (went, came) in raw[call].items():
            key = reader.metas[name].key
            for row in (r for r in went if expires(r)):
                if maker.get((name, repr([row.get(c) for c in key])), call) != call:
                    found.add(name)
            maker.update({(name, repr([r.get(c) for c in key])): call for r in came})
    return found


def _shared_columns(reader: Reader, raw: _Raw, order: Sequence[int]) -> set[tuple[str, str]]:
    """Columns whose lists or lines grow (or shrink) by the hands of several calls."""
    writers: dict[tuple[str, str, Any], set[int]] = {}
    for call in order:
        for name, (went, came) in raw[call].items():
            key = reader.metas[name].key
            if not key:
                continue
            old = {repr([r.get(c) for c in key]): r for r in went}
            for row in came:
                owner = repr([row.get(c) for c in key])
                for column, value in row.items():
                    if column not in key and not reader.ignores(name, column) and _grows(old.get(owner, {}).get(column), value):
                        writers.setdefault((name, column, owner), set()).add(call)
    return {(name, column) for (name, column, _), calls in writers.items() if len(calls) > 1}


def _grows(old: Any, new: Any) -> bool:
    after = parts_of(new)
    before = type(after)() if old is None and after is not None else parts_of(old)
    if isinstance(after, dict) and isinstance(before, dict):
        return True
    if not isinstance(after, list) or not isinstance(before, list) or (isinstance(new, str) and not new):
        return False
    if after[: len(before)] == before:
        return True
    a, b = Counter(map(repr, after)), Counter(map(repr, before))
    return not (b - a) or not (a - b)


# --- learning ---------------------------------------------------------------------------------------------------------


def _learn(
    reader: Reader,
    worlds: Worlds,
    per_call: Mapping[int, Change],
    order: Sequence[int],
    arguments: Mapping[int, frozenset[Any]],
    eager: frozenset[str] | None,
) -> tuple[Lens, list[Labels]]:
    lens = Lens(reader.metas)
    lens.fixed = _fixed(reader, worlds.befores)
    added = new_ids(lens, order, per_call)

    def names_own_id(collection: str, column: str) -> bool:
        rows = added.get(collection, {}).values()
        return bool(rows) and all(row.get(column) in arguments.get(call, ()) for call, row in rows)

    passes = Passes(worlds.first, worlds.second, lens.fixed, _mutable(lens, per_call, order), names_own_id, eager)
    learn(lens, passes)
    transient: _Flats = {c: [row for _, row in rows.values()] for c, rows in added.items()}
    others = [_labels(lens, [world]) for world in (worlds.after, *worlds.befores)]
    labels = [_labels(lens, [transient, worlds.first]), passes.second_labels, *others]
    return lens, labels


def _labels(lens: Lens, worlds: Iterable[Mapping[str, Sequence[Flat]]]) -> Labels:
    labels: Labels = {}
    for collection in order_of(lens):
        for world in worlds:
            lens.colours(collection, world.get(collection, ()), labels)
    return labels


def _fixed(reader: Reader, befores: Iterable[_Flats]) -> dict[tuple[str, str], set[Any]]:
    """Made-up ids that every pass starts with."""
    found: dict[tuple[str, str], set[Any]] = {}
    for meta in reader.metas.values():
        for column in meta.surrogate:
            sets = [{r.get(column) for r in world.get(meta.name, ())} for world in befores]
            found[meta.name, column] = set.intersection(*sets)
    return found


def _mutable(lens: Lens, per_call: Mapping[int, Change], order: Sequence[int]) -> dict[str, set[str]]:
    """Leaves of rows with made-up ids that a later call changes."""
    found: dict[str, set[str]] = {}
    for call in order:
        for collection, (went, came) in per_call[call].items():
            columns = sorted(lens.metas[collection].surrogate)
            if not columns:
                continue
            old = {tuple(r.get(c) for c in columns): r for r in went}
            for row in came:
                before = old.get(tuple(row.get(c) for c in columns))
                if before is not None:
                    changed = {p for p in {**before, **row} if before.get(p, before) != row.get(p, before)}
                    found.setdefault(collection, set()).update(changed)
    return found


def _ignored(lens: Lens) -> tuple[str, ...]:
    """Leaves that are blurred or left out, by name."""
    names = set()
    for (collection, _), kind in lens.kinds.items():
        names.update({f"{collection}.*"} if kind.uncounted else {f"{collection}.{p}" for p in kind.levels if p not in kind.whole})
    return tuple(sorted(names))


# --- holding views side by side ---------------------------------------------------------------------------------------


def _differ(a: View, b: View) -> list[str]:
    """Names of the collections in which two views differ."""
    odd = {i[0] for i in {**a.cells, **b.cells} if a.cells.get(i) != b.cells.get(i)}
    odd |= {i[0] for i in {**a.bags, **b.bags} if a.bags.get(i) != b.bags.get(i)}
    return sorted(odd)


def _set_aside(outcome: Outcome, odd: Iterable[str]) -> None:
    """Where the clean passes themselves differ in a way that was not understood, nothing can be said."""
    for collection in odd:
        outcome.violations = [v for v in outcome.violations if v.ident[0] != collection]
        outcome.doubt(f"{collection} differs between the two clean passes")


def _columns_after_each(
    lens: Lens, before: _Flats, per_call: Mapping[int, Change], order: Sequence[int], labels: Labels
) -> dict[tuple[str, Kind, str], list[dict[Any, int]]]:
    if not any(kind.whole for kind in lens.kinds.values()):
        return {}
    columns: dict[tuple[str, Kind, str], Counter[Any]] = {
        (collection, kind, path): Counter() for (collection, kind), one in lens.kinds.items() for path in one.whole
    }
    for name, counted in lens.view(before, labels).whole.items():
        columns[name].update(counted)
    steps: dict[tuple[str, Kind, str], list[dict[Any, int]]] = {name: [dict(c)] for name, c in columns.items()}
    for call in order:
        went = lens.view({c: sides[0] for c, sides in per_call[call].items()}, labels).whole
        came = lens.view({c: sides[1] for c, sides in per_call[call].items()}, labels).whole
        for name in {**went, **came}:
            columns[name].update(came.get(name, {}))
            columns[name].subtract(went.get(name, {}))
            columns[name] = +columns[name]
            steps[name].append(dict(columns[name]))
    return steps


# --- order ------------------------------------------------------------------------------------------------------------


def _spans(history: History) -> dict[int, tuple[float, float]]:
    """Call -> (first start, last end or death) of all that it is made of."""
    found = {}
    for number, call in history.calls.items():
        deliveries = [d for m in call.messages for d in m.deliveries]
        starts = [d.start for d in deliveries if d.start is not None]
        ends = [end for d in deliveries if (end := d.end if d.end is not None else d.died) is not None]
        if starts and ends:
            found[number] = (min(starts), max(ends) if len(ends) == len(starts) else float("inf"))
    return found


def _freedom(second: History) -> Any:
    """In the second clean pass somebody else certainly came after the first pass's last, and yet it ended the same."""
    spans = _spans(second)

    def order_is_free(calls: list[int]) -> bool:
        last = spans.get(calls[-1])
        return last is not None and any(c in spans and last[1] < spans[c][0] for c in calls[:-1])

    return order_is_free


def _sequence(history: History) -> Any:
    spans = _spans(history)

    def in_order(calls: list[int]) -> bool:
        known = [spans.get(c) for c in calls]
        return all(a is not None and b is not None and a[1] < b[0] for a, b in pairwise(known))

    return in_order
