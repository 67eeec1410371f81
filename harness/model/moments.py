"""Moments that messages carry."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

__all__ = ["moment"]


def moment(said: Any) -> float | None:
    """An ETA or expiry as Celery writes it (ISO 8601; without a zone it is UTC), or as a number; wall seconds. None for what is neither."""
    if isinstance(said, (int, float)):
        return float(said)
    try:
        found = datetime.fromisoformat(str(said).replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
