"""`images`: which image stands for which part. `images build`, `images remove`: local equivalents of the public ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from harness.errors import EnvironmentFault

__all__ = ["images"]


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def images(ctx: click.Context, as_json: bool) -> None:
    """Say which image stands for each part, who chose it, and whether the engine has it; below it, the local equivalents."""
    if ctx.invoked_subcommand is not None:
        return
    rows = _rows(_client())
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(len(str(row["reference"])) for row in rows)
    for row in rows:
        state = f"{row['size'] / 1e6:>6.0f} MB" if row["present"] else "not here"
        click.echo(f"{row['name']:<10} {row['reference']:<{width}}  {state:>9}  {row['origin']}")
    if not all(row["present"] for row in rows):
        click.echo("\nwhat is not here is pulled when a run needs it; `celery-harness images build` makes local equivalents")


@images.command()
@click.argument("names", nargs=-1)
@click.option("--fresh", is_flag=True, help="Anew, also what is there already: newer Debian packages.")
@click.option("--remove", is_flag=True, help="The same as `images remove`.")
def build(names: tuple[str, ...], fresh: bool, remove: bool) -> None:
    """Make local equivalents of the public images from Debian packages: all, or NAMES (redis, rabbitmq, postgres, python, toxiproxy).

    For machines that reach no container registry. What is there already, with the same content, is left alone.
    """
    from harness.runtimes.containers.local_images import build_local

    if remove:
        _remove(names)
        return
    for image in build_local(_client(), names, say=click.echo, fresh=fresh):
        made = f"made in {image.seconds:.0f} s" if image.seconds else "was there"
        click.echo(f"{image.reference:<32} {image.size / 1e6:>5.0f} MB  {made}")


@images.command()
@click.argument("names", nargs=-1)
def remove(names: tuple[str, ...]) -> None:
    """Remove images that the harness made: all, workers' ones too, or NAMES (redis … base, worker)."""
    _remove(names)


def _remove(names: tuple[str, ...]) -> None:
    from harness.runtimes.containers.local_images import remove_local

    removed = remove_local(_client(), names)
    for reference in removed:
        click.echo(f"removed {reference}")
    if not removed:
        click.echo("nothing of ours is there")


def _client() -> Any:
    try:
        from harness.runtimes.containers.engine import Engine
    except ImportError as exc:
        raise EnvironmentFault(f"{exc.name} is not installed", hint="pip install 'celery-harness[containers]'") from exc
    return Engine.connect().client


def _rows(client: Any) -> list[dict[str, Any]]:
    from harness.runtimes.containers.images import DEFAULTS, present, wanted
    from harness.runtimes.containers.local_images import local_tag

    rows: list[dict[str, Any]] = []
    for name in DEFAULTS:
        want = wanted(name, root=Path.cwd())
        reference, origin, image = want.reference, want.origin, present(client, want.reference)
        if image is None and want.default and (local := present(client, local_tag(name))) is not None:
            reference, origin, image = local_tag(name), f"local equivalent of {want.reference}", local
        rows.append(
            {
                "name": name,
                "reference": reference,
                "origin": origin,
                "present": image is not None,
                "size": int(image["Size"]) if image else None,
                "id": str(image["Id"]) if image else None,
            }
        )
    return rows
