"""Question and answer for `check` and `call`: JSON on standard input, JSON on the descriptor in CELERY_HARNESS_OUT."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

from celery_harness_agent.frames import Frames

__all__ = ["describe", "give", "question"]


def question() -> dict[str, Any]:
    """The request; {} for an empty input."""
    text = sys.stdin.read()
    found = json.loads(text) if text.strip() else {}
    return found if isinstance(found, dict) else {}


def give(document: dict[str, Any]) -> None:
    """Write the answer whole. Standard output is the user's own: what their modules print stays out of it."""
    data = json.dumps(document, default=repr).encode() + b"\n"
    with os.fdopen(int(os.environ.get("CELERY_HARNESS_OUT", "1")), "wb", closefd=False) as stream:
        stream.write(data)


def describe(kind: str, what: str, exc: BaseException, frames: Frames) -> dict[str, Any]:
    """An error for the harness: what, and the user's frames only."""
    file, line = _place(exc, frames)
    return {"kind": kind, "what": what, "traceback": _user_traceback(exc, frames), "file": file, "line": line}


def _place(exc: BaseException, frames: Frames) -> tuple[str | None, int | None]:
    if isinstance(exc, SyntaxError) and exc.filename and frames.is_user(exc.filename):
        return exc.filename, exc.lineno
    return frames.of_exception(exc)


def _user_traceback(exc: BaseException, frames: Frames) -> str:
    found = traceback.TracebackException.from_exception(exc, capture_locals=False)
    chain: list[traceback.TracebackException] = []
    following: traceback.TracebackException | None = found
    while following is not None and following not in chain:
        chain.append(following)
        following.stack = traceback.StackSummary.from_list([f for f in following.stack if frames.is_user(f.filename)])
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return "".join(found.format())
