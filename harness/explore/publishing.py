"""Publishing a message in a child that is not stopped, as every mechanism does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from harness.errors import ScenarioError
from harness.explore.zygote_client import Closed, Zygote

__all__ = ["publish"]

_SECONDS = 30.0


def publish(zygote: Zygote, log: Path, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """See `Mechanism.publish`."""
    child = zygote.plain()
    try:
        child.channel.send({"publish": task, "args": list(args), "kwargs": dict(kwargs)})
        while "answer" not in (document := child.channel.receive(_SECONDS)[0]):
            continue
    except Closed:
        raise ScenarioError(f"the process that publishes {task} ended without an answer", where=str(log)) from None
    finally:
        child.end()
    answer = document["answer"]
    if answer.get("kind") == "unknown":
        near = get_close_matches(task, answer["tasks"], 3, 0.5)
        raise ScenarioError(f"the app has no task {task}", hint=f"did you mean {', '.join(near)}?" if near else "")
    if not answer["ok"]:
        error = answer["error"]
        where = f"{error['file']}:{error['line']}" if error.get("file") else ""
        raise ScenarioError(f"{task} cannot be called with these arguments: {error['what']}", where=where)
