"""What `certify` says: a line per task, and below it why. Or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from harness.model.certificate import Subject
from harness.model.quantities import format_duration
from harness.reporting.exploration_text import call_text
from harness.reporting.ink import Ink, Line, wrapped
from harness.reporting.live_line import LiveLine
from harness.reporting.words import plural, printable

if TYPE_CHECKING:
    from harness.cli.certify_check import Checked
    from harness.cli.certify_run import Certified

__all__ = ["CertifyConsole", "CertifyJson", "Teller", "call_of"]

_SIGNS = {"certified": ("✓", "pass"), "fails": ("✕", "failbold"), "inconclusive": ("?", "open")}
_DONE = {
    "written": "written",
    "renewed": "renewed",
    "joined": "this environment added",
    "unchanged": "unchanged",
    "removed": "removed, since it does not hold",
    "refused": "not written",
    "none": "none",
}
_STATES = {"holds": ("✓", "pass"), "missing": ("✕", "failbold"), "stale": ("✕", "failbold")}
_COLUMN = 17


class Teller(Protocol):
    """Who is told."""

    def begun(self, subject: Subject) -> None:
        """It is explored now."""

    def live(self, text: str) -> None:
        """What is going on this moment."""

    def certified(self, done: Certified) -> None:
        """What became of one."""

    def checked(self, checked: Checked) -> None:
        """Whether one holds."""

    def summed_up(self, found: Sequence[Checked]) -> None:
        """All have been told; there is one at least."""


class CertifyJson:
    """For programs: one object per line."""

    def begun(self, subject: Subject) -> None:
        """Nothing: it is told when it is over."""

    def live(self, text: str) -> None:
        """Nothing."""

    def certified(self, done: Certified) -> None:
        """``{"task", "args", "kwargs", "drawn", "verdict", "headline", "certificate", "done", "why"}``."""
        found = done.found
        _emit(
            task=found.task,
            args=list(done.subject.args),
            kwargs=dict(done.subject.kwargs),
            drawn=done.subject.drawn,
            verdict=found.verdict,
            headline=found.headline,
            certificate=str(done.path),
            done=done.done,
            why=list(done.why),
            exit_code=done.exit_code,
        )

    def checked(self, checked: Checked) -> None:
        """``{"certificate", "state", "why", "subject", "where", "renew", "note"}``."""
        _emit(
            certificate=str(checked.path),
            state=checked.state,
            why=list(checked.why),
            subject=checked.subject.model_dump(mode="json") if checked.subject else None,
            where=checked.where,
            renew=checked.remedy,
            note=checked.note,
        )

    def summed_up(self, found: Sequence[Checked]) -> None:
        """Nothing: programs count by themselves."""


def _emit(**document: Any) -> None:
    click.echo(json.dumps(document, default=str))


class CertifyConsole:
    """For people."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ink = Ink(sys.stdout)
        self._live = LiveLine(sys.stdout, self._ink)
        self._call = ""

    def begun(self, subject: Subject) -> None:
        """Its name goes before what is going on."""
        self._call = call_of(subject)
        self.live("")

    def live(self, text: str) -> None:
        """One line that moves, on a terminal only."""
        self._live.show("  ".join(filter(None, [self._call, text])))

    def certified(self, done: Certified) -> None:
        """``✓ certified      payments.settle(7)   45 worlds   7.4 s``, then the file, or why there is none."""
        found = done.found
        sign, style = _SIGNS[found.verdict]
        worlds = f"{plural(found.coverage.worlds, 'world')}   " if found.verdict == "certified" else ""
        lines = [_head(sign, style, found.verdict, f"{call_of(done.subject)}   {worlds}", found.seconds)]
        if found.verdict != "certified":
            lines += _below(found.headline)
        certificate = f"{_DONE[done.done]}: {self._shown(done.path)}" if done.done != "none" else "no certificate"
        lines += _below(f"{certificate}{f' ({_listed(done.why)})' if done.why else ''}")
        lines += _command("Story" if found.verdict == "fails" else "Look", done.remedy)
        self._write(lines)

    def checked(self, checked: Checked) -> None:
        """``✕ stale          payments.settle(7)``, why, and the command that helps."""
        sign, style = _STATES.get(checked.state, ("✕", "failbold"))
        name = call_of(checked.subject) if checked.subject else self._shown(checked.path)
        lines = [_head(sign, style, checked.state, name)]
        if checked.state != "holds":
            where = f" ({checked.where})" if checked.where else ""
            lines += _below(f"{_listed(checked.why) or self._shown(checked.path)}{where}")
            lines += _command("Renew" if not checked.remedy.startswith("rm ") else "Remove", checked.remedy)
        elif checked.note:
            lines += _below(checked.note, "dim")
        self._write(lines)

    def summed_up(self, found: Sequence[Checked]) -> None:
        """One line."""
        bad = sum(one.state != "holds" for one in found)
        told = f"{bad} of {plural(len(found), 'certificate')} {'is' if bad == 1 else 'are'} missing, stale or astray" if bad else ""
        whole = f"all {len(found)} certificates hold" if len(found) > 1 else "the certificate holds"
        self._write([[], [("failbold" if bad else "pass", f"{'✕' if bad else '✓'} {told or whole}"), ("", f"   exit {1 if bad else 0}")]])

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self._root)) if path.is_relative_to(self._root) else str(path)

    def _write(self, lines: Sequence[Line]) -> None:
        self._live.stop()
        self._ink.write(lines)


def call_of(subject: Subject) -> str:
    """``orders.charge(7, cents=900)``; ``orders.charge(drawn from types)``."""
    return f"{subject.task}(drawn from {subject.drawn})" if subject.drawn else call_text(subject.task, subject.args, subject.kwargs)


def _head(sign: str, style: str, word: str, text: str, seconds: float | None = None) -> Line:
    took = format_duration(seconds) if seconds is not None else ""
    return [(style, f"{sign} {word}".ljust(_COLUMN)), ("", f"{printable(text)}{took}")]


def _below(text: str, style: str = "") -> list[Line]:
    return [[(style, line)] for line in wrapped(printable(text), first=" " * _COLUMN, indent=_COLUMN)]


def _command(word: str, command: str) -> list[Line]:
    return [[("bold", f"{'':<{_COLUMN}}{word}  "), ("data", command)]] if command else []


def _listed(why: Sequence[str], most: int = 6) -> str:
    return ", ".join(why[:most]) + (f" and {len(why) - most} more" if len(why) > most else "")
