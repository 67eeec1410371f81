"""Which row points to which: rows that look alike are told apart by what points to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.checks._worlds.allowed import Case
from harness.checks._worlds.callfates import Allow
from harness.checks._worlds.lens import Labels, Lens
from harness.checks._worlds.read import Flat
from harness.checks._worlds.verdicts import DIFFERENT
from harness.model.finding import Word
from harness.model.masks import token

__all__ = ["judge_references"]

_Known = tuple[Mapping[str, Sequence[Flat]], Labels]


def judge_references(case: Case, first: _Known, second: _Known, run: _Known) -> None:
    """Only where rows with made-up ids look alike: elsewhere the comparison of rows has told their references apart."""
    expected, other = _signatures(case.lens, *first), _signatures(case.lens, *second)
    for target, clean in expected.items():
        if len({label for label, _ in clean}) == sum(clean.values()):
            continue
        if clean != other.get(target):
            continue  # who points to whom follows the order: it varies by itself
        actual = _signatures(case.lens, *run).get(target, Counter())
        if actual == clean:
            continue
        if all(allow is Allow.ALL for allow, _ in case.allowances.values()):
            ident = (target[0], ("new",), "reference", (target[1],))
            case.blame(Word.EFFECT, DIFFERENT, ident, (), None, "other rows are pointed to", "as after one clean execution", target[1])
        elif actual - clean:
            case.outcome.doubt(f"{target[0]}: rows look alike, and not all calls succeeded: which of them are pointed to cannot be told")


def _signatures(lens: Lens, world: Mapping[str, Sequence[Flat]], labels: Labels) -> dict[tuple[str, str], Counter[Any]]:
    """Per column of made-up ids: how often a row with this look is pointed to by these others."""
    pointing: dict[tuple[str, str], dict[Any, Counter[Any]]] = {target: {id: Counter() for id in ids} for target, ids in labels.items()}
    for collection, rows in world.items():
        for row in rows:
            looked = lens.view_row(collection, row, labels)
            if looked is None:
                continue
            for path, target, value in _pointers(lens, collection, looked[0][1], row):
                if value in pointing.get(target, {}):
                    pointing[target][value][(collection, path, repr(looked[0][3]))] += 1
    return {
        target: Counter((repr(labels[target][id]), frozenset(seen.items())) for id, seen in by_id.items())
        for target, by_id in pointing.items()
        if any(by_id.values())
    }


def _pointers(lens: Lens, collection: str, kind: tuple[str, ...], row: Flat) -> list[tuple[str, tuple[str, str], Any]]:
    found = [(path, target, row.get(path)) for path, target in lens.metas[collection].references.items()]
    for path, target in lens.lens_of(collection, kind).leaked.items():
        number = token(row.get(path))
        if number is not None:
            found.append((path, target, number[1]))
    return found
