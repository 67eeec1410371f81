"""`summary.md`: the result for a pull request or a CI job's summary page."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from harness.model.finding import Finding
from harness.model.quantities import format_duration
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.reporting.files import write_text
from harness.reporting.lanes_text import story_lines
from harness.reporting.latencies import latencies_text, law_text
from harness.reporting.markup import code_block, code_span, escaped, table
from harness.reporting.words import cell_text, doubts, exit_meaning, fates_text, headline, place, printable, sentence, state_word, tally

__all__ = ["MarkdownWriter", "markdown_text"]

_SIGNS = {Verdict.PASS: "✓ pass", Verdict.FAIL: "✕ **FAIL**", Verdict.INCONCLUSIVE: "? inconclusive", Verdict.ENVIRONMENT: "! not judged"}


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
        f"# {state_word(result)}: {escaped(result.scenario)}" + (f" ({escaped(cell)})" if cell else ""),
        f"**{escaped(headline(result))}** {escaped(sentence(result))}".rstrip(),
    ]
    if result.description:
        blocks.append(f"Promise: {escaped(result.description)}")
    if result.verdict is not Verdict.PASS and len(reasons := doubts(result)) > 1:
        blocks.append("\n".join(f"- {escaped(reason)}" for reason in reasons))
    if result.checks:
        rows = [[code_span(c.name), _SIGNS[c.verdict], escaped(" — ".join(filter(None, (c.summary, c.advice))))] for c in result.checks]
        blocks.append(table(["Check", "Verdict", "What was seen"], rows))
    if result.faults:
        bit = {True: "yes", False: "**no**", None: "cannot be told"}
        rows = [[code_span(f.name), escaped(f.planned), bit[f.bit], escaped(f.evidence)] for f in result.faults]
        blocks.append(table(["Fault", "Planned", "Bit", "Evidence"], rows))
    if latencies := latencies_text(result):
        blocks.append(escaped(" ".join(filter(None, (f"Latency, {latencies}.", law_text(result))))))
    workers = [lane.name for lane in result.lanes]
    blocks += [_finding(f, workers) for c in result.checks if c.verdict is Verdict.FAIL for f in c.findings]
    blocks.append(_facts(result))
    return "\n\n".join(blocks) + "\n"


def _finding(finding: Finding, workers: list[str]) -> str:
    parts = [f"## {finding.word}: {escaped(finding.headline)}"]
    if finding.sentence:
        parts.append(escaped(finding.sentence))
    lines = story_lines(finding, workers)
    if lines:
        parts.append(code_block("\n".join("".join(printable(t) for _, t in line).rstrip() for line in lines)))
    if place(finding):
        parts.append(f"Where: {code_span(place(finding))}")
    story = finding.story
    if story and story.world:
        wrong = {True: "✕ ", False: ""}
        rows = [[escaped(w.name), escaped(w.before), wrong[w.wrong] + escaped(w.after), escaped(w.expected)] for w in story.world]
        parts.append(table(["World", "Before", "After", "Expected"], rows))
    if finding.fix:
        parts.append(f"Fix: {escaped(finding.fix)}")
    return "\n\n".join(parts)


def _facts(result: RunResult) -> str:
    facts = [
        tally(result.checks),
        fates_text(result),
        f"seed {result.seed}",
        escaped(result.runtime),
        f"took {format_duration(result.took)}",
        f"exit {result.exit_code} ({exit_meaning(result.exit_code)})",
        f"run {escaped(result.run_id)}",
    ]
    text = "; ".join(facts) + "."
    if result.reproduce:
        text += "\n\n" + "\n\n".join(f"{escaped(r.title)}:\n\n{code_block(r.command)}" for r in result.reproduce)
    return text
