"""Who else of the app's could still act here: threads that it started, and what it does where nobody records it.

A task that has ended may have left work behind: `threading.Timer(0.25, later.delay)`. So its `end` says where that may be, and
`alone` that it is over. Where there is nothing of the kind, which is the rule, an end costs one look at the interpreter's own count.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, Callable

from celery_harness_agent.journal import Journal, mono

try:  # threads beside the main one
    from _thread import _count as _running_threads
except ImportError:  # not CPython

    def _running_threads() -> int:
        return 1


__all__ = ["Company"]

_STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system")
#: Imported by the first process that is started in one of these ways, which no event of its own tells.
_STARTERS = frozenset(f"{of}.popen_{how}" for of in ("multiprocessing", "billiard") for how in ("spawn_posix", "forkserver"))
#: Of the standard library: they ask a program for something (`uname -p` for Celery's banner, `ldconfig`) and wait for its end.
_ASKING = frozenset({"platform", "ctypes.util"})
_LOOK_SECONDS = 0.05
_LOOKS = 2  # at threads that wait: one that was woken a moment ago still stands where it waited
_EXECUTOR = os.path.join("concurrent", "futures", "thread.py")  # noqa: PTH118 (compared with names of code)

Hook = Callable[[str, Any], None]


class Company:
    """Of one process, and by inheritance of its forks, in which no thread lives on.

    ``apart``: the app has started a process, or runs on greenlets. What happens there is recorded, but not when it is over.
    """

    def __init__(self, journal: Journal) -> None:
        self._emit = journal.emit
        self._main = os.getpid()
        self._lock = threading.RLock()
        self._pool: Any = None
        self._pool_forks = True
        self._greenlets = False
        self._usual: set[threading.Thread] = set()
        self._watcher: threading.Thread | None = None
        self._looks = 0
        self.begun = False
        self.apart = not _STARTERS.isdisjoint(sys.modules)
        os.register_at_fork(after_in_child=self._forked)

    def hooks(self) -> dict[str, Hook]:
        """For the one audit hook that there is: what to call at which event."""
        return {**dict.fromkeys(_STARTS, self._started), "import": self._imported}

    def of_pool(self, pool: Any) -> None:
        """Of what runs the tasks: `prefork` forks, `threads` has threads, and of greenlets nobody has a list."""
        kind = type(pool).__module__
        self._pool, self._pool_forks = pool, "prefork" in kind
        self._greenlets = "gevent" in kind or "eventlet" in kind
        self.apart = self.apart or self._greenlets

    def begin(self) -> None:
        """The first task begins. The threads that are there stay, such as that of a metrics library: no end is to wait for them."""
        with self._lock:
            if not self.begun and not self._greenlets:
                self._usual = set(threading.enumerate())
            self.begun = True

    def end(self, line: str) -> None:
        """Record an `end`, or whatever ends what the app was called for: a JSON object and a newline."""
        if not (self.apart or _running_threads()):
            self._emit(line)
        elif self._greenlets:
            self._emit(f'{line[:-2]},"apart":1}}\n')
        else:
            with self._lock:
                left = self._left()
                marks = (f',"threads":{len(left)}' if left else "") + (',"apart":1' if self.apart else "")
                self._emit(f"{line[:-2]}{marks}}}\n")
                if left:
                    self._watch()

    def _watch(self) -> None:
        """One thread does, for all ends."""
        self._looks = 0
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._until_alone, name="celery-harness", daemon=True)
            self._watcher.start()

    def _until_alone(self) -> None:
        """Says so in one step with seeing it: an end that comes meanwhile waits, and starts another watch."""
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                frames = sys._current_frames()
                self._looks = 0 if any(not _waits_for_others(frames.get(t.ident or 0)) for t in self._left()) else self._looks + 1
                if self._looks >= _LOOKS:
                    self._watcher = None
                    self._emit(f'{{"k":"alone","m":{mono()}}}\n')
                    return

    def _left(self) -> list[threading.Thread]:
        """Threads of the app's own."""
        ours = (threading.current_thread(), self._watcher)
        pool = getattr(getattr(self._pool, "executor", None), "_threads", ())
        return [t for t in threading.enumerate() if t not in self._usual and t not in ours and t not in pool]

    def _started(self, event: str, arguments: Any) -> None:
        """A process; whose, the callers tell. The pool forks its own by billiard, in the worker's main process."""
        modules = _callers()
        own_pool = event == "os.fork" and self._pool_forks and os.getpid() == self._main
        if _ASKING.isdisjoint(modules) and not (own_pool and any(name.startswith("billiard.") for name in modules)):
            self.apart = True

    def _imported(self, event: str, arguments: Any) -> None:
        if arguments[0] in _STARTERS:
            self.apart = True

    def _forked(self) -> None:
        self._lock = threading.RLock()
        self._pool = self._watcher = None
        self._usual = set()
        self.begun = False


def _waits_for_others(frame: Any) -> bool:
    """Does this thread wait without a limit of time, for an executor's next job or on a condition? Then somebody else has to act first."""
    if frame is None:
        return False
    code, names = frame.f_code, frame.f_locals
    if code.co_filename == threading.__file__ and code.co_name == "wait":
        condition = names.get("self")
        return names.get("timeout", 0) is None and names.get("waiter") in getattr(condition, "_waiters", ())
    if code.co_filename.endswith(_EXECUTOR) and code.co_name == "_worker":
        return bool(names["work_queue"].qsize() == 0)
    return False


def _callers() -> set[str]:
    """The names of all modules that are at work now."""
    names = set()
    frame: Any = sys._getframe(1)
    while frame is not None:
        names.add(str(frame.f_globals.get("__name__")))
        frame = frame.f_back
    return names
