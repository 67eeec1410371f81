"""Reporters: they consume what a run emits and draw from its result alone; the run never knows them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.ports.reporter import Listener, Writer
from harness.reporting.console import Console
from harness.reporting.csv_files import MeasuresCsv, PerSecondCsv
from harness.reporting.html import HtmlWriter
from harness.reporting.json_file import JsonWriter
from harness.reporting.jsonlines import JsonLines
from harness.reporting.junit import JunitWriter
from harness.reporting.markdown import MarkdownWriter

__all__ = [
    "LISTENERS",
    "WRITERS",
    "Console",
    "HtmlWriter",
    "JsonLines",
    "JsonWriter",
    "JunitWriter",
    "MarkdownWriter",
    "MeasuresCsv",
    "PerSecondCsv",
]

#: Files of the report, in the order in which they are written.
WRITERS: Mapping[str, type[Writer]] = {w.name: w for w in (JsonWriter, JunitWriter, MarkdownWriter, MeasuresCsv, PerSecondCsv, HtmlWriter)}

#: Live reporters by name; made without arguments they write to standard output.
LISTENERS: Mapping[str, type[Listener]] = {"console": Console, "json": JsonLines}
