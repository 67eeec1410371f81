"""Traces: recorded loads that a scenario plays again. Read when the file is loaded; every bad line is named.

A CSV file has a header with a column `at` (seconds from the trace's beginning) and may have `task`, `args` and `kwargs` (JSON); where a
cell is empty the load item's own holds. A run's result.json gives the due times of the calls that its load made.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.model.result import RunResult
from harness.model.scenario import LoadItem, Scenario
from harness.model.trace import OwnCall, Trace
from harness.scenario.errors import Problems
from harness.scenario.extent import MAX_CALLS
from harness.scenario.names import nearest
from harness.scenario.tree import Entry, Fields, Items, Place, Scalar, Tree, find, place_of

__all__ = ["placed_traces", "played"]

_COLUMNS = ("at", "task", "args", "kwargs")
#: A trace whose first call comes later than that counts from another beginning, such as 1970.
_LONGEST = 366 * 86_400.0
#: A file that is no trace at all is wrong in every line.
_MOST_TOLD = 20
#: The kind of a call that says nothing of itself.
_NOTHING = (None, None, None)


def placed_traces(tree: Fields) -> Fields:
    """With every `trace` of the load as it is found from the working folder: beside the scenario's file, or else just there.

    So the scenario means the same wherever it is saved again.
    """
    load = tree.get("load")
    if not isinstance(load, Items):
        return tree
    items = Items(tuple(_placed(item) for item in load.items), load.place)
    return Fields({**tree.entries, "load": Entry(tree.entries["load"].key, items)}, tree.place)


def _placed(item: Tree) -> Tree:
    written = find(item, "trace")
    if not isinstance(item, Fields) or not isinstance(written, Scalar) or not isinstance(written.value, str):
        return item
    beside = Path(written.place.file).parent / written.value
    path = beside if beside.is_file() else Path(written.value)
    shown = os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path.resolve())
    return Fields({**item.entries, "trace": Entry(item.entries["trace"].key, Scalar(shown, written.place, written.text))}, item.place)


def played(scenario: Scenario, tree: Fields, problems: Problems) -> Scenario | None:
    """The scenario with its traces read; None with the errors added."""
    items: list[LoadItem] = []
    for number, item in enumerate(scenario.load):
        if item.arrival != "trace":
            items.append(item)
            continue
        place = place_of(tree, ("load", number, "trace"))
        trace = _read(Path(item.trace or ""), place, problems)
        if trace is None:
            return None
        if trace.own and item.send is None:
            problems.add(place, "the trace names tasks or arguments of its own: it plays single calls, so write `send`")
            return None
        items.append(item.playing(trace))
    return scenario.model_copy(update={"load": tuple(items)})


def _read(path: Path, place: Place, problems: Problems) -> Trace | None:
    """None with the errors added."""
    try:
        if path.suffix == ".json":
            trace = _from_result(path, place, problems)
        else:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                trace = _from_csv(stream, str(path), place, problems)
    except OSError as exc:
        what = f"the trace {path} cannot be read: {exc.strerror or exc}"
        problems.add(place, what, "its path counts from this file, or else from the working folder")
        return None
    except UnicodeDecodeError as exc:
        problems.add(place, f"the trace {path} is not UTF-8 text: {exc.reason} at byte {exc.start}")
        return None
    if trace is not None and not trace.at:
        problems.add(place, f"the trace {path} has no calls")
        return None
    return trace


def _from_result(path: Path, place: Place, problems: Problems) -> Trace | None:
    """One entry per call: of the tasks that it caused, the first one's."""
    try:
        result = RunResult.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        problems.add(place, f"{path} is not a run's result.json: {f'{where}: ' if where else ''}{first['msg']}")
        return None
    due: dict[int, float] = {}
    if result.tasks is not None:
        for call, moment in zip(result.tasks.call, result.tasks.due, strict=True):
            if call:
                due[call] = min(moment, due.get(call, math.inf))
    return Trace(tuple(sorted(max(0.0, moment) for moment in due.values())))


@dataclass
class _Rows:
    """What has been read so far."""

    file: str
    problems: Problems
    at: list[float] = field(default_factory=list)
    own: list[OwnCall] = field(default_factory=list)
    kinds: dict[Any, tuple[str, OwnCall]] = field(default_factory=dict)
    bad: int = 0

    def add(self, line: int, at: float, own: OwnCall) -> None:
        task, args, kwargs = own
        self.at.append(at)
        self.own.append(own)
        kind = (task, None if args is None else len(args), None if kwargs is None else tuple(sorted(kwargs)))
        self.kinds.setdefault(kind, (f"{self.file}:{line}", own))

    def wrong(self, line: int, what: str) -> None:
        self.bad += 1
        if self.bad <= _MOST_TOLD:
            self.problems.add(Place(self.file, line, 1), what)

    def trace(self) -> Trace | None:
        """In order of time; rows of one moment stay in the order of the file."""
        if self.bad:
            return None
        order = sorted(range(len(self.at)), key=self.at.__getitem__)
        at = tuple(self.at[n] for n in order)
        if set(self.kinds) <= {_NOTHING}:
            return Trace(at)
        return Trace(at, tuple(self.own[n] for n in order), tuple(self.kinds.values()))


def _from_csv(stream: Any, file: str, place: Place, problems: Problems) -> Trace | None:
    rows = _Rows(file, problems)
    reader = csv.reader(stream, strict=True)
    try:
        columns = _header(next(reader, []), rows)
        for line, cells in _numbered(reader) if columns else ():
            if len(rows.at) >= MAX_CALLS:
                rows.wrong(line, f"a trace has at most {MAX_CALLS:,} calls")
                break
            _take(cells, line, columns, rows)
    except csv.Error as exc:
        rows.wrong(reader.line_num, f"this is no CSV: {exc}")
    if rows.bad > _MOST_TOLD:
        problems.add(place, f"the trace {file} has {rows.bad:,} bad lines; the first {_MOST_TOLD} are told")
    return rows.trace()


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not empty, with the line on which it begins."""
    before = reader.line_num
    for cells in reader:
        if cells:
            yield before + 1, cells
        before = reader.line_num


def _header(names: list[str], rows: _Rows) -> dict[str, int]:
    """Column -> index; {} with the errors added. Columns of other names are left alone, unless they look like ours."""
    columns: dict[str, int] = {}
    for index, name in enumerate(name.strip() for name in names):
        if name in columns:
            rows.wrong(1, f"the column `{name}` is there twice")
        elif name in _COLUMNS:
            columns[name] = index
        elif near := nearest(name, _COLUMNS):
            rows.wrong(1, f"there is no column `{name}`{near}")
    if "at" not in columns:
        rows.wrong(1, "the first line names the columns, and `at` (seconds from the beginning) is not among them")
    return {} if rows.bad else columns


def _take(cells: list[str], line: int, columns: Mapping[str, int], rows: _Rows) -> None:
    """One call; or what is wrong with its line."""
    try:
        if len(cells) <= max(columns.values()):
            raise ValueError(f"the line has {len(cells)} cells, the header names more")
        at = _seconds(cells[columns["at"]])
        own = (
            _task(cells, columns),
            _json(cells, columns, "args", list, "a list"),
            _json(cells, columns, "kwargs", dict, "an object"),
        )
    except ValueError as exc:
        rows.wrong(line, str(exc))
        return
    rows.add(line, at, own)


def _seconds(text: str) -> float:
    try:
        at = float(text)
    except ValueError:
        raise ValueError(f"`at` is a number of seconds, not {text!r:.60}") from None
    if not math.isfinite(at) or at < 0:
        raise ValueError(f"`at` counts seconds from the beginning, so it is not {text.strip()}")
    if at > _LONGEST:
        raise ValueError(f"`at` is {text.strip()}, more than a year: it counts from the trace's beginning, not from 1970")
    return at


def _task(cells: list[str], columns: Mapping[str, int]) -> str | None:
    name = cells[columns["task"]].strip() if "task" in columns else ""
    if any(letter.isspace() or letter in "*?[]" for letter in name):
        raise ValueError(f"`task` takes the full name of one task, not {name!r:.60}")
    return name or None


def _json(cells: list[str], columns: Mapping[str, int], name: str, kind: type, words: str) -> Any:
    text = cells[columns[name]] if name in columns else ""
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"`{name}` is not JSON: {exc}") from None
    if not isinstance(value, kind):
        raise ValueError(f"`{name}` is {words} in JSON, not {text!r:.60}")
    return value
