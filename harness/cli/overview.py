"""What `run` says over several runs: a row for each, and how many passed."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from harness.errors import HarnessError
from harness.model.result import RunResult
from harness.model.verdict import EXIT_CODES, Verdict
from harness.reporting.ink import WIDTH, Ink, Line
from harness.reporting.overview import HEAD, Row, closing_lines, exit_code_of, row_lines, row_of

__all__ = ["Overview"]

_WIDEST = 160


class Overview:
    """Rows of the runs that ended, and the exit code over all. A single run has a screen of its own and needs no table.

    ``total``: how many are to run; ``growing``: each row is written when its run ends, else all of them at the end.
    """

    def __init__(self, total: int, *, quiet: bool = False, growing: bool = False, out: TextIO | None = None) -> None:
        self._ink = Ink(sys.stdout if out is None else out)
        self._total, self._growing = total, growing
        self._silent = quiet or total < 2
        self._rows: list[Row] = []
        self._began = time.monotonic()
        self._width = min(_WIDEST, max(WIDTH, shutil.get_terminal_size().columns)) if self._ink.terminal else WIDTH

    def add(self, title: str, result: RunResult) -> None:
        """A run that has a result."""
        self._add(row_of(result, title))

    def add_error(self, title: str, error: HarnessError) -> None:
        """A run that ended before it had one."""
        self.add_ended(title, error.exit_code, str(error).partition("\n")[0])

    def add_ended(self, title: str, exit_code: int, why: str) -> None:
        """The same, where only the status is known: 2 means refused."""
        verdicts = {code: verdict for verdict, code in EXIT_CODES.items()}
        self._add(Row(title, None if exit_code == 2 else verdicts.get(exit_code, Verdict.ENVIRONMENT), None, why))

    def _add(self, row: Row) -> None:
        if self._growing:
            self._say([*([] if self._rows else [HEAD]), *row_lines(row, self._width)])
        self._rows.append(row)

    def close(self, exit_code: int | None = None) -> int:
        """Say the rest; the exit code over all. ``exit_code``: of whatever cut the runs short."""
        code = exit_code_of(self._rows) if exit_code is None else exit_code
        if self._rows and not self._growing:
            self._say([[], [], HEAD, *(line for row in self._rows for line in row_lines(row, self._width))])
        self._say([[], *closing_lines(self._rows, total=self._total, took=time.monotonic() - self._began, exit_code=code)])
        return code

    def _say(self, lines: Sequence[Line]) -> None:
        if not self._silent:
            self._ink.write(lines)
