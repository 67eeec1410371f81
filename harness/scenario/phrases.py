"""Validation of a tree by a pydantic model, with errors at their place in the file and in words for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.scenario.errors import Problems
from harness.scenario.names import listed, nearest
from harness.scenario.shapes import field_at, keys_of, models_at
from harness.scenario.tree import Fields, Items, Place, Scalar, Step, Tree, child, describe, find, place_of, plain

__all__ = ["validated"]

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of a sensible size",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "left out",
}
_LIMITS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


@dataclass(frozen=True, slots=True)
class _Fault:
    """One pydantic error, placed. ``rest``: what is not in the file (a missing key); ``branch``: (where a union begins, its member)."""

    kind: str
    message: str
    context: Mapping[str, Any]
    path: tuple[Step, ...]
    rest: str
    branch: tuple[tuple[Step, ...], str] | None


def validated(model: type[M], tree: Tree, problems: Problems, *, also: Iterable[str] = (), title: str = "") -> M | None:
    """The model, or None with the errors added. ``also``: further keys that are legal beside the model's own.

    ``title``: what the whole is called in errors about it ('the parameters of worker.kill').
    """
    try:
        return model.model_validate(plain(tree), by_alias=True, by_name=False)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        faults = [_placed(tree, detail["type"], detail["loc"], detail["msg"], detail.get("ctx") or {}) for detail in details]
    phrase = _Phrase(model, tree, tuple(also), title)
    for fault in _collapsed(faults):
        if not _echo(fault, tree):
            problems.add(*phrase(fault))
    return None


def _placed(tree: Tree, kind: str, loc: tuple[int | str, ...], message: str, context: Mapping[str, Any]) -> _Fault:
    """Follow pydantic's location as far as the file goes; what is in between names members of a union."""
    here, path, branch, rest = tree, [], None, ""
    for number, step in enumerate(loc):
        inner = child(here, step)
        if inner is not None:
            here = inner
            path.append(step)
        elif kind == "missing" and number == len(loc) - 1:
            rest = str(step)
        elif step != "[key]" and branch is None:
            branch = (tuple(path), str(step))
    return _Fault(kind, message, context, tuple(path), rest, branch)


def _collapsed(faults: Sequence[_Fault]) -> list[_Fault]:
    """Of a union, the errors of the member that was meant; one error where none can be."""
    told: list[_Fault] = []
    unions: dict[tuple[Step, ...], dict[str, list[_Fault]]] = {}
    for fault in faults:
        if fault.branch is None:
            told.append(fault)
        else:
            unions.setdefault(fault.branch[0], {}).setdefault(fault.branch[1], []).append(fault)
    for path, members in unions.items():
        meant: list[list[_Fault]] = [found for found in members.values() if not all(f.path == path and _is_type_error(f) for f in found)]
        if meant:
            told += sorted(meant, key=len)[0]
        else:
            words = dict.fromkeys(_EXPECTED[f.kind] for found in members.values() for f in found)
            told.append(_Fault("one_of", listed(words, "or"), {}, path, "", None))
    return told


def _is_type_error(fault: _Fault) -> bool:
    return fault.kind in _EXPECTED and (fault.kind.endswith("_type") or fault.kind == "none_required")


def _echo(fault: _Fault, tree: Tree) -> bool:
    """pydantic calls a list too short when its items are wrong: those are told already."""
    here = find(tree, *fault.path)
    return fault.kind == "too_short" and isinstance(here, Items) and len(here.items) >= fault.context.get("min_length", 0)


class _Phrase:
    """Words for one error."""

    def __init__(self, model: type[BaseModel], tree: Tree, also: tuple[str, ...], title: str) -> None:
        self.model = model
        self.tree = tree
        self.also = also
        self.title = title

    def __call__(self, fault: _Fault) -> tuple[Place, str, str]:
        """(place, what, hint)."""
        here = find(self.tree, *fault.path)
        assert here is not None
        place = place_of(self.tree, fault.path)
        name = self.name(fault.path)
        if fault.kind == "missing":
            return self.missing(fault, place)
        if fault.kind == "extra_forbidden":
            return self.unknown(fault)
        if fault.kind in _EXPECTED or fault.kind == "one_of":
            expected = _EXPECTED.get(fault.kind, fault.message)
            return place, f"{name} is {expected}, not {describe(here)}", _type_hint(expected, here)
        if fault.kind in ("literal_error", "enum"):
            expected = str(fault.context.get("expected", ""))
            named = re.findall(r"'([^']*)'", expected)
            choices = [word.lower() for word in ("True", "False") if re.search(rf"\b{word}\b", expected)] + named or [expected]
            near = nearest(str(here.value), choices) if isinstance(here, Scalar) else ""
            return place, f"{name} is {listed(choices, 'or')}, not {describe(here)}{near}", ""
        return place, *self.other(fault, name, here)

    def other(self, fault: _Fault, name: str, here: Tree) -> tuple[str, str]:
        field = field_at(self.model, fault.path)
        about = field.description if field is not None and field.description else ""
        if fault.kind in ("value_error", "assertion_error"):
            text = str(fault.context.get("error", "")) or fault.message.partition(", ")[2] or fault.message
            return (text if isinstance(here, Fields) or not fault.path else f"{name}: {text}"), ""
        if fault.kind in _LIMITS:
            words, key = _LIMITS[fault.kind]
            return f"{name} is {words} {_figure(fault.context.get(key))}, not {describe(here)}", about
        if fault.kind == "string_pattern_mismatch":
            return f"{name}: {describe(here)} does not have the right form", about
        if fault.kind in ("too_short", "string_too_short"):
            least = fault.context.get("min_length", 1)
            return f"{name} is empty" if least == 1 else f"{name} has at least {least} entries", about
        if fault.kind in ("too_long", "string_too_long"):
            return f"{name} has at most {fault.context.get('max_length')} entries", about
        words = re.sub(r"^Input should be", "this should be", fault.message)
        return f"{name}: {words[:1].lower()}{words[1:]}", about

    def missing(self, fault: _Fault, place: Place) -> tuple[Place, str, str]:
        """At the key of the mapping that lacks something; a list's item has none, and the file neither."""
        owner = fault.path[-1] if fault.path else None
        if isinstance(owner, str):
            place = place_of(self.tree, fault.path, key=True)
        inside = f" in {self.name(fault.path)}" if fault.path else f" in {self.title}" if self.title else ""
        field = field_at(self.model, (*fault.path, fault.rest))
        about = field.description if field is not None and field.description else ""
        return place, f"`{fault.rest}` is missing{inside}", about

    def unknown(self, fault: _Fault) -> tuple[Place, str, str]:
        key, outer = str(fault.path[-1]), fault.path[:-1]
        known = [*dict.fromkeys(keys_of(models_at(self.model, outer)))]
        if not outer:
            known += [name for name in self.also if name not in known]
        inside = f" in {self.name(outer)}" if outer else f" in {self.title}" if self.title else ""
        near = nearest(key, known) or self.elsewhere(key)
        hint = f"known: {listed(known)}" if known else "it takes none"
        return place_of(self.tree, fault.path, key=True), f"unknown key `{key}`{inside}{near}", hint

    def elsewhere(self, key: str) -> str:
        """A key that belongs one level further in."""
        for name, field in self.model.model_fields.items():
            outer = field.alias or name
            if key in keys_of(models_at(self.model, (outer,))):
                return f"; it belongs in `{outer}`"
        return ""

    def name(self, path: Sequence[Step]) -> str:
        """``load, item 2: `rate` ``: keys in quotes, items counted from 1."""
        if not path:
            return self.title or "this"
        last = path[-1]
        if isinstance(last, str):
            return f"`{last}`"
        return f"item {last + 1} of `{path[-2]}`" if len(path) > 1 else f"item {last + 1}"


def _type_hint(expected: str, here: Tree) -> str:
    if expected == "text" and isinstance(here, Scalar) and here.value is not None:
        return f'quote it: "{here.text}"'
    if "a list" in expected and isinstance(here, Scalar) and here.value is not None:
        return f"put it in brackets: [{here.text}]"
    if isinstance(here, Scalar) and here.value is None and not here.text:
        return "leave the key out for its default"
    return ""


def _figure(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
