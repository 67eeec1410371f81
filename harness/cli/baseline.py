"""`celery-harness baseline`: what a gate measured becomes what the next ones expect, with a readable diff."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError
from harness.model.verdict import Verdict

if TYPE_CHECKING:
    from harness.model.gate import GateResult

__all__ = ["baseline"]

_FILE = Path("celery-harness-baseline.json")
_REPORTS = Path("reports")


@click.group()
def baseline() -> None:
    """Accept a gate as what is expected, or show that."""


@baseline.command()
@click.argument("gate", default=None, required=False, type=click.Path(path_type=Path))
@click.option(
    "--runs", type=click.IntRange(1, 100), default=3, show_default=True, help="Samples of each cell; those that lack are run now."
)
@click.option("--baseline", "file", type=click.Path(path_type=Path), help="The file to write. [default: as the gate's]")
@click.option("--reports", type=click.Path(path_type=Path), help="Where the gate wrote. [default: as the gate's]")
@click.option("--dry-run", is_flag=True, help="Only say what would change; nothing is run either.")
@click.option("--with-failures", is_flag=True, help="Also cells that failed or were inconclusive; a gate fails by them all the same.")
def accept(gate: Path | None, runs: int, file: Path | None, reports: Path | None, dry_run: bool, with_failures: bool) -> None:
    """Write the baseline from GATE, the gate.json of the last gate (default: the one in reports/), and say what changes."""
    from harness.gate.baselines import accepted, changes
    from harness.gate.files import baseline_text, read_baseline, read_gate
    from harness.reporting.files import write_text

    root = Path.cwd().resolve()
    configured = _configured(root)
    file = file or configured[0]
    reports = reports or configured[1]
    source = gate or reports / "gate" / "gate.json"
    result = read_gate(source / "gate.json" if source.is_dir() else source)
    old = read_baseline(file)
    created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    new = accepted(result, old, created=created, with_failures=with_failures)
    if not dry_run:
        result = _with_samples(root, result, runs, file, reports)
        new = accepted(result, old, created=created, with_failures=with_failures)
    lines = changes(old, new)
    for line in lines or ["nothing changes but commit and figures within 5 %"]:
        click.echo(line)
    if result.commit.endswith("+"):
        click.echo("note: made of files that are not committed, so no gate will be able to run them beside its own")
    click.echo(f"{'would write' if dry_run else 'wrote'} {file}: {len(new.cells)} cells; commit it")
    if not dry_run:
        write_text(file, baseline_text(new))


@baseline.command()
@click.option("--baseline", "file", type=click.Path(path_type=Path), help="Which file. [default: as the gate's]")
def show(file: Path | None) -> None:
    """Say what is expected of each cell."""
    from harness.gate.baselines import baseline_lines
    from harness.gate.files import read_baseline

    file = file or _configured(Path.cwd().resolve())[0]
    found = read_baseline(file)
    if found is None:
        raise UsageError("there is no baseline", where=str(file), hint="make one: celery-harness gate, then celery-harness baseline accept")
    for line in baseline_lines(found):
        click.echo(line)


def _configured(root: Path) -> tuple[Path, Path]:
    """(baseline, reports) as a gate here would take them; the runtime does not matter for that."""
    from harness.gate.settings import gate_settings

    settings = gate_settings(root, {"runtime": "processes"})
    return Path(settings.baseline), Path(settings.reports)


def _with_samples(root: Path, gate: GateResult, wanted: int, file: Path, reports: Path) -> GateResult:
    """The gate with as many samples of each passing cell as are wanted. UsageError where tree or scenarios are others than the gate's."""
    short = [cell for cell in gate.cells if cell.kind == "run" and cell.verdict is Verdict.PASS and len(cell.samples) < wanted]
    if not short:
        return gate
    from harness.cli.gate_cells import load_plan, warm_runner
    from harness.gate.baselines import with_sample
    from harness.gate.repository import Repository
    from harness.gate.settings import gate_settings

    remedy = "run the gate again, or accept what it has with --runs 1"
    now = Repository(root).state(ignoring=[file, reports])
    if now != gate.commit:
        raise UsageError(f"the gate was made at {gate.commit or 'no commit'}, and this is {now or 'no commit'}", hint=remedy)
    files = sorted({cell.file for cell in short})
    asked = {"files": files, "tags": "", "runtime": gate.runtime, "allow-overrides": True, "seed": gate.seed}
    known = {one.planned.key: one for one in load_plan(root, gate_settings(root, asked), None)}
    for cell in short:
        if cell.key not in known or known[cell.key].planned.digest != cell.digest:
            raise UsageError("the scenario is another one than the gate's", where=cell.key, hint=remedy)
    grown = {cell.key: cell for cell in gate.cells}
    with warm_runner(gate.runtime, root, reports, lambda text: None) as runner:
        for cell in short:
            for number in range(len(cell.samples) + 1, wanted + 1):
                run = runner.run(known[cell.key], repetition=True)
                click.echo(f"  sample {number} of {wanted}  {run.took:5.1f} s  {run.verdict}  {cell.key}")
                grown[cell.key] = with_sample(grown[cell.key], run)
    return gate.model_copy(update={"cells": tuple(grown[cell.key] for cell in gate.cells)})
