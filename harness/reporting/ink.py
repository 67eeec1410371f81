"""Lines of styled text for a terminal: colour where it is wanted, plain else, ASCII where the encoding needs it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

from harness.reporting.words import printable

__all__ = ["WIDTH", "Ink", "Line", "Span", "to_ascii", "wrapped"]

WIDTH = 80

#: (style, text): style is '', dim, bold, pass, fail, failbold, open, data.
Span = tuple[str, str]
Line = list[Span]

_CODES = {"dim": "2", "bold": "1", "pass": "32", "fail": "31", "failbold": "1;31", "open": "33", "data": "36"}
_ASCII = str.maketrans(
    "✓✕●○─▶◀├┤┐┘┌└│┊✸→←↑↓…·×–—−’‘“”½①②③④⑤⑥⑦⑧⑨▁▂▃▄▅▆▇█",
    "+xoo-><||++++|:*><^v..x---''\"\"h123456789_.:-=+*#",
)


def to_ascii(text: str) -> str:
    """The same text in ASCII; what has no likeness becomes a question mark."""
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def wrapped(text: str, *, first: str = "", indent: int = 0, width: int = WIDTH) -> list[str]:
    """Lines of at most `width`: `first` before the text, later lines indented; long words (paths, commands) stay whole."""
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    ) or [first.rstrip()]


class Ink:
    """Writes lines to a stream. Every text passes here, so controls in it never reach the terminal."""

    def __init__(self, out: TextIO, *, env: Mapping[str, str] | None = None) -> None:
        env = os.environ if env is None else env
        self._out = out
        self.terminal = bool(getattr(out, "isatty", lambda: False)()) and env.get("TERM") != "dumb"
        self.colour = self.terminal and not env.get("NO_COLOR")
        self.unicode = (getattr(out, "encoding", None) or "ascii").lower().replace("-", "").replace("_", "").startswith("utf")

    def text(self, line: Sequence[Span]) -> str:
        """The line as it is written, without its end."""
        return "".join(self._span(style, text) for style, text in line).rstrip()

    def _span(self, style: str, text: str) -> str:
        text = printable(text).replace("\n", " ").replace("\t", " ")
        if not self.unicode:
            text = to_ascii(text)
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.colour and style and text.strip() else text

    def write(self, lines: Sequence[Sequence[Span]]) -> None:
        """Write lines and flush; a reader that went away (a closed pipe) is not our failure."""
        try:
            self._out.write("".join(self.text(line) + "\n" for line in lines))
            self._out.flush()
        except BrokenPipeError:
            return
