"""``python -I -S init.py OPTIONS -- ARGV``: process 1 of a container of ours; ARGV is its main process.

A SIGKILL from inside never reaches process 1, and what nobody reaps stays a zombie there. So the worker is a child that
leads a session of its own, as it does outside containers: it can kill its group, its orphans are reaped, and the
container ends when it does, with everything that is left in it.

Runs alone (``-I -S``, Python 3.8 or later): it imports nothing of the package. Options, each with a path:

--report    one JSON document per line: {"pid", "at"} when ARGV runs, {"status", "at"} when it has ended (negative: signal;
            ``at``: CLOCK_MONOTONIC, ns)
--log       where ARGV's output goes
--stdin     a FIFO or file for its standard input; without it /dev/null
--answer    created, and open for ARGV as the descriptor in CELERY_HARNESS_OUT
--control   a Unix socket that takes one line per connection: `children`, `use`, `signal PID NUMBER`, `group NUMBER`, or `end`: SIGKILL to
            everything but process 1, answered when all of it is gone
--lifeline  a FIFO that the harness holds open: when it lets go, everything here ends
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from pathlib import Path

OPTIONS = ("--report", "--log", "--stdin", "--answer", "--control", "--lifeline")
#: To the main process alone, as a terminal or an engine means them.
FORWARDED = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_EX_USAGE = 2
_EX_NO_PROGRAM = 127
_CONTROL_SECONDS = 2.0
#: An engine's default may be a million and more, and a pool closes them all, one by one, in every child that it forks.
_FILES = 65_536


def parse(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options by their names without dashes, and ARGV; ValueError where they are none."""
    options = {}
    while arguments and arguments[0] in OPTIONS and len(arguments) > 1:
        options[arguments[0][2:]] = arguments[1]
        arguments = arguments[2:]
    if arguments[:1] != ["--"] or len(arguments) < 2:
        raise ValueError("usage: init.py [--report|--log|--stdin|--answer|--control|--lifeline PATH]... -- PROGRAM [ARGUMENT...]")
    return options, arguments[1:]


class Init:
    """One main process, its signals, its orphans."""

    def __init__(self, options: dict[str, str], argv: list[str]) -> None:
        self._options = options
        self._argv = argv
        self._main = 0
        self._killed = False
        self._report = _append(options["report"]) if "report" in options else -1
        self._wakeup, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGCONT, signal.SIGCHLD):
            signal.signal(number, _noted)  # the number comes through the pipe

    def run(self) -> int:
        """Until the main process has ended; its exit status as shells have it (128 + signal)."""
        control = _listen(self._options["control"]) if "control" in self._options else None
        lifeline = os.open(self._options["lifeline"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if "lifeline" in self._options else -1
        self._start()
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        if control is not None:
            poll.register(control, select.POLLIN)
        if lifeline >= 0:
            poll.register(lifeline, 0)  # no event but the hang-up
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wakeup:
                    status = self._signals(os.read(self._wakeup, 512))
                    if status is not None:
                        return self._ended(status)
                elif descriptor == lifeline:
                    sys.stderr.write("harness init: the harness is gone; so is this container\n")
                    return self._ended(-signal.SIGKILL)
                elif control is not None:
                    self._obey(control)
                    if self._killed:
                        return 128 + signal.SIGKILL

    def _start(self) -> None:
        at = time.monotonic_ns()
        self._main = os.fork()
        if self._main == 0:
            try:
                self._become_main()
            finally:
                os._exit(_EX_NO_PROGRAM)
        self._tell(pid=self._main, at=at)

    def _become_main(self) -> None:
        os.setsid()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft > _FILES:
            resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))
        signal.set_wakeup_fd(-1)
        for number in (*FORWARDED, signal.SIGCONT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(self._options.get("stdin", os.devnull), os.O_RDONLY), 0)
        os.environ["CELERY_HARNESS_PARENT"] = str(os.getppid())
        if "answer" in self._options:
            answer = os.open(self._options["answer"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.set_inheritable(answer, True)
            os.environ["CELERY_HARNESS_OUT"] = str(answer)
        try:
            os.execvp(self._argv[0], self._argv)
        except OSError as exc:
            sys.stderr.write(f"harness init: cannot start {self._argv[0]}: {exc.strerror}\n")

    def _signals(self, numbers: bytes) -> int | None:
        """Forward, reap; the main process's status when it has ended."""
        for number in numbers:
            if number == signal.SIGCONT:
                self._signal_group(number)
            elif number != signal.SIGCHLD:
                self._signal(self._main, number)
        return self._reap()

    def _reap(self) -> int | None:
        """All that have ended: the main process, and orphans that became ours."""
        found = None
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._main:
                    found = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return found

    def _ended(self, status: int) -> int:
        """The kernel kills what is left in the container when this process ends."""
        self._tell(status=int(status), at=time.monotonic_ns())
        return 128 - status if status < 0 else status

    def _tell(self, **document: int) -> None:
        if self._report >= 0:
            os.write(self._report, json.dumps(document).encode() + b"\n")

    def _obey(self, control: socket.socket) -> None:
        """One question, one answer. Whoever asks and then stalls is left."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            connection, _ = control.accept()
            with connection:
                connection.settimeout(_CONTROL_SECONDS)
                words = connection.recv(256).decode().split()
                connection.sendall(self._answer(words).encode() + b"\n")

    def _answer(self, words: list[str]) -> str:
        if words[0] == "children":
            return " ".join(str(pid) for pid in self._others())
        if words[0] == "use":
            return self._use()
        if words[0] == "end":
            return str(int(self._kill_all()))
        if words[0] == "signal":
            return str(int(self._signal(int(words[1]), int(words[2]))))
        return str(int(self._signal_group(int(words[1]))))

    def _kill_all(self) -> bool:
        """The report is written before the answer: whoever has that need not wait for the engine to notice."""
        if os.getpid() != 1:  # to everything, outside a container, would be to the whole machine
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        deadline = time.monotonic() + _CONTROL_SECONDS / 2
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < deadline:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.001)
            return False  # something hangs in the kernel: the engine has to see to it
        self._tell(status=-int(signal.SIGKILL), at=time.monotonic_ns())
        self._killed = True
        return True

    def _others(self) -> list[int]:
        """Every process here but this one and the main one: its children, and orphans."""
        found = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return sorted(pid for pid in found if pid not in (os.getpid(), self._main) and not _is_zombie(pid))

    def _use(self) -> str:
        """Processor seconds and resident bytes of all processes here but this one (proc(5), `stat`: utime, stime, cutime, cstime, rss)."""
        ticks = pages = 0
        for pid in [self._main, *self._others()]:
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = Path(f"/proc/{pid:d}/stat").read_bytes().rpartition(b") ")[2].split()
                ticks += sum(int(field) for field in fields[11:15])
                pages += int(fields[21])
        return f"{ticks / os.sysconf('SC_CLK_TCK'):.3f} {pages * os.sysconf('SC_PAGE_SIZE'):d}"

    def _signal(self, pid: int, number: int) -> bool:
        try:
            os.kill(pid, number)
        except OSError:
            return False
        return True

    def _signal_group(self, number: int) -> bool:
        try:
            os.killpg(self._main, number)
        except OSError:
            return False
        return True


def _noted(*_: object) -> None:
    """Nothing: a handler must be there for the pipe to be written."""


def _append(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid:d}/stat").read_bytes().rpartition(b") ")[2][:1] == b"Z"
    except OSError:
        return True  # gone meanwhile


def _listen(path: str) -> socket.socket:
    """A path of a socket may have 107 bytes; through its folder's descriptor any path fits."""
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f"/proc/self/fd/{folder:d}/{Path(path).name}")
    finally:
        os.close(folder)
    listener.listen(8)
    return listener


def main(arguments: list[str]) -> None:
    """Never returns."""
    try:
        options, argv = parse(arguments)
    except ValueError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(_EX_USAGE)
    if "log" in options:
        log = _append(options["log"])
        os.dup2(log, 1)
        os.dup2(log, 2)
    try:
        status = Init(options, argv).run()
    except OSError as exc:
        sys.stderr.write(f"harness init: {exc}\n")
        status = _EX_NO_PROGRAM
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
