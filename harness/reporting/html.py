"""`report.html`: one offline file that draws itself from one JSON block.

A content security policy allows the one style and the one script by hash and nothing else: no request can leave the
page, and text of the run can never become markup (`<` is escaped in the JSON, and the script writes text only by `textContent`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import ClassVar

from harness.model.result import RunResult
from harness.reporting.files import write_text
from harness.reporting.page import page_data
from harness.reporting.words import printable, state_word

__all__ = ["HtmlWriter", "page_text"]

_STYLES = ("base.css", "verdict.css", "story.css", "run.css", "checks.css", "tasks.css", "narrow.css")
_SCRIPTS = (
    "dom.js",
    "verdict.js",
    "story.js",
    "lanes.js",
    "uses.js",
    "charts.js",
    "draw.js",
    "cursor.js",
    "measures.js",
    "checks.js",
    "tasks.js",
    "list.js",
    "environment.js",
    "life.js",
)


class HtmlWriter:
    """The report for people."""

    name: ClassVar[str] = "html"
    filename: ClassVar[str] = "report.html"

    def write(self, result: RunResult, folder: Path) -> Path:
        """Write `report.html` into the run's folder."""
        return write_text(folder / self.filename, page_text(result))


def page_text(result: RunResult) -> str:
    """The whole page."""
    import jinja2  # imported here: only a run that writes the page needs them
    from markupsafe import Markup

    style, script = _style(), _script()
    engine = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return engine.from_string(_read("page.html")).render(
        title=printable(f"{state_word(result)} · {result.scenario} · celery-harness"),
        policy=(f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"),
        style=Markup(style),
        script=Markup(script),
        data=Markup(_embedded(page_data(result))),
    )


def _embedded(document: object) -> str:
    """JSON that cannot end its script element: ASCII only, and no `<`."""
    return json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _read(name: str) -> str:
    return resources.files("harness.reporting").joinpath("template", name).read_text(encoding="utf-8")


@cache
def _style() -> str:
    return "\n" + "".join(_read(name) for name in _STYLES)


@cache
def _script() -> str:
    return "'use strict';\n(() => {\n" + "".join(_read(name) for name in _SCRIPTS) + "})();\n"
