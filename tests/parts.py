"""Which part of many parameters `make test` tries, where `make exhaustive` tries the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["chosen", "parts"]


def parts(values: Iterable[Any], quick: Iterable[Any]) -> list[Any]:
    """For `parametrize`: all ``values``; those that are not ``quick`` are marked `exhaustive`. A tuple is one value of several names."""
    listed, wanted = list(values), list(quick)
    assert [value for value in wanted if value not in listed] == [], "what is quick is one of all"
    marks = [() if value in wanted else (pytest.mark.exhaustive,) for value in listed]
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=mark) for value, mark in zip(listed, marks, strict=True)]


def chosen(request: pytest.FixtureRequest, *names: str) -> list[Any]:
    """What the tests of this module that will run ask for, for a fixture that begins all of it at once.

    Of one parameter its values, of several their tuples; in the order of the tests, each once.
    """
    found: dict[Any, None] = {}
    for item in request.session.items:
        if item.path == request.path and isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            params = item.callspec.params
            if all(name in params for name in names):
                found[tuple(params[name] for name in names) if len(names) > 1 else params[names[0]]] = None
    return list(found)
