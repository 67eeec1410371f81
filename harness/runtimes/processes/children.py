"""Python children under the user's interpreter: their environment, and the ones that answer a question."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.runtimes.processes.process import LAUNCHER
from harness.runtimes.shared.environment import AGENT_FOLDER, agent_environment
from harness.runtimes.shared.logs import log_tail

__all__ = ["ask", "asking", "child_environment", "interpreter"]

_ANSWER_SECONDS = 60


def interpreter(python: str, root: Path) -> str:
    """The interpreter of the environment that holds the app: `system.python`, else the one that runs the harness."""
    if not python:
        return sys.executable
    path = Path(python).expanduser()
    candidate = path if path.is_absolute() or "/" not in python else root / path
    if "/" in python and not os.access(candidate, os.X_OK):
        raise ScenarioError(
            f"system.python: {python} is not an executable file", hint="name the interpreter of the environment that holds your app"
        )
    return str(candidate) if "/" in python else python


#: Celery's own, what would run code or measure in the child, what says that pytest runs us, and where libpq would go by itself: a
#: server that we did not start.
_NOT_INHERITED = ("CELERY_", "PYTHONSTARTUP", "COVERAGE_", "PG", "PYTEST_")
#: libpq reads these files too; the scenario's `env` may name others.
_NOWHERE = {"PGSERVICEFILE": "/nonexistent", "PGPASSFILE": "/nonexistent", "PGSYSCONFDIR": "/nonexistent"}


def child_environment(run_id: str, app_env: Mapping[str, str], root: Path, settings: Path) -> dict[str, str]:
    """The environment of a child: ours without Celery's variables, the app's on top, the agent on the path."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
    env.update(_NOWHERE)
    env.update(app_env)
    paths = [str(AGENT_FOLDER), str(root), *filter(None, [env.get("PYTHONPATH", "")])]
    return {**env, "PYTHONPATH": os.pathsep.join(paths), **agent_environment(run_id, settings)}


def ask(program: str, python: str, request: Mapping[str, Any], *, env: Mapping[str, str], cwd: Path, log: Path) -> dict[str, Any]:
    """Run one of the agent's question-and-answer programs (`check`, `call`); its JSON answer.

    The user's own printing goes to the log, never into the answer: that has a file descriptor of its own.
    """
    return asking(program, python, request, env=env, cwd=cwd, log=log)()


def asking(
    program: str, python: str, request: Mapping[str, Any], *, env: Mapping[str, str], cwd: Path, log: Path
) -> Callable[[], dict[str, Any]]:
    """As `ask`, but the child works while its caller does something else, who has to ask for the answer, once."""
    read_end, write_end = os.pipe()
    try:
        with log.open("ab") as out:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), python, "-m", "celery_harness_agent", program],
                env={**env, "CELERY_HARNESS_OUT": str(write_end), "CELERY_HARNESS_PARENT": str(os.getpid())},
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(write_end,),
            )
    except OSError as exc:
        os.close(read_end)
        raise EnvironmentFault(f"{python} could not be started: {exc}") from exc
    finally:
        os.close(write_end)

    def answer() -> dict[str, Any]:
        try:
            return _answer(child, read_end, program, log)
        finally:
            _end(child)

    try:
        assert child.stdin is not None
        with child.stdin as stdin:
            stdin.write(json.dumps(request).encode())
    except BaseException:
        os.close(read_end)
        _end(child)
        raise
    return answer


def _end(child: subprocess.Popen[bytes]) -> None:
    """It leads a session of its own: whatever the user's code started in it ends with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _answer(child: subprocess.Popen[bytes], read_end: int, program: str, log: Path) -> dict[str, Any]:
    with os.fdopen(read_end, "rb") as stream:
        os.set_blocking(stream.fileno(), True)
        raw = _read_until_closed(child, stream.fileno())
    try:
        answer = json.loads(raw)
    except ValueError:
        tail = "\n  ".join(log_tail(log))
        raise EnvironmentFault(
            f"the child that runs `{program}` for your app ended without an answer (status {_status(child)})\n  {tail}", where=str(log)
        ) from None
    if not isinstance(answer, dict):
        raise EnvironmentFault(f"`{program}` answered something else than a document", where=str(log))
    return answer


def _status(child: subprocess.Popen[bytes]) -> str:
    """Its exit status, or that it still runs."""
    try:
        status = child.wait(2)
    except subprocess.TimeoutExpired:
        return f"still running after {_ANSWER_SECONDS} s"
    return f"{status}: SIGKILL, by somebody, or by the kernel where memory is short" if status == -signal.SIGKILL else str(status)


def _read_until_closed(child: subprocess.Popen[bytes], descriptor: int) -> bytes:
    deadline = time.monotonic() + _ANSWER_SECONDS
    parts: list[bytes] = []
    while time.monotonic() < deadline:
        ready, _, _ = select.select([descriptor], [], [], 0.5)
        if ready:
            part = os.read(descriptor, 1 << 16)
            if not part:
                break
            parts.append(part)
    return b"".join(parts)
