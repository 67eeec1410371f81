"""Calls one function of the user's: `setup`, or a callable store."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable

from celery_harness_agent import answer, application, config
from celery_harness_agent.files_read import FilesRead
from celery_harness_agent.frames import Frames
from celery_harness_agent.guard import Guard
from celery_harness_agent.settings import Settings

__all__ = ["called", "main"]


def main(settings: Settings) -> None:
    """Answer {"call": "module:name", "args": [...], "kwargs": {...}} with {"ok": true, "value": …}, or with its error."""
    answer.give(called(settings, answer.question))


def called(settings: Settings, question: Callable[[], "dict[str, Any]"]) -> dict[str, Any]:
    """The answer, in a process that does nothing else. ``question`` is asked when all is ready."""
    if settings.broker:
        config.force_addresses(settings)
    frames = Frames(settings.root)
    refused: list[dict[str, Any]] = []
    files = FilesRead(frames)
    guard = Guard(settings, frames, None, lambda address, stack: refused.append({"address": address, "stack": stack}))
    guard.install(files.events(programs=True))
    config.merge_when_loaded(settings.config)
    application.use_working_folder()
    found = _call(question(), frames)
    return {**found, "undeclared": refused, "read": sorted({*files.take(), *_modules(frames)})}


def _modules(frames: Frames) -> list[str]:
    """Files of the user's modules that are imported by now."""
    found = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return [str(Path(file).resolve()) for file in found if file and frames.is_user(file)]


def _call(request: dict[str, Any], frames: Frames) -> dict[str, Any]:
    path = str(request.get("call") or "")
    try:
        function = application.resolve(path)
    except (Exception, SystemExit) as exc:
        return {"ok": False, "error": answer.describe("object", f"{path} cannot be imported: {type(exc).__name__}: {exc}", exc, frames)}
    try:
        value = function(*(request.get("args") or ()), **(request.get("kwargs") or {}))
        json.dumps(value)
    except (Exception, SystemExit) as exc:
        return {"ok": False, "error": answer.describe("call", f"{type(exc).__name__}: {exc}", exc, frames)}
    return {"ok": True, "value": value}
