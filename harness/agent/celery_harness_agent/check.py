"""Does the app import, are its tasks registered, do the named objects exist? Without any connection."""

from __future__ import annotations

import importlib
import platform
import sys
from fnmatch import fnmatchcase
from typing import Any

from celery_harness_agent import answer, application, config
from celery_harness_agent.frames import Frames
from celery_harness_agent.guard import Guard
from celery_harness_agent.points import trouble_with
from celery_harness_agent.settings import Settings
from celery_harness_agent.sources import Sources

__all__ = ["main"]


class _Found(Exception):
    """The first thing that is wrong."""

    def __init__(self, kind: str, what: str, cause: BaseException) -> None:
        super().__init__(what)
        self.kind = kind
        self.what = what
        self.cause = cause


def main(settings: Settings) -> None:
    """Answer one request, see docs/journal.md."""
    config.force_addresses(settings)
    frames = Frames(settings.root)
    refused: list[dict[str, Any]] = []
    Guard(settings, frames, None, lambda address, stack: refused.append({"address": address, "stack": stack})).install()
    sources = Sources()
    sources.install()
    config.merge_when_loaded(settings.config)
    application.use_working_folder()
    request = answer.question()
    try:
        document = _examine(settings, request)
    except _Found as found:
        document = {"ok": False, "error": answer.describe(found.kind, found.what, found.cause, frames)}
    if request.get("files"):
        document.update(files=sources.files(), doubts=sources.doubts())
    answer.give({**document, **_versions(), "undeclared": refused})


def _examine(settings: Settings, request: dict[str, Any]) -> dict[str, Any]:
    path = request.get("app") or settings.app
    app = _import_app(path, settings)
    for name in request.get("objects") or ():
        _resolve(name)
    tasks = sorted(app.tasks)
    unknown = [name for name in request.get("tasks") or () if name not in app.tasks]
    unmatched = [p for p in request.get("retry_patterns") or () if not any(fnmatchcase(name, p) for name in tasks)]
    points = [trouble_with(str(file), int(line), settings.root) for file, line in request.get("points") or ()]
    calls = [_wrong_call(app, call) for call in request.get("calls") or ()]
    grounds = _grounds(app, settings) if request.get("grounds") else {}
    return {
        "ok": True,
        **grounds,
        "tasks": tasks,
        "unknown": unknown,
        "unmatched_patterns": unmatched,
        "points": points,
        "calls": calls,
        "settings": config.effective(app.conf),
    }


def _grounds(app: Any, settings: Settings) -> dict[str, Any]:
    """What a certificate of the explorer rests on, as far as an import shows it."""
    from celery_harness_agent.explored_child import user_modules
    from celery_harness_agent.hooks import described_tasks

    described = described_tasks(app)
    for name, task in described.items():
        task["acks_on_failure_or_timeout"] = config.plain(getattr(app.tasks[name], "acks_on_failure_or_timeout", None))
    return {
        "changed": config.changed(app.conf),
        "described": described,
        "modules": user_modules(Frames(settings.root), list(sys.modules)),
        "machine": platform.machine(),
    }


def _wrong_call(app: Any, call: dict[str, Any]) -> str:
    """Why Celery would refuse to publish it, in Python's words; '' where it would not, or where the app has its own way to publish."""
    from celery.app.task import Task

    task = app.tasks.get(call["task"])
    check = getattr(task, "__header__", None)
    if check is None or not getattr(task, "typing", False) or type(task).apply_async is not Task.apply_async:
        return ""
    try:
        check(*[None] * call["before"], *call["args"], **call["kwargs"])
    except TypeError as exc:
        return str(exc)
    return ""


def _import_app(path: str, settings: Settings) -> Any:
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as exc:
        raise _importing(path, exc) from exc
    if name and not hasattr(found, name.partition(".")[0]):
        missing = AttributeError(f"{module} has no {name}")
        raise _Found("object", str(missing), missing)
    try:
        app = application.find_app(path)
    except application.NoApp as exc:
        raise _Found("object", str(exc), TypeError(str(exc))) from exc
    except (Exception, SystemExit) as exc:
        raise _importing(path, exc) from exc
    try:
        config.merge(app.conf, settings.config)
        application.register_tasks(app)
    except (Exception, SystemExit) as exc:
        raise _importing(path, exc) from exc
    return app


def _resolve(path: str) -> None:
    try:
        application.resolve(path)
    except AttributeError as exc:
        raise _Found("object", "{} has no {}".format(*path.split(":", 1)), exc) from exc
    except (Exception, SystemExit) as exc:
        raise _importing(path, exc) from exc


def _importing(path: str, exc: BaseException) -> _Found:
    kind = "connects" if isinstance(exc, ConnectionRefusedError) and "celery-harness" in str(exc) else "import"
    return _Found(kind, f"importing {path.partition(':')[0]} failed: {type(exc).__name__}: {exc}", exc)


def _versions() -> dict[str, str]:
    import celery
    import kombu

    return {"celery": celery.__version__, "kombu": kombu.__version__, "python": platform.python_version()}
