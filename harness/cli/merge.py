"""`celery-harness merge`: the shards of a gate as the one result that they are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

__all__ = ["merge"]


@click.command()
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True, help="The result goes into gate/ below."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line on standard output.")
def merge(shards: tuple[Path, ...], reports: Path, as_json: bool) -> None:
    """Put the SHARDS of a gate together (their gate.json, or the folders that hold them): same cells, same verdict as without shards."""
    from harness.cli.gate_console import GateConsole, GateJson, Telling
    from harness.cli.gate_run import gate_folder
    from harness.gate import merging
    from harness.gate.files import read_gate
    from harness.reporting.gate_files import write_gate_reports

    paths = [path / "gate.json" if path.is_dir() else path for path in shards]
    folder = gate_folder(reports)
    result = merging.merge([(path, read_gate(path)) for path in paths], folder)
    telling: Telling = GateJson() if as_json else GateConsole()
    telling.begun(f"{len(paths)} shards of {len(result.plan)} cells, {result.runtime}")
    for cell in result.cells:
        telling.cell(cell)
    for note in result.notes:
        telling.note(note)
    telling.finished(result, write_gate_reports(result, folder, os.environ, out=sys.stderr if as_json else sys.stdout))
    raise click.exceptions.Exit(result.exit_code)
