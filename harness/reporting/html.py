"""`report.html`: one offline file that draws itself from one JSON block.

No request can leave the page (`harness.reporting.offline`), and text of the run can never become markup: `<` is escaped in the JSON, and
the script writes text only by `textContent`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import ClassVar

from harness.model.result import RunResult
from harness.reporting.files import write_text
from harness.reporting.offline import offline_page, template_text
from harness.reporting.page import page_data
from harness.reporting.words import printable, state_word

__all__ = ["HtmlWriter", "embedded", "page_text"]

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
    from markupsafe import Markup  # imported here: only a run that writes the page needs it

    values = {
        "title": printable(f"{state_word(result)} · {result.scenario} · celery-harness"),
        "data": Markup(embedded(page_data(result))),
    }
    return offline_page("page.html", values, styles=_STYLES, script=_script())


def embedded(document: object) -> str:
    """JSON that cannot end its script element: ASCII only, and no `<`."""
    return json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")


@cache
def _script() -> str:
    return "'use strict';\n(() => {\n" + "".join(map(template_text, _SCRIPTS)) + "})();\n"
