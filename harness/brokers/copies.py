"""Which messages are copied, and the numbers of the copies: the same for every broker."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from functools import lru_cache

from harness.brokers.envelope import Envelope
from harness.ports.broker import Endpoint

__all__ = ["Draw", "copy_numbers"]


class Draw:
    """Decides on each message once: a share of all, at most so many. Past the limit nothing is decided."""

    def __init__(self, share: float, limit: int | None, rng: random.Random, seen: set[str]) -> None:
        self.share, self.limit, self.rng, self.seen = share, limit, rng, seen

    def open_to(self, message_id: str) -> bool:
        """Is there something to decide?"""
        return bool(message_id) and message_id not in self.seen and (self.limit is None or self.limit > 0)

    def __call__(self, envelope: Envelope) -> bool:
        """Copy this one?"""
        if envelope.copy or not self.open_to(envelope.message_id):
            return False
        self.seen.add(envelope.message_id)
        if self.rng.random() >= self.share:
            return False
        if self.limit is not None:
            self.limit -= 1
        return True


def copy_numbers(endpoint: Endpoint) -> Iterator[int]:
    """From 1, per server, over all inspectors: (message id, copy number) is unique in a run."""
    return _numbers(endpoint.host, endpoint.port, endpoint.password)


@lru_cache(maxsize=64)
def _numbers(host: str, port: int, password: str) -> Iterator[int]:
    return itertools.count(1)
