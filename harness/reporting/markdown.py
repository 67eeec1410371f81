"""`summary.md`: the result for a pull request or a CI job's summary page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.model.finding import Finding
from harness.model.quantities import format_duration
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.reporting.files import write_text
from harness.reporting.lanes_text import story_lines
from harness.reporting.words import cell_text, doubts, exit_meaning, fates_text, headline, place, printable, sentence, state_word, tally

__all__ = ["MarkdownWriter", "markdown_text"]

_SIGNS = {Verdict.PASS: "✓ pass", Verdict.FAIL: "✕ **FAIL**", Verdict.INCONCLUSIVE: "? inconclusive", Verdict.ENVIRONMENT: "! not judged"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$@])")


class MarkdownWriter:
    """The result for people who read it in a browser of code."""

    name: ClassVar[str] = "markdown"
    filename: ClassVar[str] = "summary.md"

    def write(self, result: RunResult, folder: Path) -> Path:
        """Write `summary.md` into the run's folder."""
        return write_text(folder / self.filename, markdown_text(result))


def markdown_text(result: RunResult) -> str:
    """The whole document."""
    cell = cell_text(result)
    blocks = [
        f"# {state_word(result)}: {_text(result.scenario)}" + (f" ({_text(cell)})" if cell else ""),
        f"**{_text(headline(result))}** {_text(sentence(result))}".rstrip(),
    ]
    if result.description:
        blocks.append(f"Promise: {_text(result.description)}")
    if result.verdict is not Verdict.PASS and len(reasons := doubts(result)) > 1:
        blocks.append("\n".join(f"- {_text(reason)}" for reason in reasons))
    if result.checks:
        rows = [[_code(c.name), _SIGNS[c.verdict], _text(" — ".join(filter(None, (c.summary, c.advice))))] for c in result.checks]
        blocks.append(_table(["Check", "Verdict", "What was seen"], rows))
    if result.faults:
        bit = {True: "yes", False: "**no**", None: "cannot be told"}
        rows = [[_code(f.name), _text(f.planned), bit[f.bit], _text(f.evidence)] for f in result.faults]
        blocks.append(_table(["Fault", "Planned", "Bit", "Evidence"], rows))
    workers = [lane.name for lane in result.lanes]
    blocks += [_finding(f, workers) for c in result.checks if c.verdict is Verdict.FAIL for f in c.findings]
    blocks.append(_facts(result))
    return "\n\n".join(blocks) + "\n"


def _finding(finding: Finding, workers: list[str]) -> str:
    parts = [f"## {finding.word}: {_text(finding.headline)}"]
    if finding.sentence:
        parts.append(_text(finding.sentence))
    lines = story_lines(finding, workers)
    if lines:
        parts.append(_block("\n".join("".join(printable(t) for _, t in line).rstrip() for line in lines)))
    if place(finding):
        parts.append(f"Where: {_code(place(finding))}")
    story = finding.story
    if story and story.world:
        rows = [[_text(w.name), _text(w.before), ("✕ " if w.wrong else "") + _text(w.after), _text(w.expected)] for w in story.world]
        parts.append(_table(["World", "Before", "After", "Expected"], rows))
    if finding.fix:
        parts.append(f"Fix: {_text(finding.fix)}")
    return "\n\n".join(parts)


def _facts(result: RunResult) -> str:
    facts = [
        tally(result.checks),
        fates_text(result),
        f"seed {result.seed}",
        _text(result.runtime),
        f"took {format_duration(result.took)}",
        f"exit {result.exit_code} ({exit_meaning(result.exit_code)})",
        f"run {_text(result.run_id)}",
    ]
    text = "; ".join(facts) + "."
    if result.reproduce:
        text += "\n\n" + "\n\n".join(f"{_text(r.title)}:\n\n{_block(r.command)}" for r in result.reproduce)
    return text


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(["| " + " | ".join(header) + " |", "|" + " --- |" * len(header), *("| " + " | ".join(row) + " |" for row in rows)])


def _text(text: str) -> str:
    """Text that stays text: nothing in it is markup, a mention, a link or the end of a table's cell."""
    flat = " ".join(printable(text).split())
    return _SPECIAL.sub(r"\\\1", flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _code(text: str) -> str:
    """A code span whose fence is longer than any run of backticks inside; a pipe would end a table's cell even there."""
    flat = " ".join(printable(text).split()).replace("|", "¦")
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def _block(text: str) -> str:
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence}text\n{printable(text)}\n{fence}"
