"""The files of a gate, and what its CI server wants besides: GitHub's annotations and job summary, GitLab's Code Quality."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from harness.errors import EnvironmentFault
from harness.model.gate import GateResult
from harness.reporting.annotations import annotation_lines, append_summary, command
from harness.reporting.code_quality import code_quality_text
from harness.reporting.files import write_text
from harness.reporting.gate_junit import gate_junit_text
from harness.reporting.gate_markdown import gate_blocks, gate_markdown_text
from harness.reporting.gate_places import Places
from harness.reporting.gate_remarks import Remark, remarks
from harness.reporting.sarif import sarif_text

__all__ = ["remove_gate_reports", "write_gate_reports"]

GATE_JSON, JUNIT, SARIF, MARKDOWN, CODE_QUALITY = "gate.json", "junit.xml", "gate.sarif", "gate.md", "gl-code-quality.json"


def remove_gate_reports(folder: Path) -> None:
    """Before a gate begins: a CI server must not take an older gate's pass for one that could not run. EnvironmentFault where it stays."""
    for name in (GATE_JSON, JUNIT, SARIF, MARKDOWN, CODE_QUALITY):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as exc:
            raise EnvironmentFault(f"the report of an earlier gate cannot be removed: {exc.strerror}", where=str(folder / name)) from exc


def write_gate_reports(result: GateResult, folder: Path, environ: Mapping[str, str], out: TextIO | None = None) -> list[Path]:
    """Write `gate.json`, `junit.xml`, `gate.sarif` and `gate.md` into the folder; the paths, in this order.

    With ``GITHUB_ACTIONS=true`` in the environment, annotations go to ``out`` (default: standard output) and the Markdown is
    appended to ``$GITHUB_STEP_SUMMARY``; with ``GITLAB_CI`` there is `gl-code-quality.json` as well. The working folder is the
    project's: what findings name is relative to it. Raises `EnvironmentFault` where a file cannot be written; a summary that cannot
    be written is only said, since all of it is in `gate.md`.
    """
    places = Places.of(environ, Path.cwd())
    said = remarks(result, places)
    written = [
        write_text(folder / GATE_JSON, result.model_dump_json(indent=1) + "\n"),
        write_text(folder / JUNIT, gate_junit_text(result, folder)),
        write_text(folder / SARIF, sarif_text(result, said, places)),
        write_text(folder / MARKDOWN, gate_markdown_text(result, places)),
    ]
    if environ.get("GITLAB_CI"):
        written.append(write_text(folder / CODE_QUALITY, code_quality_text(said)))
    if environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(result, said, places, environ, out or sys.stdout)
    return written


def _tell_github(result: GateResult, said: list[Remark], places: Places, environ: Mapping[str, str], out: TextIO) -> None:
    lines = annotation_lines(said)
    summary = environ.get("GITHUB_STEP_SUMMARY", "")
    if summary:
        try:
            append_summary(Path(summary), gate_blocks(result, places))
        except OSError as error:
            text = f"the job's summary cannot be written: {error.strerror or error}; it is in gate.md"
            lines.append(command("warning", {"title": "celery-harness"}, text))
    _say(lines, out)


def _say(lines: list[str], out: TextIO) -> None:
    """A stream of another encoding gets question marks; a reader that went away is not our failure."""
    text = "".join(f"{line}\n" for line in lines)
    encoding = getattr(out, "encoding", None) or "utf-8"
    with contextlib.suppress(BrokenPipeError):
        out.write(text.encode(encoding, "replace").decode(encoding))
        out.flush()
