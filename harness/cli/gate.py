"""`celery-harness gate`: the scenarios that guard a commit, within a budget of time, held against a committed baseline."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.model.gate import GateResult

__all__ = ["gate"]


class _Gate(click.Command):
    """A mistake in the command line leaves no report either, of an earlier gate neither."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As ever."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError:
            words = [word for one in given for word in one.split("=", 1)]
            _remove_reports(next((after for word, after in pairwise(words) if word == "--reports"), None))
            raise


def _remove_reports(asked: str | None) -> None:
    """Of an earlier gate: nobody must take its pass for one that could not run."""
    from harness.cli.gate_run import gate_folder
    from harness.gate.settings import reports_of
    from harness.reporting.gate_files import remove_gate_reports

    remove_gate_reports(gate_folder(reports_of(Path.cwd().resolve(), asked)))


@click.command(cls=_Gate)
@click.argument("files", nargs=-1)
@click.option("--tags", multiple=True, help="Scenarios with one of these tags; repeat, or separate by commas. [default: ci]")
@click.option("--budget", help="Time for all of it, such as 5m: what does not fit is left out and listed. [default: 5m]")
@click.option("--runtime", help="containers or processes. Must be named, here or in pyproject.toml: a gate pins it.")
@click.option("--baseline", help="What is expected. [default: celery-harness-baseline.json]")
@click.option("--allow-overrides/--refuse-overrides", default=None, help="Also run scenarios that override settings of the app.")
@click.option("--require-all/--no-require-all", default=None, help="A cell that is left out makes the gate inconclusive.")
@click.option("--shard", default="", help="Only part i of n of the plan, as 2/4; `celery-harness merge` puts the parts together.")
@click.option("--reports", help="Where runs write, and the gate into gate/ below. [default: reports]")
@click.option("--confirm/--no-confirm", default=None, help="Decide what looks slower by runs in turn of both commits. [default: confirm]")
@click.option("--tolerance", help="How much slower is still the same. [default: 10%]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Instead of the scenarios' own.")
@click.option("--samples", type=click.IntRange(1, 100), help="Runs of each cell, for a baseline. [default: 1]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line on standard output.")
def gate(files: tuple[str, ...], tags: tuple[str, ...], shard: str, as_json: bool, **given: Any) -> None:
    """Run the scenarios that guard a commit (files or folders; default: scenarios/), and compare with the baseline.

    Defaults can be set under [tool.celery-harness.gate] in pyproject.toml, by the same names.
    """
    from harness.cli.gate_run import run_gate
    from harness.errors import UsageError
    from harness.gate.plan import parse_shard
    from harness.gate.settings import gate_settings

    _remove_reports(given["reports"])
    asked = {name.replace("_", "-"): value for name, value in given.items()}
    root = Path.cwd().resolve()
    settings = gate_settings(root, {"files": files or None, "tags": ",".join(tags) if tags else None, **asked})
    named = given["baseline"]
    if named and not (root / named).is_file():
        raise UsageError(
            "there is no such baseline", where=named, hint="leave --baseline out, then `celery-harness baseline accept --baseline` makes it"
        )
    result: GateResult = run_gate(root, settings, parse_shard(shard) if shard else None, as_json=as_json)
    raise click.exceptions.Exit(result.exit_code)
