"""``python -I -S seat.py --control PATH --lifeline PATH [--ours PATH]...``: process 1 of a container that serves several runs.

It does what init.py does, for one main process after another: each is started by an order, and when it has ended everything
that it left is killed. Between two runs it is asked to take back all other traces (traces.py); where it cannot say that none
is left, the container is removed and another takes its place.

The control socket takes, beside init's lines: `start PATH`, with an order in that file (argv, env, cwd, log, report, and
where wanted stdin and answer, see init.py's options); `clean`, answered by `1` or by what is left.

Runs alone (``-I -S``, Python 3.8 or later).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

if not __package__:  # as a program: nobody has told where our own modules are
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from celery_harness_agent.init import Init, _append, _listen
from celery_harness_agent.traces import Traces

_EX_USAGE = 2


class Seat(Init):
    """One container, one main process at a time."""

    def __init__(self, control: str, lifeline: str, ours: set[str]) -> None:
        super().__init__({}, [])
        self._traces = Traces(ours)
        self._control = _listen(control)
        self._line = os.open(lifeline, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._order: dict[str, Any] = {}

    def run(self) -> int:
        """Until the harness lets go."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        poll.register(self._line, 0)  # no event but the hang-up
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wakeup:
                    status = self._signals(os.read(self._wakeup, 512))
                    if status is not None:
                        self._ended(status)
                elif descriptor == self._line:
                    return 0
                else:
                    self._obey(self._control)

    def _answer(self, words: list[str]) -> str:
        if words[0] == "start":
            return self._take(words[1])
        if words[0] == "clean":
            if self._main or self._others():
                return "processes are left"
            return self._traces.remove() or "1"
        return super()._answer(words)

    def _take(self, path: str) -> str:
        if self._main or self._others():
            return "it is taken"
        order = json.loads(Path(path).read_text(encoding="utf-8"))
        self._order, self._argv, self._options = order, order["argv"], {k: order[k] for k in ("stdin", "answer") if k in order}
        self._report = _append(order["report"])
        self._traces.dials(_dialled(order["env"]))
        self._start()
        return "1"

    def _become_main(self) -> None:
        """As the engine would have started it."""
        log = _append(self._order["log"])
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(self._order["cwd"])
        os.environ.update(self._order["env"])
        super()._become_main()

    def _ended(self, status: int) -> int:
        """What is left in the container would have ended with it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        return self._over(status)

    def _over(self, status: int) -> int:
        if self._main:
            self._main = 0
            self._tell(status=int(status), at=time.monotonic_ns())
            os.close(self._report)
            self._report = -1
        return 0

    def _kill_all(self) -> bool:
        ended = super()._kill_all()
        if ended:
            self._main = 0
            os.close(self._report)
            self._report = -1
        self._killed = False
        return ended

    def _signal(self, pid: int, number: int) -> bool:
        return pid > 1 and super()._signal(pid, number)

    def _signal_group(self, number: int) -> bool:
        return self._main > 1 and super()._signal_group(number)


def _dialled(env: dict[str, str]) -> set[int]:
    """Ports that the process may connect to, by its own settings (settings.py); without any, it connects to nothing that we know."""
    try:
        settings = json.loads(Path(env["CELERY_HARNESS_AGENT"]).read_text(encoding="utf-8"))
        return {int(port) for _, port in settings["allow"]}
    except (OSError, KeyError, ValueError, TypeError):
        return set()


def parse(arguments: list[str]) -> tuple[dict[str, str], set[str]]:
    """Options by name, and the folders that are ours; ValueError where they are none."""
    found: dict[str, str] = {}
    ours = set()
    for name, value in zip(arguments[::2], arguments[1::2]):
        if name == "--ours":
            ours.add(value)
        else:
            found[name.lstrip("-")] = value
    if len(arguments) % 2 or set(found) != {"control", "lifeline"}:
        raise ValueError("usage: seat.py --control PATH --lifeline PATH [--ours PATH]...")
    return found, ours


def main(arguments: list[str]) -> None:
    """Never returns."""
    try:
        options, ours = parse(arguments)
    except ValueError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(_EX_USAGE)
    if os.getpid() != 1:  # `end` is for everything that it can reach
        sys.stderr.write("seat.py is process 1 of a container of ours, and nothing else\n")
        sys.exit(_EX_USAGE)
    sys.exit(Seat(options["control"], options["lifeline"], ours).run())


if __name__ == "__main__":
    main(sys.argv[1:])
