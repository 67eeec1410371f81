"""`celery -A app harness …`: Celery imports this at each start of its program, so it imports click alone."""

from __future__ import annotations

import click

__all__ = ["harness"]


@click.command(
    "harness",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    short_help="Reliability tests and chaos runs (celery-harness).",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def harness(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Run celery-harness with the same arguments as the `celery-harness` program."""
    from harness.cli import main

    main.main(args=list(arguments), prog_name="celery harness", standalone_mode=True)
