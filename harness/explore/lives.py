"""What is left to what expires, and images moved in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import EnvironmentFault
from harness.ports.exploring import Node
from harness.ports.store import KnowsTime

__all__ = ["OUR_ERROR", "UNNOTICED", "image_later", "lives"]

OUR_ERROR = "this is an error of the explorer, not of your task: nothing was concluded"
#: Seconds by which what expires may live too long or too short.
UNNOTICED = 0.05


def image_later(name: str, store: KnowsTime, image: Any, seconds: float) -> Any:
    """So much later; made sure of: a clock that stands still would make every lease hold for ever."""
    later = store.image_later(image, seconds)
    before = {(collection, key): left for collection, key, left in store.expiries(image)}
    for collection, key, left in store.expiries(later):
        if not left <= before.get((collection, key), 0.0) - seconds + UNNOTICED:
            raise EnvironmentFault(f"the time of {name}.{collection} could not be moved on", hint=OUR_ERROR)
    return later


def lives(node: Node) -> Mapping[tuple[str, str], float]:
    """(collection, key) -> seconds that are left; the node may have been moved in time since it was looked at."""
    passed = node.later - node.image.later
    left: Mapping[tuple[str, str], float] = node.image.left
    return {name: seconds - passed for name, seconds in left.items()} if passed else left
