"""`celery-harness report`: write a run's reports anew from its result.json."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import ValidationError

from harness.errors import UsageError

__all__ = ["report"]


@click.command()
@click.argument("run", default="latest")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True)
def report(run: str, reports: Path) -> None:
    """Write the reports of RUN (an id, a folder, or 'latest') anew from its result.json or exploration.json, and say where they are."""
    from harness.assembly import default_writers
    from harness.model.result import RunResult

    folder = next((p for p in (Path(run), reports / run) if (p / "result.json").is_file()), None)
    if folder is None and (explored := next((p for p in (Path(run), reports / run) if (p / "exploration.json").is_file()), None)):
        from harness.reporting.exploration_files import read_told, write_page

        click.echo(str(write_page(read_told(explored / "exploration.json"), explored, Path.cwd())))
        return
    if folder is None:
        raise UsageError(f"there is no result.json in {run} or {reports / run}", hint="name a run's folder, or run a scenario first")
    try:
        result = RunResult.model_validate_json((folder / "result.json").read_bytes())
    except ValidationError as exc:
        raise UsageError(f"{folder / 'result.json'} is not a result of this version: {exc.errors()[0]['msg']}") from exc
    for writer in default_writers():
        if writer.name != "json":
            click.echo(str(writer.write(result, folder)))
