"""The world of the quotes samples: cars to ask quotes for."""

from __future__ import annotations

import random


def cars(rng: random.Random) -> tuple[tuple[str], dict[str, object]]:
    """Arguments of one `quotes.ask`: a car's number plate."""
    return (f"B-{rng.choice('ABCDEFGH')}{rng.choice('KLMNOP')}-{rng.randrange(1, 10_000)}",), {}
