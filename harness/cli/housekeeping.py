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
    """Remove processes, containers, networks and temporary folders of runs whose harness is gone. Reports stay."""
    from harness.runtimes.shared.leftovers import leftovers, remove

    found = leftovers()
    verb = "would remove " if dry_run else "removed "
    for line in found.describe():
        click.echo(verb + line)
    if not dry_run:
        remove(found)
    if not _clean_containers(verb, dry_run=dry_run) and not found:
        click.echo("nothing was left behind")


def _clean_containers(verb: str, *, dry_run: bool) -> bool:
    """Was there anything at the engine, if there is one?"""
    try:
        from harness.runtimes.containers import cleanup
    except ImportError:  # without the extra `containers` no run has left any
        return False
    found = cleanup.leftovers()
    for line in found.describe():
        click.echo(verb + line)
    for trouble in [] if dry_run else cleanup.remove(found):
        click.echo(f"error: {trouble}", err=True)
    return bool(found)


@click.command()
def doctor() -> None:
    """Say what this machine has, what is missing, and the command that brings it."""
    from harness.assembly import RUNTIMES, registry

    lines = [("python", f"{platform.python_version()} at {sys.executable}", True)]
    brokers = 0
    for name, kind in registry().brokers.items():
        try:
            program, version = kind.find()
            lines.append((name, f"{version} at {program}", True))
            brokers += "broker" in kind.roles
        except HarnessError as exc:
            lines.append((name, str(exc), False))
    runtimes = {name: runtime().available() for name, (runtime, _) in RUNTIMES.items()}
    lines += [(name, reason or "can be used", not reason) for name, reason in runtimes.items()]
    import celery
    import kombu

    lines.append(("celery", f"{celery.__version__}, kombu {kombu.__version__}", True))
    lines.append(("git", shutil.which("git") or "not found (only needed for development)", True))
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    lines.append(("disk", f"{free:.1f} GiB free here", free > 0.5))
    for name, text, good in lines:
        click.echo(f"{'ok     ' if good else 'missing'}  {name:<10} {text}")
    usable = not runtimes["containers"] or (not runtimes["processes"] and brokers)
    if not usable or free <= 0.5:
        raise click.exceptions.Exit(3)
