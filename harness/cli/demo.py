"""`celery-harness demo`: the broken twin fails for the right reason, the corrected one passes. Exit 0 only then."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from harness.model.finding import Word
from harness.model.result import RunResult
from harness.model.verdict import Verdict

__all__ = ["demo"]


@click.command()
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True)
@click.option("--seed", type=click.IntRange(0), default=None, help="Instead of the scenarios' own.")
def demo(reports: Path, seed: int | None) -> None:
    """Watch a task charge a card twice on a real broker, and its corrected twin pass."""
    from harness._samples import demo_scenarios
    from harness.assembly import choose_runtime, registry
    from harness.cli.run import Options, listener_for, run_one
    from harness.scenario import load_scenarios

    reports = reports.resolve()
    root, broken, right = demo_scenarios()
    os.chdir(root)
    options = Options(runtime="processes", reports=reports, seed=seed)
    results: list[RunResult] = []
    for number, (title, path) in enumerate((("The task as many write it", broken), ("The corrected task", right)), 1):
        click.echo(f"{number} of 2  {title}\n")
        (loaded,) = load_scenarios(path, registry(), seed=seed)
        result, _ = run_one(loaded, choose_runtime("processes"), options, listener_for(options))
        results.append(result)
        click.echo()
    problem = _unexpected(*results)
    if problem:
        click.echo(f"The demo did not show what it should: {problem}", err=True)
        sys.exit(1)
    click.echo("The broken task failed for the right reason and the corrected one passed: the demo's exit code is 0.")


def _unexpected(broken: RunResult, right: RunResult) -> str:
    """'' if the broken twin charged twice and the right one passed; else what was wrong."""
    if right.verdict is not Verdict.PASS:
        return f"the corrected task ended with {right.verdict}"
    if broken.verdict is not Verdict.FAIL:
        return f"the broken task ended with {broken.verdict}"
    failing = [c for c in broken.checks if c.verdict is Verdict.FAIL]
    if [c.name for c in failing] != ["idempotent"]:
        return "the broken task failed in " + ", ".join(c.name for c in failing) + " instead of idempotent alone"
    finding = next((f for f in failing[0].findings if f.word is Word.EFFECT), None)
    if finding is None or finding.line is None:
        return "the broken task's finding names no line"
    return ""
