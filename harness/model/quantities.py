"""Durations, rates, shares and sizes as people write them; every one carries its unit."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

__all__ = ["Duration", "Rate", "Share", "format_duration", "format_rate", "parse_duration", "parse_rate", "parse_share"]

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|m|h|d)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(ms|s|min|m|h|d)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_DURATION_PATTERN = r"^(\d+(\.\d+)?\s*(us|ms|s|min|m|h|d)\s*)+$"


def parse_duration(value: Any) -> float:
    """``'1m 30s'`` -> 90.0 seconds. A number without a unit is refused, but for 0."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    if not isinstance(value, str):
        raise ValueError(f"a duration needs a unit, such as {value}s or {value}ms" if _is_number(value) else "not a duration, such as 5s")
    text = value.strip()
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError(f"{value!r} is not a duration: write a number and us, ms, s, m, h or d, such as 5s or 1m 30s")
    return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def parse_rate(value: Any) -> float:
    """``'50/s'`` -> 50.0 per second; ``'600/m'`` -> 10.0."""
    found = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a rate: write a number per unit of time, such as 50/s or 600/m")
    rate = float(found[1]) / _SECONDS[found[2]]
    if rate <= 0:
        raise ValueError("a rate is above 0; leave the item out for no load")
    return rate


def parse_share(value: Any) -> float:
    """``'20%'`` -> 0.2. A bare number is refused: 20 and 0.2 look too much alike."""
    found = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a share: write it with a percent sign, such as 20%")
    share = float(found[1]) / 100
    if share > 1:
        raise ValueError("a share is at most 100%")
    return share


def format_duration(seconds: float) -> str:
    """For people: ``0.012`` -> ``'12 ms'``, ``6.25`` -> ``'6.2 s'``, ``101`` -> ``'1 min 41 s'``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_rate(rate: float) -> str:
    """For people: ``'0.5/s'``, ``'17.2/s'``, ``'1,240/s'``."""
    return f"{rate:,.0f}/s" if abs(rate) >= 100 else f"{rate:.3g}/s"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


Duration = Annotated[
    float, BeforeValidator(parse_duration), WithJsonSchema({"type": "string", "pattern": _DURATION_PATTERN, "examples": ["5s"]})
]
Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*/\s*(ms|s|min|m|h|d)$", "examples": ["50/s"]}),
]
Share = Annotated[
    float, BeforeValidator(parse_share), WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$", "examples": ["20%"]})
]
