"""Rows and values in words."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.wording import inline_text, row_text, value_text


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "not there"),
        (True, "true"),
        (1200, "1,200"),
        (0.5, "0.5"),
        ("a\n b", "a b"),
        ({}, "empty"),
        ({"status": "paid", "note": None}, "status 'paid', note null"),
        ({"kind": "file", "size": 3, "sha256": "0" * 64, "text": "abc"}, "size 3, text 'abc'"),
        ({"sha256": "a1b2c3d4" + "0" * 56}, "sha256 a1b2c3d4…"),
        ([1, "x"], '[1, "x"]'),
    ],
)
def test_values(value: Any, told: str) -> None:
    assert value_text(value) == told


def test_a_row_in_a_sentence_is_held_together() -> None:
    assert inline_text({"cents": 900, "to": "Ann"}) == "{cents 900, to 'Ann'}" and inline_text(None) == "not there"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (None, ""),
        ("lock:7", "lock:7"),
        ({"number": 7}, "number 7"),
        ({"path": "invoice.txt"}, "invoice.txt"),
        ({"method": "POST", "path": "/charges", "body": {"order": 7}, "key": "k"}, "POST /charges, order 7, key 'k'"),
    ],
)
def test_rows(row: Any, told: str) -> None:
    assert row_text(row) == told


def test_long_values_are_cut_and_say_so() -> None:
    assert len(value_text({f"column_{n}": "x" * 50 for n in range(20)})) <= 160 and value_text("y" * 500).endswith("…")
