"""Strategies for a task's arguments from its type hints; and what a message in JSON can carry."""

from __future__ import annotations

import inspect
import math
import typing
from typing import Any, Mapping

__all__ = ["Unfit", "finite", "from_hints", "plain"]


class Unfit(Exception):
    """Arguments cannot be drawn so. ``hint``: what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


def from_hints(task: Any, given: Mapping[str, Any], where: str) -> tuple[list[Any], dict[str, Any]]:
    """Strategies for the parameters that must be given and are not: those by position alone, and by name. Unfit.

    ``given``: by name; ``where``: how to name a strategy instead, for hints.
    """
    run = task.run
    try:
        hints = typing.get_type_hints(inspect.unwrap(getattr(run, "__func__", run)), **_EXTRAS)
    except (NameError, TypeError) as exc:
        raise Unfit(f"the type hints of {task.name} cannot be read: {exc}", where) from exc
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(run).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.name in given:
            continue
        if parameter.default is not parameter.empty:
            continue
        if parameter.name not in hints:
            raise Unfit(f"parameter `{parameter.name}` of {task.name} has no type hint", f"give it one, or {where}")
        strategy = _from_type(hints[parameter.name])
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(strategy)
        else:
            named[parameter.name] = strategy
    return positional, named


_EXTRAS: dict[str, Any] = {"include_extras": True} if hasattr(typing, "Annotated") else {}


def _from_type(hint: Any) -> Any:
    """As `st.from_type`, but at any depth JSON knows no infinity, and a model's own rules may refuse what its types allow."""
    from hypothesis import reject
    from hypothesis import strategies as st

    if hint is float:
        return finite()
    model = isinstance(hint, type) and hasattr(hint, "model_validate")
    strategy: Any = st.builds(hint) if model else st.from_type(hint)

    def valid(draw: Any) -> Any:
        try:
            value = draw(strategy)
        except ValueError as exc:  # pydantic.ValidationError is one
            if not type(exc).__module__.startswith("pydantic"):
                raise
            return reject()
        return value if _known(value) else reject()

    return st.composite(valid)()


def _known(value: Any) -> bool:
    """Is every number in it one that JSON knows?"""
    if isinstance(value, float):
        return math.isfinite(value)
    if hasattr(value, "model_dump"):
        return _known(dict(value))
    if isinstance(value, Mapping):
        return all(map(_known, value)) and all(map(_known, value.values()))
    return all(map(_known, value)) if isinstance(value, (list, tuple, set, frozenset)) else True


def finite() -> Any:
    """Numbers that JSON knows."""
    from hypothesis import strategies as st

    return st.floats(allow_nan=False, allow_infinity=False)


def plain(value: Any, of: str) -> Any:
    """The same with nothing in it but what JSON knows. Unfit. ``of``: whose value it is."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(inner, of) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, of) for inner in value]
    raise Unfit(
        f"{of} was drawn as {value!r:.200}, a {type(value).__name__}, which a message in JSON cannot carry",
        "draw text, numbers, booleans, lists and mappings, such as by .map(str)",
    )
