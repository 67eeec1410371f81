from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from celery_harness_agent.own_hash import varied


def seeded(seed: int, *, user: bool = True) -> Any:
    return varied(hash, SimpleNamespace(is_user=lambda filename: user), seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["order-7", b"order-7", ("order", 7), frozenset({"a"}), str])
def test_each_process_has_another_hash_of_a_text_and_keeps_it(value: object) -> None:
    one, other = seeded(1), seeded(2)
    assert one(value) == one(value) != other(value)
    assert min(seeded(seed)(value) for seed in range(9)) > 0  # else a key would have a hyphen more in some


@pytest.mark.parametrize("value", [7, True, 0.5, Fraction(1, 3), (1, (2, 3)), frozenset({1, 2})])
def test_numbers_have_the_same_everywhere(value: object) -> None:
    assert seeded(1)(value) == seeded(2)(value) == hash(value)


def test_what_was_put_into_a_dictionary_before_is_found_again() -> None:
    class Key:
        def __hash__(self) -> int:
            found: int = by_seed("order-7")
            return found

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key)

    by_seed = hash
    kept = {Key(): 1}
    by_seed = seeded(1)
    assert kept[Key()] == 1


def test_libraries_have_the_seed_of_all() -> None:
    assert seeded(1, user=False)("order-7") == hash("order-7")
