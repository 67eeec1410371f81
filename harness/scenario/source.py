"""Reads one YAML file into a tree that knows its positions; what YAML finds wrong is said in plain words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode
from ruamel.yaml.reader import ReaderError

from harness.errors import ScenarioError
from harness.scenario.names import nearest
from harness.scenario.tree import Entry, Fields, Items, Place, Scalar, Tree

__all__ = ["read_tree"]

_MAX_VALUES = 200_000
_PREFIX = "tag:yaml.org,2002:"
_PLAIN_TAGS = {"str", "int", "float", "bool", "null", "timestamp", "merge"}


def read_tree(path: Path) -> Fields:
    """The file's mapping. Raises ScenarioError at file:line:column (for a file that cannot be read: at the file)."""
    text = _text(path)
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        raise _explained(path, text, error) from None
    except ReaderError as error:
        line, column = _line_and_column(text, error.position)
        what = f"the character U+{error.character:04X} cannot stand in a YAML file"
        raise ScenarioError(what, where=f"{path}:{line}:{column}") from None
    except RecursionError:
        raise ScenarioError("lists and mappings are nested too deeply to be read", where=f"{path}:1:1") from None
    except YAMLError as error:
        raise ScenarioError(f"not YAML: {error}", where=f"{path}:1:1") from None
    if node is None:
        hint = "a scenario begins with `version: 1`; `celery-harness schema` has all keys"
        raise ScenarioError("the file is empty", where=f"{path}:1:1", hint=hint)
    tree = _Reader(str(path), yaml).tree(node)
    if not isinstance(tree, Fields):
        kind = "a list" if isinstance(tree, Items) else "text"
        raise ScenarioError(f"a scenario is a mapping (`version: 1`, `system:`, ...), not {kind}", where=str(tree.place))
    return tree


class _Reader:
    """Turns nodes into a tree; refuses what a scenario has no use for."""

    def __init__(self, file: str, yaml: Any) -> None:
        self.file = file
        self.yaml = yaml
        self.values = 0
        self.open: set[int] = set()

    def place(self, node: Any) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def tree(self, node: Any, written_at: Place | None = None) -> Tree:
        """``written_at``: where to look for a value of which nothing is written (its key)."""
        place = self.place(node)
        self.values += 1
        if self.values > _MAX_VALUES:
            raise ScenarioError(f"more than {_MAX_VALUES:,} values, aliases counted in full", where=str(place))
        if isinstance(node, ScalarNode):
            return self.scalar(node, written_at if written_at and node.value == "" and node.style is None else place)
        if id(node) in self.open:
            raise ScenarioError(f"the alias *{node.anchor} stands inside of what it names", where=str(place))
        self.open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                self.refuse_tag(node, "map")
                return self.fields(node, place)
            self.refuse_tag(node, "seq")
            return Items(tuple(self.tree(item) for item in node.value), place)
        finally:
            self.open.discard(id(node))

    def scalar(self, node: Any, place: Place) -> Scalar:
        tag = str(node.tag).removeprefix(_PREFIX)
        if tag not in _PLAIN_TAGS:
            self.refuse_tag(node, "str")
        if tag in ("int", "float", "bool"):
            try:
                return Scalar(getattr(self.yaml.constructor, f"construct_yaml_{tag}")(node), place, node.value)
            except (ValueError, KeyError):
                raise ScenarioError(f"`{node.value}` is not what its tag !!{tag} says", where=str(place)) from None
        return Scalar(None if tag == "null" else node.value, place, node.value)

    def refuse_tag(self, node: Any, expected: str) -> None:
        if node.tag != _PREFIX + expected:
            tag = str(node.tag).replace(_PREFIX, "!!")
            raise ScenarioError(f"the tag {tag} is not known; scenarios have no tags", where=str(self.place(node)))

    def fields(self, node: Any, place: Place) -> Fields:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            key_place = self.place(key_node)
            if isinstance(key_node, ScalarNode) and key_node.tag == _PREFIX + "merge":
                merged = {**self.merged(value_node), **merged}
                continue
            key = self.key(key_node, key_place)
            if key in entries:
                raise ScenarioError(f"`{key}` is written twice; the first is in line {entries[key].key.line}", where=str(key_place))
            entries[key] = Entry(key_place, self.tree(value_node, key_place))
        return Fields({**merged, **entries}, place)

    def key(self, node: Any, place: Place) -> str:
        if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
            hint = "a value that begins with { or [ is quoted"
            raise ScenarioError("a key is text, not a list or a mapping", where=str(place), hint=hint)
        value = self.scalar(node, place).value
        if not isinstance(value, str) and node.tag != _PREFIX + "timestamp":
            raise ScenarioError(f"a key is text: quote it, as in '{node.value}':", where=str(place))
        return str(node.value)

    def merged(self, node: Any) -> dict[str, Entry]:
        """The value of ``<<``: a mapping or a list of mappings, of which earlier ones win."""
        value = self.tree(node)
        sources = value.items if isinstance(value, Items) else (value,)
        entries: dict[str, Entry] = {}
        for source in reversed(sources):
            if not isinstance(source, Fields):
                raise ScenarioError("`<<` takes a mapping, such as *base", where=str(value.place))
            entries.update(source.entries)
        return entries


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ScenarioError("there is no such file", where=str(path), hint=_neighbour(path)) from None
    except IsADirectoryError:
        raise ScenarioError("this is a folder, not a scenario file", where=str(path)) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ScenarioError(f"the file cannot be read: {reason}", where=str(path)) from None
    except ValueError as error:  # a NUL in the name
        raise ScenarioError(f"the file cannot be read: {error}", where=repr(str(path))) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        line, column = _line_and_column(before, len(before))
        what = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise ScenarioError(what, where=f"{path}:{line}:{column}", hint="save the file as UTF-8") from None


def _neighbour(path: Path) -> str:
    try:
        names = [other.name for other in path.parent.iterdir() if other.suffix in (".yaml", ".yml")]
    except OSError:
        return ""
    return nearest(path.name, names).removeprefix("; ")


def _line_and_column(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1


_WORDS = (
    (
        "mapping values are not allowed here",
        "a second `: ` in one line, or a line that is indented differently from its neighbours",
        "quote text that holds `: `",
    ),
    ("expected <block end>", "this line does not belong to the list or mapping above it: its indentation differs", ""),
    ("could not find expected ':'", "a `:` and a space are missing after a key", ""),
    ("expected a single document", "the file holds several documents", "write one scenario per file, without a second `---`"),
    ("but found another document", "the file holds several documents", "write one scenario per file, without a second `---`"),
    ("found unexpected end of stream", "a quotation mark is not closed", ""),
    ("expected ',' or ']'", "a `]` or `,` is missing in the list", ""),
    ("expected ',' or '}'", "a `}` or `,` is missing in the mapping", 'in { } quote placeholders: "${{ db.url }}"'),
)


def _explained(path: Path, text: str, error: MarkedYAMLError) -> ScenarioError:
    problem = str(error.problem or error.context or error)
    mark = error.problem_mark or error.context_mark
    # An unclosed quotation mark is found at the end of the file: where it was opened helps more.
    if "unexpected end of stream" in problem and error.context_mark is not None:
        mark = error.context_mark
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else f"{path}:1:1"
    if "'\\t'" in problem:
        return ScenarioError("a tab: YAML is indented with spaces", where=where)
    if "cannot start any token" in problem:
        character = text.splitlines()[mark.line][mark.column] if mark is not None else ""
        return ScenarioError(f"a value cannot begin with {character}", where=where, hint="quote it")
    if "undefined alias" in problem:
        return ScenarioError(problem.replace("found undefined alias", "there is no anchor for the alias"), where=where)
    for part, what, hint in _WORDS:
        if part in problem:
            return ScenarioError(what, where=where, hint=hint)
    return ScenarioError(f"not YAML: {problem}", where=where)
