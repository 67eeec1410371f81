from __future__ import annotations

from collections import Counter
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.explore.canonical import Frozen, canonical

_ATOMS = ("1", "2", "3", "4")
_rows = st.lists(
    st.builds(
        lambda text, atoms: Frozen(f"{text}{len(atoms)}", tuple(("id", atom) for atom in atoms)),
        st.sampled_from("ab"),
        st.lists(st.sampled_from(_ATOMS), max_size=3),
    ),
    max_size=5,
)


def renamed(rows: list[Frozen], names: dict[str, str]) -> list[Frozen]:
    return [Frozen(row.text, tuple((kind, names[value]) for kind, value in row.atoms)) for row in rows]


def the_same_by_trying_all(one: list[Frozen], other: list[Frozen]) -> bool:
    wanted = Counter(other)
    return any(Counter(renamed(one, dict(zip(_ATOMS, order, strict=True)))) == wanted for order in permutations(_ATOMS))


@given(_rows, _rows)
@settings(max_examples=400, deadline=None)
def test_forms_are_equal_exactly_where_some_renaming_makes_the_rows_equal(one: list[Frozen], other: list[Frozen]) -> None:
    assert (canonical(one) == canonical(other)) == the_same_by_trying_all(one, other)


def test_two_rows_with_an_atom_each_are_not_two_rows_with_the_same_one() -> None:
    """Found by the test below, after thousands of examples."""
    first, second, shared = ("id", "1"), ("id", "2"), ("id", "3")
    apart = [Frozen("a", (first, shared)), Frozen("a", (second, shared))]
    assert canonical(apart) != canonical([apart[0], apart[0]])


@given(_rows, st.permutations(_ATOMS), st.randoms(use_true_random=False), st.integers(0, 3))
@settings(max_examples=400, deadline=None)
def test_near_misses(rows: list[Frozen], names: list[str], random: object, mutation: int) -> None:
    """Pairs that differ in one place at most: drawn apart they hardly ever meet."""
    other = renamed(rows, dict(zip(_ATOMS, names, strict=True)))
    random.shuffle(other)  # type: ignore[attr-defined]
    if other and mutation == 1:
        other = other[1:]
    if other and mutation == 2:
        other = [*other, other[0]]
    if other and mutation == 3 and other[0].atoms:
        other[0] = Frozen(other[0].text, (("id", "1"), *other[0].atoms[1:]))
    assert (canonical(rows) == canonical(other)) == the_same_by_trying_all(rows, other)


def test_kinds_are_not_mixed() -> None:
    one = [Frozen("a", (("id", "1"), ("token", "1")))]
    other = [Frozen("a", (("id", "1"), ("id", "2")))]
    assert canonical(one) != canonical(other)


def ring(*sizes: int, start: int = 0) -> list[Frozen]:
    """Atoms in circles: each is like any other, and only the orders tell one circle of six from two of three."""
    rows = []
    for size in sizes:
        rows += [Frozen("next", (("id", str(start + n)), ("id", str(start + (n + 1) % size)))) for n in range(size)]
        start += size
    return rows


def test_what_refinement_leaves_alike_is_tried_in_every_order() -> None:
    assert canonical(ring(6)) != canonical(ring(3, 3))
    assert canonical(ring(6)) == canonical(list(reversed(ring(6, start=40))))


def test_too_many_orders_are_never_called_the_same() -> None:
    """Everybody is like everybody: 7 of them can be ordered in 5,040 ways. Equal only as they are."""

    def all_pairs(start: int) -> list[Frozen]:
        return [
            Frozen("knows", (("id", str(a)), ("id", str(b)))) for a in range(start, start + 7) for b in range(start, start + 7) if a != b
        ]

    assert canonical(all_pairs(0)) == canonical(all_pairs(0))
    assert canonical(all_pairs(0)) != canonical(all_pairs(1))


def test_many_rows_that_are_alike_cost_nothing() -> None:
    """A hundred pairs, each a row and what points to it."""

    def pairs(start: int) -> list[Frozen]:
        return [Frozen(text, (("id", str(n)),)) for n in range(start, start + 100) for text in ("row", "pointer")]

    assert canonical(pairs(0)) == canonical(pairs(500))
    assert canonical(pairs(0)) != canonical(pairs(0)[:-1])
