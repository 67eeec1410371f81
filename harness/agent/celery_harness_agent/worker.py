"""`celery worker` with the hooks in place."""

from __future__ import annotations

import os
import sys
import traceback
import types
import warnings
from typing import Any, NoReturn

from celery_harness_agent import application, config, own_hash, publish, wall
from celery_harness_agent.company import Company
from celery_harness_agent.effects import ENVIRONMENT, Effects
from celery_harness_agent.frames import Frames
from celery_harness_agent.guard import Guard
from celery_harness_agent.journal import Journal
from celery_harness_agent.launch import die_with_parent, parent_from_environment
from celery_harness_agent.settings import EX_CONFIG, Settings

__all__ = ["main", "open_journal"]


def open_journal(settings: Settings) -> Journal:
    """The journal of this process; its header names the versions."""
    import celery
    import kombu

    return Journal(settings, celery.__version__, kombu.__version__)


def main(settings: Settings, options: list[str]) -> NoReturn:
    """Never returns: exits with the worker's status, 78 where its broker is not ours, 74 where the journal cannot be written."""
    die_with_parent(parent_from_environment())
    wall.stand_behind()
    config.force_addresses(settings)
    effects = Effects(os.environ.pop(ENVIRONMENT, ""), settings.name)
    if effects.wanted:
        sys.dont_write_bytecode = True  # or the first process that imports something writes more than the next, as in the explorer
    sys.argv = ["celery", "-A", settings.app, "worker", *options]
    from celery import maybe_patch_concurrency

    maybe_patch_concurrency()  # gevent and eventlet: before anything else is imported
    journal = open_journal(settings)
    frames = Frames(settings.root)
    company = Company(journal)
    Guard(settings, frames, journal).install(company.hooks())
    publish.install(journal, settings.retry_divisor)
    own_hash.install(frames)
    from celery_harness_agent.hooks import Hooks

    config.merge_when_loaded(settings.config)
    _merge_again_at_start(settings)
    try:
        hooks = Hooks(settings, journal, frames, company, effects)
    except (KeyError, ValueError) as exc:
        sys.stderr.write(f"harness agent: a trigger is wrong: {exc}\n")
        sys.exit(EX_CONFIG)
    hooks.install(_import_app(settings))
    celery_main = _program()
    # Eleven lines at every start as root, which bury why a worker has ended.
    warnings.filterwarnings("ignore", r"\s*You're running the worker with superuser privileges")
    sys.exit(celery_main())


def _program() -> Any:
    """Celery's command line, but for the shell of `celery amqp`: no worker needs it, and its toolkit is a fifth of a worker's start."""
    shell = "click_repl"
    absent = shell not in sys.modules
    if absent:
        stand_in = types.ModuleType(shell)
        vars(stand_in)["register_repl"] = lambda *_, **__: None
        sys.modules[shell] = stand_in
    try:
        from celery.bin.celery import main
    finally:
        if absent:
            del sys.modules[shell]  # the user's own code finds the real one
    return main


def _import_app(settings: Settings) -> Any:
    """Before the command line is parsed, so that worker settings of ours count there. Exits with 2 where it fails."""
    application.use_working_folder()
    try:
        app = application.find_app(settings.app)
    except Exception:
        traceback.print_exc()
        sys.stderr.write(f"harness agent: {settings.app} cannot be imported\n")
        sys.exit(2)
    config.merge(app.conf, settings.config)
    return app


def _merge_again_at_start(settings: Settings) -> None:
    """Connected before the app is imported: the first receiver, for what the app's modules changed after loading."""
    from celery import signals

    def started(conf: Any = None, **_: Any) -> None:
        config.merge(conf, settings.config)

    signals.celeryd_init.connect(started, weak=False)
