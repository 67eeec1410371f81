"""`measures.csv` and `per-second.csv`: the figures of the run, for spreadsheets and notebooks. Empty where nothing was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.model.measures import PerSecond, Summary
from harness.model.result import RunResult
from harness.reporting.files import write_text

__all__ = ["MeasuresCsv", "PerSecondCsv", "measures_text", "per_second_text"]

_PARTS = ("metric", "task", "queue", "worker", "phase")


class MeasuresCsv:
    """A row per latency and part of the load, in seconds; an infinite one is empty. The histograms are in `result.json`."""

    name: ClassVar[str] = "measures-csv"
    filename: ClassVar[str] = "measures.csv"

    def write(self, result: RunResult, folder: Path) -> Path:
        """Write `measures.csv` into the run's folder."""
        return write_text(folder / self.filename, measures_text(result))


class PerSecondCsv:
    """A row per second of the run."""

    name: ClassVar[str] = "per-second-csv"
    filename: ClassVar[str] = "per-second.csv"

    def write(self, result: RunResult, folder: Path) -> Path:
        """Write `per-second.csv` into the run's folder."""
        return write_text(folder / self.filename, per_second_text(result))


def measures_text(result: RunResult) -> str:
    """The file."""
    figures = tuple(Summary.model_fields)
    rows = ([*(getattr(m, key) for key in _PARTS), *(getattr(m.summary, key) for key in figures)] for m in result.measures)
    return _text([*_PARTS, *figures], rows)


def per_second_text(result: RunResult) -> str:
    """The file. Columns of several lines have a colon in their names: `end_to_end_latency:p95`, `cpu:pay-1`."""
    columns = {"second": range(0)} if result.per_second is None else _columns(result.per_second)
    return _text(list(columns), zip(*columns.values(), strict=True))


def _columns(seconds: PerSecond) -> dict[str, Sequence[Any]]:
    columns: dict[str, Sequence[Any]] = {"second": range(seconds.start, seconds.start + len(seconds.due))}
    for field in PerSecond.model_fields:
        value = getattr(seconds, field)
        if field == "percentiles":
            columns |= {f"{metric}:{name}": values for metric, by in value.items() for name, values in by.items()}
        elif isinstance(value, dict):
            columns |= {f"{field}:{name}": values for name, values in value.items()}
        elif field != "start":
            columns[field] = value
    return columns


def _text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(name) for name in head])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """A name that a spreadsheet would run as a formula is made a text (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
