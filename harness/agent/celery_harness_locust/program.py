"""The agent's programs `locust` (the producer of a run) and `locust-check` (looks at a locustfile before anything starts)."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from celery_harness_agent.settings import Settings

__all__ = ["check", "main"]

_EX_SOFTWARE = 70
MISSING = "Locust cannot be imported by the Python of the app"


def main(settings: Settings, options: list[str]) -> NoReturn:
    """Runs Locust with these options in this process; exits as it does, with 78 where a broker is not ours."""
    from celery_harness_agent.launch import die_with_parent, parent_from_environment

    if settings.elsewhere:
        os.environ.update(settings.env)
    else:
        die_with_parent(parent_from_environment())
    import locust.main  # first of all: gevent's patches

    from celery_harness_agent import application, config, publish
    from celery_harness_agent.frames import Frames
    from celery_harness_agent.guard import Guard
    from celery_harness_agent.worker import open_journal

    config.force_addresses(settings)
    application.use_working_folder()
    from celery_harness_locust.conduct import Conductor
    from celery_harness_locust.guest import Guest, Wire
    from celery_harness_locust.member import Member, join

    journal = Wire() if settings.elsewhere else open_journal(settings)
    Guard(settings, Frames(settings.root), journal).install()
    publish.install(journal, settings.retry_divisor)
    config.merge_when_loaded(settings.config)
    member = Guest(settings, journal) if isinstance(journal, Wire) else Member(settings, journal)
    join(member)
    Conductor(member, journal).join()
    _read_no_settings(locust.argument_parser.LocustArgumentParser)
    sys.argv = ["locust", *options]
    locust.main.main()
    sys.exit(0)


def _read_no_settings(parser: Any) -> None:
    """Locust reads ~/.locust.conf, locust.conf and pyproject.toml, but a run is what its scenario says."""
    begin = parser.__init__

    def __init__(self: Any, *args: Any, default_config_files: Any = (), **options: Any) -> None:
        begin(self, *args, **options)

    parser.__init__ = __init__


def check(settings: Settings) -> None:
    """Answers {"file": …, "names": [tasks]…} with what the locustfile holds, or with its error; connects to nothing.

    The answer: {"ok": true, "locust": version, "users": [names], "shape": bool, "apps": {path: [tasks]}}.
    """
    from celery_harness_agent import answer, application, config
    from celery_harness_agent.frames import Frames
    from celery_harness_agent.guard import Guard

    request = answer.question()
    frames = Frames(settings.root)
    try:
        import locust.main
        from locust.util.load_locustfile import load_locustfile
    except ImportError as exc:
        answer.give({"ok": False, "error": {"kind": "locust", "what": f"{MISSING} ({sys.executable}): {exc}"}})
        return
    config.force_addresses(settings)
    application.use_working_folder()
    Guard(settings, frames, None).install()
    config.merge_when_loaded(settings.config)
    path = os.path.abspath(str(request.get("file")))  # noqa: PTH100 (Locust wants text)
    try:
        *_, users, shapes = load_locustfile(path)  # an older Locust has more to say, in front
    except (Exception, SystemExit) as exc:
        said = answer.describe("import", f"the locustfile fails to import: {type(exc).__name__}: {exc}", exc, frames)
        answer.give({"ok": False, "error": said})
        return
    answer.give(_described(users, bool(shapes), frames, locust.__version__, path))


def _described(users: dict[str, Any], shape: bool, frames: Any, version: str, path: str) -> dict[str, Any]:
    from celery_harness_agent import answer
    from celery_harness_locust.apps import load_app
    from celery_harness_locust.calls import wrong_calls
    from celery_harness_locust.errors import LoadError
    from celery_harness_locust.user import CeleryUser

    apps = {}
    for user in users.values():
        if not issubclass(user, CeleryUser):
            continue
        try:
            loaded = load_app(user.app)
        except LoadError as exc:
            return {"ok": False, "error": answer.describe("app", f"{user.__name__}: {exc}", exc.__cause__ or exc, frames)}
        apps[loaded.path] = sorted(loaded.tasks)
    wrong = wrong_calls(path, apps) if len(apps) == 1 else []
    return {"ok": True, "locust": version, "users": sorted(users), "shape": shape, "apps": apps, "wrong": wrong}
