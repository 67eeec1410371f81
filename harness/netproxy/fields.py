"""JSON as Toxiproxy reads it: names in any case, unknown ones ignored, null leaves a field alone, wrong types are refused."""

from __future__ import annotations

import json
from typing import Any

from harness.netproxy.refusals import bad_body

__all__ = ["Fields", "parse"]

_INT64 = 1 << 63


def parse(body: bytes) -> Any:
    """The first JSON value of ``body``; what comes after it is ignored, as there. Refusal 400 where there is none."""
    try:
        text = body.decode("utf-8", "replace").lstrip()
        if not text:
            raise bad_body("EOF")
        return json.JSONDecoder(parse_constant=_no_constant).raw_decode(text)[0]
    except (ValueError, RecursionError) as error:
        raise bad_body(str(error)) from None


def _no_constant(word: str) -> None:
    raise ValueError(f"invalid value {word}")


class Fields:
    """One JSON object, read by name and type. ``value`` null is an empty object."""

    def __init__(self, value: Any, what: str = "body") -> None:
        if value is not None and not isinstance(value, dict):
            raise bad_body(f"{what} must be an object, not {_kind(value)}")
        self._values = {name.lower(): content for name, content in (value or {}).items() if content is not None}

    def text(self, name: str, default: str) -> str:
        """A string."""
        found = self._values.get(name, default)
        if not isinstance(found, str):
            raise bad_body(f"{name} must be a string, not {_kind(found)}")
        return found

    def flag(self, name: str, default: bool) -> bool:
        """A boolean."""
        found = self._values.get(name, default)
        if not isinstance(found, bool):
            raise bad_body(f"{name} must be a boolean, not {_kind(found)}")
        return found

    def whole(self, name: str, default: int) -> int:
        """An integer of 64 bits."""
        found = self._values.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or not -_INT64 <= found < _INT64:
            raise bad_body(f"{name} must be an integer, not {_kind(found)}")
        return found

    def number(self, name: str, default: float) -> float:
        """Any number."""
        found = self._values.get(name, default)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise bad_body(f"{name} must be a number, not {_kind(found)}")
        return found

    def object(self, name: str) -> "Fields":
        """An object inside this one; empty where it is absent."""
        return Fields(self._values.get(name), name)


def _kind(value: Any) -> str:
    names = {bool: "boolean", dict: "object", list: "array", str: "string", type(None): "null"}
    return names.get(type(value), f"number {value}")
