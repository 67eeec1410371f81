"""The explorer's warm process: imports the app as a worker does, then forks a child for each delivery.

It never runs a task itself: module memory would be warm, and sockets shared. docs/explorer.md, "How".
"""

from __future__ import annotations

import gc
import importlib
import os
import platform
import signal
import socket
import stat
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any, Iterator, NoReturn, Sequence

from celery_harness_agent import answer, application, call, config, own_time, seccomp, virtual_clock
from celery_harness_agent.asked_at_import import AskedAtImport
from celery_harness_agent.channel import Channel, exempt_descriptor, own_descriptor
from celery_harness_agent.explored_child import Child, user_modules
from celery_harness_agent.frames import Frames
from celery_harness_agent.guard import Guard
from celery_harness_agent.hot_pages import HotPages
from celery_harness_agent.launch import die_with_parent, parent_from_environment
from celery_harness_agent.line_stops import LineStops
from celery_harness_agent.lines_of_stops import Lines
from celery_harness_agent.settings import Settings
from celery_harness_agent.settings import load as settings_of
from celery_harness_agent.shared_page import SharedPage

__all__ = ["CHANNEL", "LINES", "main"]

#: The option by which children are stopped at the user's lines, not at effects: without a filter.
LINES = "lines"

#: The environment's name for the descriptor of the socket to the supervisor.
CHANNEL = "CELERY_HARNESS_EXPLORER"
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37
#: Of Celery's own, and of ours: what every app makes a worker import, and what brokers and backends by these schemes need.
_EARLY = (
    "celery.app.trace",
    "celery.app.amqp",
    "celery.backends.base",
    "celery.fixups.django",
    "celery.loaders.app",
    "celery.worker.strategy",
    "celery_harness_agent.hooks",
)
_EARLY_BY_SCHEME = (("broker", "redis", "kombu.transport.redis"), ("backend", "redis", "celery.backends.redis"))
#: By which events a process tells that it starts another.
_STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system")
_LOOPBACK_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class _Refused(Exception):
    """The app cannot be explored; ``document`` says why, as an answer has it."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document.get("what"))
        self.document = document


def main(settings: Settings, options: Sequence[str] = ()) -> None:
    """Never returns. ``options``: none, or `LINES`.

    What is said: `Channel`, first {ok, …} or {ok: false, error}; then one answer per order.
    """
    die_with_parent(parent_from_environment())
    channel = Channel(own_descriptor(CHANNEL))
    settings.egress = []  # what nobody can set back must not be reached a thousand times
    config.force_addresses(settings)
    frames = Frames(settings.root)
    child = Child(settings, frames, exempt_descriptor())
    at_lines = LINES in options
    asked = AskedAtImport()
    others = dict.fromkeys(_STARTS, child.has_started) if at_lines else asked.beside(child.files.events())
    guard = Guard(settings, frames, None, child.refused)
    guard.install(others)
    application.use_working_folder()
    sys.dont_write_bytecode = True  # or the first delivery that imports something writes more than the next
    before = _connections()
    if at_lines:
        own = own_time.OwnTime(child.pass_time)
        own.install()
        child.move_clocks = own.move
    _import_early([*_EARLY, *_of_schemes(settings)])
    asked.watch(_await_word(channel, guard))
    config.merge_when_loaded(settings.config)
    try:
        app = _import_app(settings, frames)
        asked_at_import = asked.taken()
        page = SharedPage()
        child.prepare(app, page, LineStops(page, frames, child.ask) if at_lines else Lines(page, frames))
        _demand_nothing_running(before)
        seen = {"undeclared": list(child.refused_at_import), "read": child.files.take()}
        told = {**_told(app, settings, frames), **_abilities(page, at_lines=at_lines), **seen, "connected": _local_connections()}
        told["asked_at_import"] = asked_at_import
        child.clock = at_lines and not told["no_clock"]
        _tell(channel, told, page)
    except _Refused as refused:
        channel.send({"ok": False, "error": refused.document})
        os._exit(0)
    os.close(page.descriptor)
    _serve(channel, child)


def _tell(channel: Channel, told: dict[str, Any], page: SharedPage) -> None:
    try:
        channel.send({"ok": True, **told}, [page.descriptor])
    except OSError as exc:
        raise _Refused({"kind": "descriptors", "what": f"sendmsg(SCM_RIGHTS): {exc.strerror}"}) from exc


def _await_word(channel: Channel, guard: Guard) -> "list[str]":
    """Wait for it: the world that the app may look into is still being made, also by functions that are called in forks of this
    process. The world's folders.
    """
    while True:
        try:
            word = channel.receive()
            if "call" not in word:
                return list(word.get("watched") or ())
            _call(word, channel, guard)
        except (EOFError, OSError):
            os._exit(0)


def _call(word: "dict[str, Any]", channel: Channel, guard: Guard) -> None:
    """As the program `call` does it, in a fork, which has all of Celery already; and wait for its end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    own = os.getpid()
    pid = os.fork()
    if pid == 0:
        theirs.close()
        channel.abandon()
        _answer_call(word, Channel(ours.detach()), guard, own)
    ours.close()
    channel.send({"pid": pid}, [theirs.fileno()])
    theirs.close()
    _, status = os.waitpid(pid, 0)
    channel.send({"status": -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)})


def _answer_call(word: "dict[str, Any]", channel: Channel, guard: Guard, parent: int) -> NoReturn:
    """In the fork: with the environment, the output and the session that a process of its own would have, and an end as it has."""
    try:
        die_with_parent(parent)
        os.setsid()
        output = os.open(word["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        for standard in (1, 2):
            os.dup2(output, standard)
        os.close(output)
        os.environ.clear()
        os.environ.update(word["environment"])
        guard.retire()
        sys.dont_write_bytecode = False
        channel.send(call.called(settings_of(), lambda: dict(word["call"])))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.exit(0)  # what it has not closed is written then


def _of_schemes(settings: Settings) -> "list[str]":
    return [name for role, scheme, name in _EARLY_BY_SCHEME if str(getattr(settings, role) or "").startswith((scheme + ":", scheme + "s:"))]


def _serve(channel: Channel, child: Child) -> None:
    """Fork children by order, until the supervisor is gone."""
    child.count_modules()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that nobody has to wait for them
    tempfile.gettempdir()  # it tries the folder with a name that it draws: once is enough for all
    gc.collect()
    gc.freeze()
    while True:
        try:
            order = channel.receive()
        except (EOFError, OSError):
            os._exit(0)
        if "pages" in order:
            child.hot = HotPages(order["pages"])
            continue
        if "import" in order:
            _import_early(order["import"])
            child.count_modules()
            continue
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        pid = os.fork()
        if pid == 0:
            theirs.close()
            channel.abandon()
            child.run(ours.detach(), stops=bool(order.get("stops")))
        ours.close()
        channel.send({"pid": pid}, [theirs.fileno()])
        theirs.close()


def _import_early(names: list[str]) -> None:
    """What each child would import anew: modules of the standard library and of Celery's own, none that could start anything."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # then the children go on importing it by themselves
            continue
    gc.freeze()


def _become_subreaper() -> str:
    """Whatever a task's processes leave behind stays below us: so all of it can be found, and looked into. '' or why it does not."""
    if not sys.platform.startswith("linux"):
        return f"this is {sys.platform}"
    import ctypes

    libc, held = ctypes.CDLL(None, use_errno=True), ctypes.c_int(0)
    arguments = [ctypes.c_ulong(value) for value in (1, 0, 0, 0)]  # variadic: what is no c_ulong has garbage in its upper half
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, *arguments) != 0:
        return f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(ctypes.get_errno())}"
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(held), *arguments[1:])
    return "" if held.value == 1 else "prctl(PR_SET_CHILD_SUBREAPER) has no effect"


def _import_app(settings: Settings, frames: Frames) -> Any:
    """As a worker does it, with its optimizations, before it forks its pool."""
    try:
        app = application.find_app(settings.app)
        config.merge(app.conf, settings.config)
        app.loader.init_worker()  # import_default_modules, and what the loader does at a worker's start
        app.finalize(auto=True)
    except (Exception, SystemExit) as exc:
        kind = "connects" if isinstance(exc, ConnectionRefusedError) and "celery-harness" in str(exc) else "import"
        what = f"importing {settings.app.partition(':')[0]} failed: {type(exc).__name__}: {exc}"
        raise _Refused(answer.describe(kind, what, exc, frames)) from exc
    _demand_our_servers(app, settings)
    return app


def _demand_our_servers(app: Any, settings: Settings) -> None:
    for part, connect in (("broker_read_url", app.connection_for_read), ("broker_write_url", app.connection_for_write)):
        connection = connect()
        if not config.is_ours(connection, settings):
            raise _Refused({"kind": "addresses", "what": f"{part} is {connection.as_uri()}, which the harness did not start"})
    url, ours = config.backend_address(app, settings)
    if not ours:
        raise _Refused({"kind": "addresses", "what": f"result_backend is {url}, which the harness did not start"})


def _demand_nothing_running(before: set[str]) -> None:
    """What a fork does not copy, or shares: threads and connections."""
    named = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    listed = os.listdir("/proc/self/task") if Path("/proc/self/task").is_dir() else [""]  # noqa: PTH208 (the standard library of 3.8)
    others = len(listed) - 1 - len(named)
    if others > 0:
        named.append(f"{others:d} of a library")
    if named:
        raise _Refused({"kind": "threads", "what": f"importing the app starts threads, which a fork does not copy: {', '.join(named)}"})
    new = sorted(_connections() - before)
    if new:
        raise _Refused({"kind": "connections", "what": f"importing the app opens connections, which forks would share: {', '.join(new)}"})


def _connections() -> set[str]:
    """Addresses that this process is connected to."""
    return {"{}:{}".format(*peer[:2]) for family, peer in _peers() if family in _LOOPBACK_FAMILIES}


def _local_connections() -> list[str]:
    """Paths of sockets of other programs on this machine that this process is connected to, such as the system's log."""
    return sorted({os.fsdecode(peer).replace("\0", "@", 1) for family, peer in _peers() if family == socket.AF_UNIX and peer})


def _peers() -> Iterator[tuple[int, Any]]:
    """(family, address) of what each socket of this process is connected to."""
    folder = "/proc/self/fd" if Path("/proc/self/fd").is_dir() else "/dev/fd"
    for name in os.listdir(folder):  # noqa: PTH208
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as copy:
                peer = copy.family, copy.getpeername()
        except OSError:
            continue  # closed meanwhile, or connected to nothing
        yield peer


def _told(app: Any, settings: Settings, frames: Frames) -> dict[str, Any]:
    import celery
    import kombu

    from celery_harness_agent.hooks import described_tasks

    tasks = described_tasks(app)
    for name, task in tasks.items():
        task["acks_on_failure_or_timeout"] = config.plain(getattr(app.tasks[name], "acks_on_failure_or_timeout", None))
    versions = {"python": platform.python_version(), "celery": celery.__version__, "kombu": kombu.__version__}
    return {
        **versions,
        "root": settings.root,
        "config": config.effective(app.conf),
        "tasks": tasks,
        "celerys": {name: _acks(task) for name, task in app.tasks.items() if name not in tasks},
        "modules": user_modules(frames, list(sys.modules)),
    }


def _acks(task: Any) -> dict[str, Any]:
    return {name: config.plain(getattr(task, name, None)) for name in ("acks_late", "reject_on_worker_lost", "max_retries")}


def _abilities(page: SharedPage, *, at_lines: bool) -> dict[str, Any]:
    """What this machine lets us do: the names of calls, or why there is no filter; the clock, or why there is none."""
    no_clock = own_time.trouble() if at_lines else ""
    told: dict[str, Any] = {"pid": os.getpid(), "arch": seccomp.arch(), "no_filter": seccomp.trouble(), "no_clock": no_clock}
    told["no_reaper"] = _become_subreaper()
    told["calls"] = {} if told["no_filter"] else {str(number): name for number, name in seccomp.call_names().items()}
    try:
        if not no_clock:
            virtual_clock.set_up(page.address)
    except virtual_clock.NoClock as exc:
        told["no_clock"] = str(exc)
    return told
