"""Values that vary in more than their words: what is the same in all of them counts, and what may hide in the rest is told."""

from __future__ import annotations

import base64
import pickle
import struct
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from harness.explore.canonical import canonical
from harness.explore.freezing import Freezer, changes
from harness.explore.varying import Varying
from harness.model.world import Collection

NOW = 1_795_353_103.25
#: When clean executions run: at once, a little later, a day and more than a year later; and when a crash's do.
CLEAN, CRASHED = (NOW, NOW + 2.1, NOW + 90_061, NOW + 465.5 * 86_400), NOW + 85_800
#: 18 bytes in base64: with separators at other places in each.
TOKENS = ("+8FjP/P7WjzuG+Z4ewSEa6GG", "B8363ax84PdKde57okKv5TAi", "q/ZoZsbIgtoL/aQwXHLW9wx2", "Zk3vbn+qqOI4hXSdTiBp/w9Q")
AGAIN = "7hHgPf0c+AXm1z/KxYyQaR3e"


def world(value: Any) -> dict[str, Collection]:
    text = f"x'{value.hex()}'" if isinstance(value, bytes) else value
    return {"cache.keys": Collection("keys", ({"key": "s:7", "value": text},), key=("key",))}


def learnt(values: Sequence[Any]) -> Varying:
    found = Varying()
    found.learn([world(value) for value in values])
    return found


def form(varying: Varying, value: Any) -> tuple[str, ...]:
    return canonical(Freezer(varying, {}).freeze(changes({}, world(value))))


@pytest.mark.parametrize("written", ["{}|{}", "paid:{}:{}", "{}/{}", "{}|{}|end"])
def test_what_stands_before_a_random_text_with_separators_counts(written: str) -> None:
    varying = learnt([written.format(1, token) for token in TOKENS])
    right = form(varying, written.format(1, TOKENS[0]))
    assert form(varying, written.format(1, AGAIN)) == right
    assert form(varying, written.format(2, AGAIN)) != right
    assert not varying.excludes(())


def test_what_may_hide_between_is_told() -> None:
    varying = learnt([f"{at:.0f}|1|{token}" for at, token in zip(CLEAN, TOKENS, strict=True)])
    assert ["what is in value of s:<digits> (cache.keys)" in told for told in varying.excludes(())] == [True]


@pytest.mark.parametrize(
    "packed",
    [
        lambda at, n: struct.pack(">dI", at, n),
        lambda at, n: b"\x82\xa2at\xcb" + struct.pack(">d", at) + b"\xa1n" + bytes([n]),  # as msgpack has {"at": at, "n": n}
        lambda at, n: bytes([n]) + struct.pack("<q", int(at * 1e9)) + b"\xff",
    ],
)
def test_of_bytes_that_nobody_can_read_those_count_that_do_not_vary(packed: Callable[[float, int], bytes]) -> None:
    varying = learnt([packed(at, 1) for at in CLEAN])
    assert form(varying, packed(CRASHED, 1)) == form(varying, packed(NOW, 1))
    assert form(varying, packed(CRASHED, 2)) != form(varying, packed(NOW, 1))
    assert len(varying.excludes(())) == 1


def test_random_bytes_are_one_token_and_longer_ones_may_be_encrypted() -> None:
    drawn = [struct.pack(">2Q", 0x9E3779B97F4A7C15 * n % 2**64, 0xC2B2AE3D27D4EB4F * n % 2**64) for n in (3, 5, 7, 11, 13)]
    varying = learnt(drawn[:4])
    assert form(varying, drawn[4]) == form(varying, drawn[0]) and not varying.excludes(())
    assert len(learnt([one * 2 for one in drawn]).excludes(())) == 1


def test_a_long_word_that_is_not_random_is_told() -> None:
    """Base64 of what nobody can read, or an id that begins with the time."""
    packed = [base64.b64encode(b"\x82\xa2at\xcb" + struct.pack(">d", at) + b"\xa1n\x01").decode() for at in CLEAN]
    assert len(learnt(packed).excludes(())) == 1
    assert not learnt(
        ["9f8e7d6c5b4a39281706f5e4d3c2b1a0", "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "5ee5d00d42ab93c77c01fe0d91b3a866"]
    ).excludes(())


def test_a_date_in_a_pickle_is_a_date() -> None:
    def until(at: float, years: int) -> bytes:
        return pickle.dumps({"until": date.fromtimestamp(at) + timedelta(days=365 * years)})

    varying = Varying()
    varying.learn([world(until(at, 1)) for at in CLEAN], CLEAN, NOW)
    frozen = [canonical(Freezer(varying, {}, span=(NOW, NOW + 5)).freeze(changes({}, world(until(NOW, years))))) for years in (1, 2)]
    assert frozen[0] != frozen[1]
