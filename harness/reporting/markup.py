"""Markdown in which texts stay texts: what a run, a gate or a user's code says is never markup, a link or the end of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.reporting.words import printable

__all__ = ["code_block", "code_span", "escaped", "table"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$@])")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; header and cells are Markdown already."""
    return "\n".join(["| " + " | ".join(header) + " |", "|" + " --- |" * len(header), *("| " + " | ".join(row) + " |" for row in rows)])


def escaped(text: str) -> str:
    """Text that stays text: nothing in it is markup, a mention, a link or the end of a table's cell."""
    flat = " ".join(printable(text).split())
    return _SPECIAL.sub(r"\\\1", flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def code_span(text: str) -> str:
    """A code span whose fence is longer than any run of backticks inside; a pipe would end a table's cell even there."""
    flat = " ".join(printable(text).split()).replace("|", "¦")
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def code_block(text: str) -> str:
    """A fenced block whose fence is longer than any run of backticks inside."""
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence}text\n{printable(text)}\n{fence}"
