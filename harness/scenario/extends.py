"""`extends`: a file on top of another one. Mappings are merged, everything else is replaced, null removes."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import ScenarioError
from harness.scenario.errors import Problems
from harness.scenario.source import read_tree
from harness.scenario.tree import Entry, Fields, Scalar

__all__ = ["read_extended"]

_KEY = "extends"


def read_extended(path: Path, problems: Problems) -> Fields:
    """The file with all that it extends merged in, and without the key itself. Every value keeps its own file's position."""
    return _read(path, (), problems)


def _read(path: Path, chain: tuple[Path, ...], problems: Problems) -> Fields:
    tree = read_tree(path)
    entry = tree.entries.get(_KEY)
    if entry is None:
        return tree
    own = Fields({key: value for key, value in tree.entries.items() if key != _KEY}, tree.place)
    name = entry.value
    if not isinstance(name, Scalar) or not isinstance(name.value, str) or not name.value.strip():
        raise ScenarioError("`extends` is the path of another scenario file, relative to this one", where=str(name.place))
    base = Path(os.path.normpath(path.parent / name.value))
    chain = (*chain, path)
    if any(_same(base, link) for link in chain):
        names = " → ".join(str(link) for link in (*chain, base))
        raise ScenarioError(f"files that extend one another in a circle: {names}", where=str(name.place))
    return _merge(_base(base, chain, name, problems), own, problems)


def _base(base: Path, chain: tuple[Path, ...], name: Scalar, problems: Problems) -> Fields:
    try:
        return _read(base, chain, problems)
    except ScenarioError as error:
        if error.where == str(base):  # not readable at all: what is wrong is the name here
            raise ScenarioError(f"{base}: {error.what}", where=str(name.place), hint=error.hint) from None
        raise


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _merge(base: Fields, own: Fields, problems: Problems) -> Fields:
    entries = dict(base.entries)
    for key, entry in own.entries.items():
        below, value = entries.get(key), entry.value
        if below is None:
            entries[key] = entry
        elif isinstance(value, Scalar) and value.value is None:
            if not value.text:
                # `no_loss:` means "with defaults" elsewhere: a check must not vanish for want of a pair of braces.
                what = f"`{key}:` without a value could mean to keep or to remove what the extended file has"
                problems.add(entry.key, what, f"write `{key}: null` to remove it, or `{key}: {{}}` to keep it")
            del entries[key]
        elif isinstance(below.value, Fields) and isinstance(value, Fields):
            entries[key] = Entry(entry.key, _merge(below.value, value, problems))
        else:
            entries[key] = entry
    return Fields(entries, own.place)
