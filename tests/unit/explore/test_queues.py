from __future__ import annotations

import pytest

from harness.explore.queues import collections_of
from harness.model.world import Row
from harness.ports.queues import Kept, Waiting

NOW = 1_700_000_000.0


def row(left: float) -> Row:
    waiting = Waiting("celery", b"", "id", "shop.pay", 1, True, NOW + left, {"headers": {}, "properties": {}})
    return collections_of("broker", Kept((waiting,), (), None), NOW, 3)["broker.messages"].rows[0]


@pytest.mark.parametrize("left", [-5.0, 0.02, 0.4])
def test_a_message_that_is_due_in_a_moment_is_due(left: float) -> None:
    """Of two that were published one after another the second is due so much later as the machine was slow."""
    assert row(left) == row(0.0)
    assert row(left) != row(5.0)
