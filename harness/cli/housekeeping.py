"""`clean`: what killed runs left behind. `doctor`: what this machine has."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import click

from harness.errors import EnvironmentFault, HarnessError

__all__ = ["clean", "doctor"]

_SOCKET = Path("/var/run/docker.sock")


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def clean(dry_run: bool) -> None:
    """Remove processes, containers, networks and temporary folders of runs whose harness is gone. Reports stay."""
    from harness.runtimes.shared import leftovers

    # Containers first: an engine that is still starting one makes anew, empty, each folder that it is to see.
    tried = [_containers_cleaned(dry_run=dry_run), _cleaned(leftovers.leftovers, leftovers.remove, dry_run=dry_run)]
    if "trouble" in tried:
        raise click.exceptions.Exit(3)
    if "found" not in tried:
        click.echo("nothing was left behind")


class _Found(Protocol):
    """What killed runs left in one place."""

    def describe(self) -> list[str]:
        """A line each."""


_F = TypeVar("_F", bound=_Found)


def _cleaned(look: Callable[[], _F], remove: Callable[[_F], object], *, dry_run: bool) -> Literal["", "found", "trouble"]:
    """Remove what is found, and look again: only what is gone was removed. Says what there was, or that some of it is still there."""
    found = look()
    lines = found.describe()
    if dry_run or not lines:
        for line in lines:
            click.echo(f"would remove {line}")
        return "found" if lines else ""
    remove(found)
    still = set(look().describe())
    for line in lines:
        click.echo(f"error: still there: {line}" if line in still else f"removed {line}", err=line in still)
    return "trouble" if still.intersection(lines) else "found"


def _containers_cleaned(*, dry_run: bool) -> Literal["", "found", "trouble"]:
    """At the engine, where this machine has one."""
    try:
        from harness.runtimes.containers import cleanup
    except ImportError:  # without the extra `containers` no run has left any
        return ""
    try:
        return _cleaned(cleanup.leftovers, cleanup.remove, dry_run=dry_run)
    except EnvironmentFault as exc:
        if not (os.environ.get("DOCKER_HOST") or shutil.which("docker") or _SOCKET.exists()):
            return ""
        click.echo(f"error: {exc}", err=True)
        click.echo("  containers and networks of killed runs, if there are any, stay until `clean` runs with the engine", err=True)
        return "trouble"


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
