"""Rows and values of a world in words, as people read them: ``POST /charges, order 7``; ``status 'paid', cents 900``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["inline_text", "row_text", "value_text"]

_LONG, _PART = 160, 60
_DIGEST = re.compile(r"[0-9a-f]{40,128}")


def value_text(value: Any) -> str:
    """``status 'paid', cents 900`` of a row; ``not there`` of none."""
    if value is None:
        return "not there"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else f"{value:,}"
    if isinstance(value, Mapping):
        return _short(", ".join(f"{key} {_inner(item)}" for key, item in _telling(value).items()) or "empty", _LONG)
    return _short(" ".join(str(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)).split()), _LONG)


def inline_text(value: Any) -> str:
    """In a sentence: a row is held together by braces."""
    return f"{{{value_text(value)}}}" if isinstance(value, Mapping) and value else value_text(value)


def _telling(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Of a file, what a reader can make something of."""
    left_out = {"sha256"} if "sha256" in value and "text" in value else set()
    left_out |= {"kind"} if value.get("kind") == "file" and "size" in value else set()
    return {key: item for key, item in value.items() if key not in left_out}


def _inner(value: Any) -> str:
    if isinstance(value, str):
        return f"{value[:8]}…" if _DIGEST.fullmatch(value) else repr(_short(" ".join(value.split()), _PART))
    return "null" if value is None else _short(json.dumps(value, ensure_ascii=False, default=str), _PART)


def row_text(row: Any) -> str:
    """``number 7``, ``POST /charges, order 7``; '' of none."""
    if row is None:
        return ""
    if isinstance(row, Mapping) and "method" in row and "path" in row:
        rest = {key: value for key, value in row.items() if key not in ("method", "path", "body")}
        body = row.get("body")
        parts = [f"{row['method']} {row['path']}", value_text(body) if body not in (None, "", {}) else "", value_text(rest) if rest else ""]
        return ", ".join(filter(None, parts))
    if isinstance(row, Mapping) and list(row) == ["path"]:
        return str(row["path"])
    return value_text(row)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
