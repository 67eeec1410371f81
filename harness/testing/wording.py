"""A result as the text of a failed test: the story as the console draws it, and the command that repeats it."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.model.exploration import Exploration
from harness.model.finding import Finding
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.reporting.ink import Ink, Line
from harness.reporting.outline import check_lines, fault_lines, finding_lines
from harness.reporting.words import doubts, plural, printable

__all__ = ["environment_hint", "exploration_text", "failure_text", "inconclusive_text", "replay_command"]

#: Findings that are told in full; the rest is in the report.
_TOLD = 2


class _Page(io.StringIO):
    """Text for somebody who draws every sign."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As a terminal says it."""
        return "utf-8"


def failure_text(result: RunResult, *, folder: Path | None = None, root: Path | None = None, note: str = "") -> str:
    """The failing checks' findings: word, sentence, lanes, source line, fix; then the faults, the figures and the command."""
    failing = [check for check in result.checks if check.verdict is Verdict.FAIL]
    workers = [lane.name for lane in result.lanes]
    found: list[Finding] = sorted((f for check in failing for f in check.findings), key=lambda f: f.story is None)
    lines: list[Line] = []
    for finding in found[:_TOLD]:
        lines += [*finding_lines(finding, workers), []]
    if len(found) > _TOLD:
        lines += [[("", f"  and {plural(len(found) - _TOLD, 'more finding')}, in the report")], []]
    for check in failing:
        lines += check_lines(check)
    lines += [line for fault in result.faults for line in fault_lines(fault)]
    return printable("\n".join([_drawn(lines), *_ending(result, folder, root, note)]))


def inconclusive_text(result: RunResult, *, folder: Path | None = None, root: Path | None = None, note: str = "") -> str:
    """INCONCLUSIVE, and why nothing could be judged."""
    unsure = [check for check in result.checks if check.verdict is Verdict.INCONCLUSIVE]
    reasons = [*doubts(result), *([result.interrupted] if result.interrupted else [])]
    reasons = list(dict.fromkeys(reasons)) or [check.summary for check in unsure] or ["nothing was judged"]
    lines: list[Line] = [line for check in unsure for line in check_lines(check)]
    head = [f"INCONCLUSIVE  {reasons[0]}", *(f"  {reason}" for reason in reasons[1:])]
    return printable("\n".join([*head, *([_drawn(lines)] if lines else []), *_ending(result, folder, root, note)]))


def exploration_text(found: Exploration, file: Path, root: Path) -> str:
    """The story with its line, or INCONCLUSIVE and why; and the command that explores the same. ``file``: a scenario that asks for it."""
    from harness.reporting.exploration_text import exploration_lines

    command = f"celery-harness explore {shlex.quote(str(_from(root, file)))}"
    if root.resolve() != Path.cwd():
        command = f"(cd {shlex.quote(str(root))} && {command})"
    if found.verdict == "inconclusive":
        doubts = [doubt for doubt in found.doubts if doubt not in found.headline]
        head = [f"INCONCLUSIVE  {found.headline}", *(f"  {doubt}" for doubt in doubts)]
        return printable("\n".join([*head, "", f"  Reproduce  {command}"]))
    story = replace(found, first=(), coverage=replace(found.coverage, worlds=0))  # without figures: the story is what a test tells
    return printable(_drawn(exploration_lines(story, root, command)).strip("\n"))


def _from(root: Path, file: Path) -> Path:
    return file.relative_to(root.resolve()) if file.is_relative_to(root.resolve()) else file


def environment_hint(result: RunResult, folder: Path | None) -> str:
    """Where to look when it was not the tasks' fault."""
    return f"no verdict about the tasks; the report, with all logs: {folder or result.run_id}"


def replay_command(result: RunResult, root: Path | None = None) -> str:
    """What to type, where one stands now; '' where nothing repeats it. ``root``: the folder in which the scenario must be run."""
    if not result.reproduce:
        return ""
    command = result.reproduce[0].command
    if root is None or root.resolve() == Path.cwd():
        return command
    words = shlex.split(command)
    words[-1] = str(Path(words[-1]).resolve()) if Path(words[-1]).exists() else words[-1]
    return f"(cd {shlex.quote(str(root))} && {shlex.join(words)})"


def _ending(result: RunResult, folder: Path | None, root: Path | None, note: str) -> list[str]:
    lines = ["", *([f"  {note}"] if note else [])]
    if command := replay_command(result, root):
        lines.append(f"  Reproduce  {command}")
    if folder is not None:
        lines.append(f"  Report     {folder / 'report.html'}")
    return lines


def _drawn(lines: Sequence[Line]) -> str:
    page = _Page()
    Ink(page, env={"NO_COLOR": "1"}).write(lines)
    return page.getvalue().rstrip("\n")
