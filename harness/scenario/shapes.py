"""What a pydantic model says about a place in a document: which models may stand there, and the field itself."""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

__all__ = ["field_at", "keys_of", "models_at"]


def models_at(model: type[BaseModel], path: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that the value at a path may be."""
    here: list[Any] = _alternatives(model)
    for step in path:
        here = [kind for outer in here for inner in _inside(outer, step) for kind in _alternatives(inner)]
    return [kind for kind in here if isinstance(kind, type) and issubclass(kind, BaseModel)]


def keys_of(models: Iterable[type[BaseModel]]) -> list[str]:
    """The keys that these models take, as they are written in a file."""
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def field_at(model: type[BaseModel], path: Sequence[str | int]) -> FieldInfo | None:
    """The field that the last step of a path names, if it names one."""
    if not path:
        return None
    for outer in models_at(model, path[:-1]):
        for name, field in outer.model_fields.items():
            if path[-1] == (field.alias or name):
                return field
    return None


def _inside(kind: Any, step: str | int) -> list[Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [field.annotation for name, field in kind.model_fields.items() if step == (field.alias or name)]
    if isinstance(origin, type) and issubclass(origin, dict):
        return [arguments[1]]
    if isinstance(step, int) and arguments:
        return [arguments[0] if arguments[-1] is Ellipsis or step >= len(arguments) else arguments[step]]
    return [arguments[1]] if isinstance(step, str) and len(arguments) == 2 else []


def _alternatives(kind: Any) -> list[Any]:
    """Without Annotated, with every member of a union, and with what a root model holds."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _alternatives(get_args(kind)[0])
    if origin is Union or origin is types.UnionType:
        return [inner for member in get_args(kind) for inner in _alternatives(member)]
    if isinstance(kind, type) and issubclass(kind, RootModel):
        return _alternatives(kind.model_fields["root"].annotation)
    return [kind]
