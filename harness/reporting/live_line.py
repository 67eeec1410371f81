"""The one line of a terminal that moves while something runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from harness.reporting.ink import Ink, to_ascii
from harness.reporting.words import printable, shortened

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["LiveLine"]

_WIDTH = 76  # the sign that turns stands before it


class LiveLine:
    """Shown where colours are: never in what is piped."""

    def __init__(self, out: TextIO, ink: Ink) -> None:
        self._out, self._ink = out, ink
        self._status: Status | None = None

    def show(self, text: str) -> None:
        """Instead of what it showed before."""
        if not self._ink.colour:
            return
        from rich.text import Text  # imported here: a piped run never needs it

        text = shortened(printable(text), _WIDTH)
        shown = Text(text if self._ink.unicode else to_ascii(text))
        if self._status is not None:
            self._status.update(shown)
            return
        from rich.console import Console
        from rich.status import Status

        spinner = "dots" if self._ink.unicode else "line"
        self._status = Status(shown, console=Console(file=self._out, highlight=False), spinner=spinner)
        self._status.start()

    def stop(self) -> None:
        """Take it away; also twice."""
        if self._status is not None:
            self._status.stop()
            self._status = None
