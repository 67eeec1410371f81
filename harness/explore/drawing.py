"""Sets of arguments from a child that runs Hypothesis in the app's own Python (the agent's drawing.py)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.explore.zygote_client import Channel, Closed, started
from harness.ports.exploring import Launch

__all__ = ["Asked", "Drawer", "Wants"]

_SET_SECONDS = 60.0
_LOOK_UP = 0.25  # seconds between two looks whether somebody interrupts
_CHANNEL = "CELERY_HARNESS_DRAWING"
_HINTS = {
    "hypothesis": "pip install hypothesis there, or write the arguments out",
    "object": "write module:name of a strategy that the app's Python can import",
    "drawing": "the strategy has to give a value whatever is drawn",
}

#: Answers one set (args, kwargs, rows): passes, fails, nothing (it says nothing), enough (no more sets are wanted).
Asked = Callable[[Sequence[Any], Mapping[str, Any], Any], str]


@dataclass(frozen=True, slots=True)
class Wants:
    """What is to be drawn. ``args``: 'types', module:strategy, or written out where only ``rows`` (module:strategy) are drawn.

    ``examples``: so many sets at most, beside those that make a failing one smaller.
    """

    app: str
    task: str
    args: str | Sequence[Any]
    kwargs: Mapping[str, Any]
    rows: str
    examples: int
    seed: int

    @property
    def source(self) -> str:
        """'' where the arguments are written out."""
        return self.args if isinstance(self.args, str) else ""


class Drawer:
    """One child. It imports the app while others do the same; `draw` waits for it."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        #: Files of the user's modules that took part, once all is drawn.
        self.modules: tuple[str, ...] = ()

    def start(self) -> None:
        """EnvironmentFault where it cannot be started."""
        self._process, self._channel = started(self._launch, _CHANNEL, "the process that draws arguments")

    def draw(self, wants: Wants, ask: Asked, check: Callable[[], None]) -> None:
        """Until all are drawn, one failed and is as small as it gets, or the answer is enough. ScenarioError where they cannot be drawn."""
        assert self._channel is not None
        question = {
            "app": wants.app,
            "task": wants.task,
            "args": wants.args if isinstance(wants.args, str) else list(wants.args),
            "kwargs": dict(wants.kwargs),
            "rows": wants.rows,
            "examples": wants.examples,
            "seed": wants.seed,
        }
        try:
            self._channel.send(question)
            while "end" not in (told := self._next(check)):
                self._channel.send({"so": ask(told["args"], told["kwargs"], told["rows"])})
        except Closed:
            tail = "\n  ".join(self._launch.log.read_text(errors="replace").splitlines()[-12:])
            what = f"the process that draws arguments ended without an answer\n  {tail}".rstrip()
            raise EnvironmentFault(what, where=str(self._launch.log)) from None
        if error := told.get("error"):
            raise _failure(error, wants)
        self.modules = tuple(told["modules"])

    def _next(self, check: Callable[[], None]) -> dict[str, Any]:
        """Interruptions are seen while it thinks, too."""
        assert self._channel is not None
        deadline = time.monotonic() + _SET_SECONDS
        while time.monotonic() < deadline:
            check()
            if (told := self._channel.waiting()) is not None:
                return told[0]
            if select.select([self._channel], [], [], _LOOK_UP)[0]:
                self._channel.fill()
        raise ScenarioError(f"nothing was drawn within {_SET_SECONDS:.0f} s", hint="what a strategy does may not take so long")

    def close(self) -> None:
        """No process is left; also twice."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def _failure(error: Mapping[str, Any], wants: Wants) -> ScenarioError:
    where = f"{error['file']}:{error['line']}" if error.get("file") else ""
    named = " and ".join(filter(None, ["arguments by type hints" if wants.source == "types" else wants.source, wants.rows]))
    what = f"{named} cannot be drawn for {wants.task}: {error['what']}"
    trace = str(error.get("traceback") or "").rstrip() if where else ""
    hint = str(error.get("hint") or _HINTS.get(str(error.get("kind")), ""))
    return ScenarioError("\n".join(filter(None, [what, trace])), where=where, hint=hint)
