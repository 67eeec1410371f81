"""Rows in a form that is equal for two sets of rows only if one becomes the other by renaming atoms, one for one.

An atom is a value that means nothing but itself: an id that a store made up, a random token. What is frozen of a row is its text without
the atoms, and the atoms in their order.

Colour refinement tells atoms apart by where they stand; what it leaves alike is tried in every order, and the least form counts
(individualisation and refinement: B. D. McKay, Practical graph isomorphism, 1981). Where that would be too many orders, the atoms' own
values stay in the form: then equal worlds may look different, but never different ones equal.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Atom", "Frozen", "canonical", "outline"]

#: (what kind of value, the value)
Atom = tuple[str, str]
_Colours = Mapping[Atom, str]

#: Orders that are tried among rows that hang together.
_MOST_ORDERS = 720


@dataclass(frozen=True, slots=True)
class Frozen:
    """One row. Two with the same ``text`` differ in their atoms at most."""

    text: str
    atoms: tuple[Atom, ...] = ()


def canonical(rows: Iterable[Frozen]) -> tuple[str, ...]:
    """Sorted; equal for two multisets of rows if, and but for what is said above only if, they are the same up to renaming."""
    return tuple(sorted(form for part in _components(list(rows)) for form in [_form_of(part)]))


def outline(rows: Iterable[Frozen]) -> tuple[str, ...]:
    """By colours alone: equal sets of rows have equal outlines whatever their atoms are; so may, though rarely, different ones."""
    found = []
    for part in _components(list(rows)):
        counts = Counter(atom for row in part for atom in row.atoms)
        colours = _refined(part, {atom: atom[0] if counts[atom] > 1 else f"{atom[0]} once" for atom in counts})
        found.append(repr(sorted((row.text, tuple(colours[atom] for atom in row.atoms)) for row in part)))
    return tuple(sorted(found))


def _components(rows: Sequence[Frozen]) -> Iterator[list[Frozen]]:
    """Rows that share atoms, directly or over others: each component can be renamed by itself."""
    counts = Counter(atom for row in rows for atom in row.atoms)
    leader: dict[Atom, Atom] = {}

    def find(atom: Atom) -> Atom:
        while (above := leader.setdefault(atom, atom)) != atom:
            leader[atom] = leader[above]
            atom = leader[atom]
        return atom

    parts: dict[Atom, list[Frozen]] = defaultdict(list)
    linked: list[Frozen] = []
    for row in rows:
        shared = [atom for atom in row.atoms if counts[atom] > 1]
        if not shared:
            yield [row]
            continue
        linked.append(row)
        for atom in shared:
            leader[find(atom)] = find(shared[0])
    for row in linked:
        parts[find(next(atom for atom in row.atoms if counts[atom] > 1))].append(row)
    yield from parts.values()


def _form_of(rows: Sequence[Frozen]) -> str:
    counts = Counter(atom for row in rows for atom in row.atoms)
    atoms = [atom for atom, count in counts.items() if count > 1]
    if not atoms:
        return repr(sorted((row.text, tuple(kind for kind, _ in row.atoms)) for row in rows))
    colours: dict[Atom, str] = {atom: atom[0] if counts[atom] > 1 else f"{atom[0]} once" for atom in counts}
    least = _Search(rows).least(_refined(rows, colours))
    return least if least is not None else "as they are " + repr(sorted((row.text, row.atoms) for row in rows))


class _Search:
    """All orders of atoms that stay alike, as far as they are not too many."""

    def __init__(self, rows: Sequence[Frozen]) -> None:
        self._rows = rows
        self._orders = 0

    def least(self, colours: _Colours) -> str | None:
        """None: too many."""
        classes: dict[str, list[Atom]] = defaultdict(list)
        for atom, colour in colours.items():
            classes[colour].append(atom)
        # One that stands in one place only is told by its row: any order of those gives the same form.
        tied = [(len(members), colour) for colour, members in classes.items() if len(members) > 1 and not self._lonely(members)]
        if not tied:
            self._orders += 1
            return _written(self._rows, colours) if self._orders <= _MOST_ORDERS else None
        _, colour = min(tied)
        found: list[str] = []
        for atom in classes[colour]:
            form = self.least(_refined(self._rows, {**colours, atom: colour + " chosen"}))
            if form is None:
                return None
            found.append(form)
        return min(found)

    def _lonely(self, members: Sequence[Atom]) -> bool:
        alike = set(members)
        return all(sum(atom in alike for atom in row.atoms) <= 1 for row in self._rows) and all(
            sum(atom == one for row in self._rows for atom in row.atoms) == 1 for one in members
        )


def _refined(rows: Sequence[Frozen], colours: _Colours) -> dict[Atom, str]:
    """Until no round tells more atoms apart."""
    known = dict(colours)
    while True:
        seen: dict[Atom, list[str]] = defaultdict(list)
        for row in rows:
            around = tuple(known[atom] for atom in row.atoms)
            same = tuple(row.atoms.index(atom) for atom in row.atoms)
            for place, atom in enumerate(row.atoms):
                seen[atom].append(digest((row.text, around, same, place), 12))
        finer = {atom: digest((known[atom], sorted(places)), 12) for atom, places in seen.items()}
        if len(set(finer.values())) == len(set(known.values())):
            return finer
        known = finer


def _written(rows: Sequence[Frozen], colours: _Colours) -> str:
    """Each atom by the rank of its colour, and by how many share that: these stand in one place each, so they need no name of their own.

    Without the number two rows with one atom each would look like two rows with the same one.
    """
    sharing = Counter(colours.values())
    ranks = {colour: (n, sharing[colour]) for n, colour in enumerate(sorted(sharing))}
    return repr(sorted((row.text, tuple((atom[0], *ranks[colours[atom]]) for atom in row.atoms)) for row in rows))


def digest(value: object, size: int = 16) -> str:
    """Of what it looks like, in so many bytes: two values that look alike have the same one."""
    return hashlib.blake2b(repr(value).encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()
