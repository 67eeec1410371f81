"""Worlds are known by their content as long as nothing is learnt, and as long as they name no time."""

from __future__ import annotations

from typing import Any

import pytest

from harness.explore.changing import Listed, content_of
from harness.explore.freezing import Change
from harness.explore.recalled import Recalled
from harness.explore.varying import Varying
from harness.model.world import Collection

NOW = 1_763_800_000.0
ID = "0b6c1f0e-7b3f-4a55-9d5e-111111111111"


def change(sign: str = "+", name: str = "db.orders", **row: Any) -> Change:
    return Change(sign, name, Collection("orders", (row,), key=("number",)), row)


def these(*changes: Change) -> Listed:
    return Listed(changes, content_of(changes))


@pytest.fixture
def recalled() -> Recalled:
    return Recalled(Varying())


@pytest.mark.parametrize(
    "other", [change(number=7, state="paid"), change("-", number=7, state="new"), change(name="db.o", number=7, state="new")]
)
def test_the_same_content_has_the_same_key_and_no_other_has_it(recalled: Recalled, other: Change) -> None:
    listed = these(change(number=7, state="new"))
    assert recalled.of(listed) is None
    recalled.keep(listed, "key", True, NOW)
    assert recalled.of(these(change(number=7, state="new"))) == ("key", True)
    assert recalled.of(these(other)) is None and recalled.of(these()) is None and recalled.of(these(*listed.changes, other)) is None


@pytest.mark.parametrize(
    "value",
    [
        NOW + 300 * 86_400,
        int(NOW) * 1000,
        "2025-11-22T10:00:00Z",
        f"until.{int(NOW)}",
        "2025-11-22",
        "rent-3/4/2027",
        "rent 20271101 paid",
        f'{{"until": {int(NOW)}}}',
        "[not JSON, 1763800000",
        "x" * 5000,
        {str(int(NOW)): 1},
    ],
)
def test_what_may_name_a_time_is_not_kept(recalled: Recalled, value: object) -> None:
    listed = these(change(number=7, lease=value))
    recalled.keep(listed, "key", False, NOW)
    assert recalled.of(listed) is None


def test_whatever_is_learnt_makes_it_forget(recalled: Recalled) -> None:
    listed = these(change(number=7))
    recalled.keep(listed, "key", False, NOW)
    recalled.name_ids([ID])
    assert recalled.of(listed) is None
    recalled.keep(listed, "key", False, NOW)
    recalled.name_ids([ID])
    assert recalled.of(listed) == ("key", False), "nothing was new"
    recalled.forget()
    assert recalled.of(listed) is None
