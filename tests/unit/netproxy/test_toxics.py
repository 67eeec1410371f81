"""Slices, and what a setting takes."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.netproxy.fields import Fields
from harness.netproxy.refusals import Refusal
from harness.netproxy.toxics import KINDS, Setting, _sizes


def stage(seed: int = 0, **attributes: int) -> Any:
    random = Random(seed)
    return SimpleNamespace(attribute=lambda name: attributes[name], random=lambda: random)


@given(st.integers(1, 40_000), st.integers(-5, 5000), st.integers(-5, 5000), st.integers(0, 99))
def test_slices_cover_a_chunk_and_none_is_empty(length: int, average: int, variation: int, seed: int) -> None:
    sizes = _sizes(length, stage(seed, average_size=average, size_variation=variation))
    assert sum(sizes) == length
    assert min(sizes) >= 1


@given(st.integers(1, 40_000), st.integers(1, 5000))
def test_without_variation_no_slice_is_longer_than_the_average(length: int, average: int) -> None:
    assert max(_sizes(length, stage(average_size=average, size_variation=0))) <= average


def test_the_same_seed_makes_the_same_slices() -> None:
    first, second, other = (_sizes(30_000, stage(seed, average_size=500, size_variation=200)) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_a_change_keeps_what_it_does_not_name() -> None:
    setting = Setting(KINDS["latency"], "l", "upstream", attributes={"latency": 5, "jitter": 1})
    setting.change(Fields({"attributes": {"LATENCY": 7, "unknown": "x"}}))
    assert (setting.attributes, setting.toxicity) == ({"latency": 7, "jitter": 1}, 1.0)


@pytest.mark.parametrize("body", [{"attributes": {"latency": 9, "jitter": "x"}}, {"attributes": {"latency": 9}, "toxicity": []}])
def test_a_refused_change_changes_nothing(body: dict[str, Any]) -> None:
    setting = Setting(KINDS["latency"], "l", "upstream", attributes={"latency": 5})
    with pytest.raises(Refusal, match="bad request body"):
        setting.change(Fields(body))
    assert (setting.attributes, setting.toxicity) == ({"latency": 5, "jitter": 0}, 1.0)


def test_every_kind_is_under_its_name() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}
