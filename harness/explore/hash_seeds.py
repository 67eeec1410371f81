"""By which seed a process of the user's hashes texts, where nobody has chosen one."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["seeded"]

_SEED = "PYTHONHASHSEED"
#: Tells the agent (own_hash.py) that nobody has: what the user's own code asks `hash` for is another number in each process then.
_VARIES = "CELERY_HARNESS_HASH_VARIES"


def seeded(environment: Mapping[str, str], seed: str) -> dict[str, str]:
    """The same with this seed, which gives sets of texts their order; as it is where the user's has one."""
    return dict(environment) if _SEED in environment else {_SEED: seed, _VARIES: "1", **environment}
