"""`${{ matrix.x }}`: one scenario per combination of values; and which placeholders are left for the run."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.scenario.errors import Problems
from harness.scenario.names import known, listed, nearest
from harness.scenario.tree import Entry, Fields, Items, Place, Scalar, Tree, describe, plain, scalars

__all__ = ["PLACEHOLDER", "cell_title", "cells", "check_env", "check_strays", "substitute"]

#: Also `harness.run` replaces these, in `system.env`.
PLACEHOLDER = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
_OPEN = "${{"
_MAX_CELLS = 1000
_UNTOUCHED = ("version", "matrix")


def cells(tree: Fields, problems: Problems) -> list[dict[str, Tree]]:
    """The product of the matrix, the last name varying fastest; one empty cell without a matrix."""
    entry = tree.entries.get("matrix")
    if entry is None:
        return [{}]
    if not isinstance(entry.value, Fields):
        problems.add(entry.value.place, f"`matrix` is a mapping of names to lists of values, not {describe(entry.value)}")
        return [{}]
    axes: list[list[tuple[str, Tree]]] = []
    for name, axis in entry.value.entries.items():
        if not isinstance(axis.value, Items):
            problems.add(axis.value.place, f"`matrix.{name}` is a list of values, such as [a, b], not {describe(axis.value)}")
        elif not axis.value.items:
            problems.add(axis.value.place, f"`matrix.{name}` has no values: nothing would be run")
        else:
            _refuse_repeats(name, axis.value, problems)
            axes.append([(name, value) for value in axis.value.items])
    size = 1
    for values in axes:
        size *= len(values)
    if size > _MAX_CELLS:
        problems.add(entry.key, f"the matrix has {size:,} cells; at most {_MAX_CELLS:,} are run")
        return [{}]
    return [dict(combination) for combination in itertools.product(*axes)]


def _refuse_repeats(name: str, axis: Items, problems: Problems) -> None:
    seen: set[str] = set()
    for value in axis.items:
        text = json.dumps(plain(value), sort_keys=True)
        if text in seen:
            problems.add(value.place, f"`matrix.{name}` holds {describe(value)} twice", "--repeat runs a scenario several times")
        seen.add(text)


def cell_title(name: str, cell: Mapping[str, Any]) -> str:
    """``'orders [broker=redis, n=2]'``; the bare name without a matrix."""
    if not cell:
        return name
    return f"{name} [{', '.join(f'{key}={_formatted(value)}' for key, value in cell.items())}]"


def _formatted(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def substitute(tree: Fields, cell: Mapping[str, Tree], problems: Problems) -> Fields:
    """The tree with this cell's values, and without the matrix itself.

    A value that is a placeholder and nothing else becomes the matrix's own value, type and position with it.
    """
    kept = {
        key: entry if key in _UNTOUCHED else Entry(entry.key, _filled(entry.value, cell, problems))
        for key, entry in tree.entries.items()
        if key != "matrix"
    }
    return Fields(kept, tree.place)


def _filled(tree: Tree, cell: Mapping[str, Tree], problems: Problems) -> Tree:
    if isinstance(tree, Fields):
        return Fields({key: Entry(entry.key, _filled(entry.value, cell, problems)) for key, entry in tree.entries.items()}, tree.place)
    if isinstance(tree, Items):
        return Items(tuple(_filled(item, cell, problems) for item in tree.items), tree.place)
    if not isinstance(tree.value, str) or _OPEN not in tree.value:
        return tree
    whole = PLACEHOLDER.fullmatch(tree.value.strip())
    if whole and whole[1].startswith("matrix."):
        found = _value(whole[1], tree.place, cell, problems)
        return tree if found is None else found
    text = PLACEHOLDER.sub(lambda match: _embedded(match, tree.place, cell, problems), tree.value)
    return Scalar(text, tree.place, text)


def _embedded(match: re.Match[str], place: Place, cell: Mapping[str, Tree], problems: Problems) -> str:
    if not match[1].startswith("matrix."):
        return match[0]
    value = _value(match[1], place, cell, problems)
    if value is None:
        return match[0]
    if not isinstance(value, Scalar):
        what = f"`{match[1]}` is {describe(value)}: it cannot stand inside of a text, only alone"
        problems.add(place, what, settles=True)
        return match[0]
    return _formatted(value.value)


def _value(name: str, place: Place, cell: Mapping[str, Tree], problems: Problems) -> Tree | None:
    key = name.removeprefix("matrix.")
    if key not in cell:
        hint = known(cell) if cell else "the file has no `matrix`"
        problems.add(place, f"`{_OPEN} {name} }}}}`: the matrix has no `{key}`{nearest(key, cell)}", hint, settles=True)
        return None
    return cell[key]


def check_strays(tree: Fields, cell: Mapping[str, Tree], problems: Problems) -> None:
    """Refuse placeholders in keys, unclosed ones, and, outside of `system.env`, any that is left."""
    for place, key in _keys(tree):
        if _OPEN in key:
            problems.add(place, "a placeholder stands in values only, not in keys")
    for path, scalar in scalars(tree):
        text = scalar.value
        if not isinstance(text, str) or _OPEN not in text:
            continue
        found = PLACEHOLDER.findall(text)
        if text.count(_OPEN) != len(found):
            problems.add(scalar.place, f"`{_OPEN}` is not closed by `}}}}`", "write ${{ matrix.name }} or ${{ service.url }}", settles=True)
            continue
        for name in found:
            if name.startswith("matrix."):
                # One that the matrix does not have is told already, and settled.
                what = f"`{_OPEN} {name} }}}}` came out of a placeholder: what is filled in is not replaced again"
                problems.add(scalar.place, what, settles=True)
            elif path[:2] != ("system", "env"):
                what = f"`{_OPEN} {name} }}}}` is known only in `system.env`; elsewhere only values of the matrix are"
                problems.add(scalar.place, what + nearest(name, [f"matrix.{key}" for key in cell]), settles=True)


def _keys(tree: Tree) -> Iterator[tuple[Place, str]]:
    if isinstance(tree, Fields):
        for key, entry in tree.entries.items():
            yield entry.key, key
            yield from _keys(entry.value)
    elif isinstance(tree, Items):
        for item in tree.items:
            yield from _keys(item)


def check_env(tree: Fields, offers: Mapping[str, tuple[str, ...]], problems: Problems) -> None:
    """Every `${{ service.key }}` in `system.env` names something that will be there. ``offers``: service -> its keys."""
    system = tree.get("system")
    env = system.get("env") if isinstance(system, Fields) else None
    if env is None:
        return
    for _, scalar in scalars(env):
        if not isinstance(scalar.value, str):
            continue
        for name in PLACEHOLDER.findall(scalar.value):
            service, dot, key = name.partition(".")
            if not dot or not key:
                problems.add(scalar.place, f"`{_OPEN} {name} }}}}`: write a service and what it offers, such as {_OPEN} db.url }}}}")
            elif service not in offers:
                near = nearest(service, [*offers, "matrix"])
                problems.add(scalar.place, f"`{_OPEN} {name} }}}}`: no service `{service}`{near}", known(offers))
            elif key not in offers[service]:
                near = nearest(key, offers[service])
                what = f"`{_OPEN} {name} }}}}`: `{service}` offers no `{key}`{near}"
                problems.add(scalar.place, what, f"it offers {listed(offers[service]) or 'nothing'}")
