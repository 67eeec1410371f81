"""Blurring of values that vary by themselves, no more than needed: known formats, then digits, then all but the type."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["DIGITS", "DROP", "FORMATS", "RAW", "SUPER_JOURNAL", "TYPE", "masked", "number", "priorities_told", "template", "token"]

RAW, FORMATS, DIGITS, TYPE, DROP = range(5)

#: What SQLite adds to the name of a database for a transaction over several of them: drawn at random (vdbeCommit in its vdbeaux.c).
SUPER_JOURNAL = re.compile(r"-mj[0-9A-F]{6}9[0-9A-F]{2}(?![0-9A-Za-z_-])")

#: How kombu names the list of a queue's messages of one priority (redis.py, `Channel._q_for_pri`).
_PRIORITY = re.compile("\x06\x16(\\d+)")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_HEX = re.compile(r"\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b")
_LONG = re.compile(r"\d{9,}(?:\.\d+)?")
_DIGITS = re.compile(r"\d+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,17})?")


def masked(value: Any, level: int) -> Any:
    """The value as far as it is compared at this level. None stays None up to TYPE: set or not set is always told apart."""
    if level == RAW or value is None:
        return value
    if level == TYPE:
        return "<text>" if isinstance(value, str) else "<number>" if isinstance(value, (int, float)) else value
    if not isinstance(value, str):
        return value
    text = _LONG.sub("<number>", _HEX.sub("<hex>", _TIME.sub("<time>", _UUID.sub("<uuid>", value))))
    return text if level == FORMATS else _DIGITS.sub("<digits>", text)


def template(value: Any) -> str:
    """What kind of key this is: 'order:7' and 'order:8' are alike. Numbers are all alike."""
    return str(masked(value, DIGITS)) if isinstance(value, str) else ""


def token(value: Any) -> tuple[str, int, str] | None:
    """(before, number, after) where a value holds exactly one number, as ids leak into keys and bodies; else None."""
    if isinstance(value, int):
        return "", value, ""
    if isinstance(value, str):
        found = list(_DIGITS.finditer(value))
        if len(found) == 1 and len(found[0][0]) < 19:
            m = found[0]
            return value[: m.start()], int(m[0]), value[m.end() :]
    return None


def number(value: Any) -> float | int | None:
    """The number that a value is, also where a store keeps numbers as text (Redis); None for anything else."""
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return None


def priorities_told(text: str) -> str:
    """Names of such lists with the priority in words, in place of what separates it."""
    return _PRIORITY.sub(r"[priority=\1]", text)
