"""`clean`: what killed runs left behind. `doctor`: what this machine has."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

import click

from harness.errors import HarnessError

__all__ = ["clean", "doctor"]


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def clean(dry_run: bool) -> None:
    """Stop processes and remove temporary folders of runs whose harness is gone. Reports stay."""
    from harness.runtimes.shared.leftovers import leftovers, remove

    found = leftovers()
    for line in found.describe():
        click.echo(("would remove " if dry_run else "removed ") + line)
    if not dry_run:
        remove(found)
    if not found:
        click.echo("nothing was left behind")


@click.command()
def doctor() -> None:
    """Say what this machine has, what is missing, and the command that brings it."""
    from harness.assembly import registry

    lines = [("python", f"{platform.python_version()} at {sys.executable}", True)]
    for name, kind in registry().brokers.items():
        try:
            program, version = kind.find()
            lines.append((name, f"{version} at {program}", True))
        except HarnessError as exc:
            lines.append((name, str(exc), False))
    import celery
    import kombu

    lines.append(("celery", f"{celery.__version__}, kombu {kombu.__version__}", True))
    lines.append(("git", shutil.which("git") or "not found (only needed for development)", True))
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    lines.append(("disk", f"{free:.1f} GiB free here", free > 0.5))
    for name, text, good in lines:
        click.echo(f"{'ok     ' if good else 'missing'}  {name:<8} {text}")
    if not all(good for _, _, good in lines):
        raise click.exceptions.Exit(3)
