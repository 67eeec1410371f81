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

    main.main(args=list(arguments), prog_name="celery harness", standalone_mode=True, obj=_app_path(context))


def _app_path(context: click.Context) -> str:
    """module:attribute of the app that Celery's program has loaded, for `explore`; '' where it cannot be told."""
    import sys

    app = getattr(context.obj, "app", None)
    told = [name for name, module in list(sys.modules.items()) for value in list(vars(module).values()) if value is app]
    main_module = str(getattr(app, "main", "") or "")
    for module in sorted(dict.fromkeys(told), key=lambda name: (name != main_module, name.count("."), name)):
        if module.partition(".")[0] in ("celery", "harness", "kombu", "__main__"):
            continue
        attribute = next(key for key, value in vars(sys.modules[module]).items() if value is app)
        return f"{module}:{attribute}"
    return ""
