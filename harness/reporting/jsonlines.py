"""`--json`: one JSON object per event on standard output, the last one the whole result."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar, TextIO

from harness.model.result import RunResult
from harness.ports.reporter import Progress
from harness.reporting.json_file import result_document

__all__ = ["JsonLines"]


class JsonLines:
    """Listener for programs. Every line has ``event``: begun, progress or result."""

    name: ClassVar[str] = "json"

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out

    def begun(self, title: str, environment: str) -> None:
        """``{"event": "begun", "title": …, "environment": …}``."""
        self._emit({"event": "begun", "title": title, "environment": environment})

    def progress(self, event: Progress) -> None:
        """``{"event": "progress", "phase": …, "text": …}`` and what else is known."""
        known = {k: v for k, v in event.model_dump(mode="json").items() if v is not None and v != {}}
        self._emit({"event": "progress", **known})

    def finished(self, result: RunResult, folder: Path) -> None:
        """``{"event": "result", "folder": …, "result": {…}}``: the same document as `result.json`."""
        self._emit({"event": "result", "folder": str(folder), "result": result_document(result)})

    def _emit(self, document: dict[str, Any]) -> None:
        self._out.write(json.dumps(document, separators=(",", ":")) + "\n")
        self._out.flush()
