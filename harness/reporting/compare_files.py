"""The files of a comparison: `compare.json` for programs, `compare.html` for people."""

from __future__ import annotations

from pathlib import Path

from harness.model.comparing import Comparison
from harness.reporting.compare_page import comparison_page
from harness.reporting.files import write_text

__all__ = ["write_comparison"]


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Both, into the folder; their paths. Raises `EnvironmentFault` where they cannot be written."""
    return [
        write_text(folder / "compare.json", comparison.model_dump_json(indent=1) + "\n"),
        write_text(folder / "compare.html", comparison_page(comparison)),
    ]
