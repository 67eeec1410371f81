"""GitHub's workflow commands and job summary: annotations on the lines of a pull request, and the Markdown on the job's page.

Escapes as the runner undoes them (actions/toolkit, `command.ts`): ``%``, CR and LF in a message, also ``:`` and ``,`` in a property.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.reporting.gate_remarks import Level, Remark
from harness.reporting.words import plural, printable, shortened

__all__ = ["MOST_ANNOTATIONS", "SUMMARY_LIMIT", "annotation_lines", "append_summary", "command"]

#: GitHub keeps ten errors and ten warnings of a step, and drops the rest in silence.
MOST_ANNOTATIONS = 10

#: Bytes of one step's summary; GitHub shows nothing at all of a larger one.
SUMMARY_LIMIT = 1024 * 1024

_CUT = "**The rest is cut off: a job's summary holds 1 MiB. All of it is in `gate.md` of the report.**\n"
_LONGEST = 4000


def annotation_lines(remarks: Sequence[Remark]) -> list[str]:
    """A command per remark, at most ten of a level: where there are more, the tenth says how many."""
    lines: list[str] = []
    levels: tuple[Level, ...] = ("error", "warning")
    for level in levels:
        group = [r for r in remarks if r.level == level]
        shown = group if len(group) <= MOST_ANNOTATIONS else group[: MOST_ANNOTATIONS - 1]
        lines += [_annotation(remark) for remark in shown]
        if len(shown) < len(group):
            rest = plural(len(group) - len(shown), "more remark")
            lines.append(command(level, {"title": "celery-harness"}, f"{rest} like these: see the job's summary, or gate.md."))
    return lines


def _annotation(remark: Remark) -> str:
    place = {"file": remark.place.path, "line": str(remark.place.line)} if remark.place else {}
    text = "\n".join((*remark.details, remark.where))
    return command(remark.level, {**place, "title": shortened(f"{remark.rule}: {remark.headline}", 250)}, text)


def command(name: str, properties: dict[str, str], message: str) -> str:
    """``::error file=a.py,line=3,title=T::message``: one line, whatever the texts hold."""
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {given}::{_data(shortened(message, _LONGEST))}" if given else f"::{name}::{_data(shortened(message, _LONGEST))}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def append_summary(path: Path, blocks: Iterable[str]) -> None:
    """Append whole blocks of Markdown as long as they fit, and say so where one did not. OSError where the file cannot be written."""
    with path.open("ab") as file:
        room = SUMMARY_LIMIT - os.fstat(file.fileno()).st_size - len(_CUT.encode())
        for block in blocks:
            data = f"{block}\n\n".encode("utf-8", "replace")
            if len(data) > room:
                if room >= 0:
                    file.write(_CUT.encode())
                return
            file.write(data)
            room -= len(data)
