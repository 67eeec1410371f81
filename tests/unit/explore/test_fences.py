"""Fences of rows that are counted, since a store made up their keys."""

from __future__ import annotations

from typing import Any

import pytest

from harness.explore.fences import Fences

RIGHT: dict[str, Any] = {"state": "done", "fence": 1}


def _counted(row: dict[str, Any], after: int, expected: int, collection: str = "db.lifts") -> dict[str, Any]:
    return {"collection": collection, "row": row, "before": 0, "after": after, "expected": expected}


@pytest.mark.parametrize(
    ("instead", "left"),
    [
        (_counted({"state": "done", "fence": 3}, 1, 0), 0),
        (_counted({"state": "done", "fence": 3}, 2, 0), 2),
        (_counted({"state": "done", "fence": 0}, 1, 0), 2),
        (_counted({"state": "open", "fence": 3}, 1, 0), 2),
        (_counted({"state": "done", "fence": 3}, 1, 0, "db.others"), 2),
        (_counted({"state": "done", "cents": 3}, 1, 0), 2),
    ],
)
def test_one_row_instead_of_another_that_has_a_lower_fence(instead: dict[str, Any], left: int) -> None:
    fences, missing = Fences(), _counted(RIGHT, 0, 1)
    assert len(fences.without([missing, instead])) == len(fences.without([instead, missing])) == left
    assert fences.excludes() == (() if left else ("how far fence of a row (db.lifts) has counted, which by its name is a fence",))
