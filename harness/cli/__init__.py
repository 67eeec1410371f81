"""The command line. Each command is a file of its own; heavy imports wait until a command needs them."""

from __future__ import annotations

import gc
import signal
import sys
import traceback
from types import FrameType
from typing import Any

import click

from harness import __version__
from harness.errors import HarnessError
from harness.passwords import masked
from harness.run.signals import ending_signals

__all__ = ["main"]

_COMMANDS = {
    "run": ("harness.cli.run", "run"),
    "load": ("harness.cli.load", "load"),
    "explore": ("harness.cli.explore", "explore"),
    "replay": ("harness.cli.replay", "replay"),
    "certify": ("harness.cli.certify", "certify"),
    "gate": ("harness.cli.gate", "gate"),
    "merge": ("harness.cli.merge", "merge"),
    "baseline": ("harness.cli.baseline", "baseline"),
    "compare": ("harness.cli.compare", "compare"),
    "demo": ("harness.cli.demo", "demo"),
    "validate": ("harness.cli.look", "validate"),
    "schema": ("harness.cli.look", "schema"),
    "list": ("harness.cli.look", "list_"),
    "explain": ("harness.cli.look", "explain"),
    "report": ("harness.cli.report", "report"),
    "images": ("harness.cli.images", "images"),
    "clean": ("harness.cli.housekeeping", "clean"),
    "doctor": ("harness.cli.housekeeping", "doctor"),
}

_SUMMARIES = {
    "run": "Run scenarios and judge them.",
    "load": "Put a scenario's system under load, by Locust's users or its own open loop.",
    "explore": "Prove that a task survives any crash of its worker, or show the line where it does not.",
    "replay": "Repeat in real workers what explore has found, and say whether it is the same.",
    "certify": "Write certificates of tasks that no crash breaks, or check that they still hold.",
    "gate": "Run the scenarios that guard a commit, within a budget, against a baseline.",
    "merge": "Put the shards of a gate together.",
    "baseline": "Accept a gate as what is expected, or show that.",
    "compare": "Say how one run differs from another, or one configuration or commit, with intervals.",
    "demo": "Watch a task charge a card twice on a real broker, and its corrected twin pass.",
    "validate": "Check scenario files without running anything.",
    "schema": "Print the JSON Schema of scenario files.",
    "list": "List scenarios, or the faults, checks and services that they can name.",
    "explain": "Say what a finding's word means and what usually fixes it.",
    "report": "Write the reports of a run anew from its result.json.",
    "images": "Say which container images are used; make local equivalents (images build).",
    "clean": "Remove what killed runs left behind.",
    "doctor": "Say what this machine has and what is missing.",
}


class _LazyGroup(click.Group):
    """Imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        __import__(module)
        command: click.Command = getattr(sys.modules[module], name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            raise click.UsageError(f"no command {args[0]!r}" + (f"; did you mean {near[0]}?" if near else ""), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUMMARIES.items()))

    def invoke(self, ctx: click.Context) -> Any:
        for number in ending_signals():
            signal.signal(number, _leave)
        gc.set_threshold(50_000, 20, 50)  # a command makes much and throws little away: to look for that is a tenth of a short one
        try:
            return super().invoke(ctx)
        except HarnessError as exc:
            _say(exc, verbose=bool(ctx.params.get("verbose")))
            ctx.exit(exc.exit_code)
        except (BrokenPipeError, click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as exc:
            _say(exc, verbose=bool(ctx.params.get("verbose")))
            ctx.exit(3)


def _leave(number: int, frame: FrameType | None) -> None:
    """Outside a run, where nothing has been started (a run has handlers of its own)."""
    raise SystemExit(128 + number)


def _say(exc: Exception, *, verbose: bool) -> None:
    if verbose:
        traceback.print_exception(exc)
    if isinstance(exc, HarnessError):
        click.echo(f"error: {exc}", err=True)
        return
    last = traceback.extract_tb(exc.__traceback__)[-1]
    what = masked(f"{type(exc).__name__}: {exc}")
    click.echo(f"error: the harness itself failed: {what} ({last.filename}:{last.lineno})", err=True)
    click.echo("  this is a bug of the harness; --verbose shows the whole traceback", err=True)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="celery-harness")
@click.option("--verbose", is_flag=True, help="Show tracebacks of the harness's own errors.")
def main(verbose: bool) -> None:
    """A local reliability test harness and chaos simulator for Celery.

    Exit codes: 0 pass, 1 a check failed, 2 usage or scenario error, 3 the environment failed, 4 inconclusive,
    130 SIGINT, 143 SIGTERM.
    """
