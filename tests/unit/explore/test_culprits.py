"""Which line is named: that of the effect which came too often, though another came after it."""

from __future__ import annotations

import pytest

from harness.explore.culprits import _row, _too_little, _too_much


@pytest.mark.parametrize(
    ("before", "after", "expected", "much", "little"),
    [
        (None, 2, 1, True, False),
        (0, 0, 1, False, True),
        (None, {"value": "2"}, {"value": "1"}, True, False),
        ({"cents": 100}, {"cents": 80}, {"cents": 90}, True, False),
        ({"cents": 100}, {"cents": 100}, {"cents": 90}, False, False),
        ({"state": "new"}, {"state": "paying"}, {"state": "paid"}, False, False),
        (None, {"text": "a\na\n"}, {"text": "a\n"}, True, False),
        (None, {"text": "a"}, {"text": "a\nb\n"}, False, False),
        (None, {"value": ["7", "7"]}, {"value": ["7"]}, True, False),
        (None, {"value": "held"}, None, True, False),
        (None, None, {"value": "held"}, False, True),
    ],
)
def test_too_much_and_too_little(before: object, after: object, expected: object, much: bool, little: bool) -> None:
    difference = {"before": before, "after": after, "expected": expected}
    assert (_too_much(difference), _too_little(difference)) == (much, little)


def test_a_row_is_known_again_in_another_walk_of_the_path() -> None:
    """Where the message has another id, and it is later; what counts attempts is no such value."""

    def of(message: str, attempt: int, at: str) -> tuple[object, str]:
        return _row({"collection": "api.requests", "row": {"path": "/charges", "at": at, "key": f"{message}.{attempt}"}})

    one = of("387853d0-e361-4a7d-8054-d8b39660df8f", 1, "2026-11-22T09:41:20")
    assert one == of("6ffbc26b-94ca-41ca-afac-ed92eda437da", 1, "2026-11-23T09:43:20")
    assert one != of("387853d0-e361-4a7d-8054-d8b39660df8f", 0, "2026-11-22T09:41:20")
