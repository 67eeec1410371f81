"""A row taken apart: scalars by their paths, also inside JSON that a store keeps as text, and inside of what is encoded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.explore.encoded import decoded
from harness.model.masks import template
from harness.model.world import Collection, Row

__all__ = ["Path", "inner", "kind_of", "leaves"]

#: Column, then keys and positions; "$" steps into JSON inside a text, or into what it encodes.
Path = tuple[Any, ...]

_LONGEST = 65_536
_FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"separators": (",", ":")},
    {"ensure_ascii": False},
    {"separators": (",", ":"), "ensure_ascii": False},
)


def inner(text: str) -> tuple[int | str, Any] | None:
    """(how it is written, what it says) of a text that is JSON or that encodes something (see `decoded`); None of any other."""
    return _inner_json(text) or decoded(text)


def _inner_json(text: str) -> tuple[int, Any] | None:
    """(how it is written, what it says) of a text that is a JSON object or list; None where writing it again would give another text."""
    if text[:1] not in ("{", "[") or len(text) > _LONGEST:
        return None
    try:
        found = json.loads(text)
        for number, form in enumerate(_FORMS):
            if json.dumps(found, **form) == text:
                return number, found
    except (ValueError, RecursionError):
        pass
    return None


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every scalar with its path. An empty list or mapping is a leaf."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, (list, tuple)) and value:
        for position, item in enumerate(value):
            yield from leaves(item, (*path, position))
    elif isinstance(value, str) and (inside := inner(value)) is not None:
        yield from leaves(inside[1], (*path, "$"))
    else:
        yield path, value


def kind_of(collection: Collection, row: Row) -> str:
    """Rows of which the same may vary: by what their key looks like without its numbers, by method and path of a request, by the task."""
    if len(collection.key) == 1:
        return template(row.get(collection.key[0]))
    if isinstance(row.get("method"), str):
        return f"{row['method']} {template(row.get('path'))}"
    return str(row.get("task") or "")
