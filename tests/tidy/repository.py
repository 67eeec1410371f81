"""The files of the repository, as git would commit them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


_CACHES = {".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache"}
_NEVER = {".git", ".venv", "__pycache__", "build", "dist"} | _CACHES


@cache
def files(*suffixes: str) -> tuple[Path, ...]:
    """All files that are committed or would be, with one of the suffixes (none: all)."""
    found = _as_git_sees_them() if (ROOT / ".git").exists() else _as_they_lie()
    return tuple(sorted(f for f in found if f.is_file() and (not suffixes or f.suffix in suffixes)))


def _as_git_sees_them() -> set[Path]:
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return {ROOT / name for name in answer.stdout.decode().split("\0") if name}


def _as_they_lie() -> set[Path]:
    """For a source archive, which has no .git."""
    inside = {f for f in ROOT.rglob("*") if not _NEVER & set(f.relative_to(ROOT).parts)}
    return {f for f in inside if f.relative_to(ROOT).parts[0] != "reports" or f.name == "README.md" or "sample" in f.parts}


def relative(path: Path) -> str:
    """The path as a reader would write it."""
    return path.relative_to(ROOT).as_posix()


def section(text: str, title: str) -> str:
    """A Markdown file's part under the heading that names ``title`` in backticks, up to the next heading of its rank; '' if none."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if line.startswith("#") and f"`{title}`" in line:
            rest = lines[start + 1 :]
            end = next((n for n, later in enumerate(rest) if later.startswith("#") and _rank(later) <= _rank(line)), len(rest))
            return "\n".join(rest[:end])
    return ""


def _rank(heading: str) -> int:
    return len(heading) - len(heading.lstrip("#"))
