"""Can a line trigger ever strike? Only where the line is a task's to run: it exists, holds code, and runs later than the import."""

from __future__ import annotations

import dis
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from types import CodeType
from typing import Iterator, Tuple

from celery_harness_agent.lines import same_file

__all__ = ["Trouble", "trouble_with"]

#: What is wrong, and a hint ('' where there is none).
Trouble = Tuple[str, str]

_NEWLOCALS = 0x2  # inspect.CO_NEWLOCALS: a function's code, no class body's
_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>")  # run where they stand
#: Instructions of a function's first line that no line event tells of.
_PROLOGUE = frozenset({"RESUME", "MAKE_CELL", "COPY_FREE_VARS", "RETURN_GENERATOR", "GEN_START", "CACHE"})
_SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__", "venv"})
_MOST_FILES = 20_000


def trouble_with(file: str, line: int, root: str) -> Trouble | None:
    """Why no task will ever reach this line, or None where one may. ``root``: the project's folder, whose files come first."""
    found = _files(file, root)
    if found is None:
        return None  # too many to look through
    if not found:
        return f"there is no file {file} in the app or its project", _similar(file)
    troubles = [_trouble_in(path, file, line) for path in found]
    return None if None in troubles else troubles[0]


def _files(file: str, root: str) -> list[str] | None:
    """Those that a trigger means by this name: of loaded modules, on the path, or somewhere in the project."""
    loaded = {str(name) for module in list(sys.modules.values()) if (name := getattr(module, "__file__", None))}
    found = {name for name in loaded if same_file(name, file)}
    if not found:  # it may be imported only when a task runs
        below = _below(root, file)
        if below is None:
            return None
        found = {*below, *(str(path) for entry in sys.path if (path := Path(entry or ".") / file).is_file())}
    return sorted(found, key=lambda name: (not name.startswith(root), name))


def _below(root: str, file: str) -> list[str] | None:
    found, seen = [], 0
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        seen += len(names)
        if seen > _MOST_FILES:
            return None
        found += [path for name in names if same_file(path := os.path.join(folder, name), file)]  # noqa: PTH118
    return found


def _similar(file: str) -> str:
    names = {Path(str(name)).name for module in list(sys.modules.values()) if (name := getattr(module, "__file__", None))}
    near = get_close_matches(Path(file).name, sorted(names), n=1, cutoff=0.8)
    return f"did you mean {near[0]}?" if near else ""


def _trouble_in(path: str, file: str, line: int) -> Trouble | None:
    try:
        source = Path(path).read_bytes()
        code = compile(source, path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return None  # nothing is known of it
    length = len(source.splitlines())
    if line < 1 or line > length:
        return f"{file} has {length} line{'' if length == 1 else 's'}", _nearest(line, _lines(code))
    runs = _lines(code)
    if runs.get(line):
        return None
    what = "runs when it is imported, and in no task" if line in runs else "holds no code"
    return f"line {line} of {file} {what}", _nearest(line, runs)


def _nearest(line: int, lines: dict[int, bool]) -> str:
    inside = [number for number, later in lines.items() if later]
    if not inside:
        return "it has no function"
    before = max((n for n in inside if n < line), default=None)
    after = min((n for n in inside if n > line), default=None)
    near = " and ".join(str(n) for n in (before, after) if n is not None)
    return f"nearest: {near}"


def _lines(code: CodeType, inside: bool = False) -> dict[int, bool]:
    """Line -> is it in a function, so that it may run when the import is over."""
    found = dict.fromkeys(_own_lines(code), inside)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            function = bool(constant.co_flags & _NEWLOCALS) and constant.co_name not in _COMPREHENSIONS
            for line, later in _lines(constant, inside or function).items():
                found[line] = found.get(line, False) or later
    return found


def _own_lines(code: CodeType) -> Iterator[int]:
    starts = dict(dis.findlinestarts(code))
    line = None
    for instruction in dis.get_instructions(code):
        line = starts.get(instruction.offset, line)
        if line and instruction.opname not in _PROLOGUE:
            yield line
