"""A Locust run as the producer of a run of the harness: it says `ready`, waits for `go`, says `load_done`, and stays until `stop`.

Between the last two Locust's users have stopped, and what became of their calls still comes in. The process that the harness
started (local, or the master) reads lines; those that are about calls of another process it passes on by Locust's own messages.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import gevent
import locust
from gevent import os as gevent_os
from gevent.event import Event
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import StatsCSVFileWriter

from celery_harness_agent.journal import Journal, mono, quoted
from celery_harness_agent.launch import die_with_parent
from celery_harness_locust.guest import Guest
from celery_harness_locust.guests import HELLO, Guests
from celery_harness_locust.member import Member
from celery_harness_locust.user import CeleryUser

__all__ = ["Conductor"]

_ENDED = "celery_harness_ended"
_LOOK_SECONDS = 0.25
_ROWS = 500  # in one message
_OTHERS_SECONDS = 600  # until workers are there that somebody starts by hand


class Conductor:
    """Of one process; `join` before Locust's `main`."""

    def __init__(self, member: Member, journal: Journal) -> None:
        self._member = member
        self._emit = journal.emit
        self._go, self._stop = Event(), Event()
        self._t0 = 0
        self._started_by = os.getpid()
        self._clients: dict[int, str] = {}  # pid -> Locust's id of a worker
        self._guests = Guests(member.settings)
        self._lost: set[str] = set()
        self._finishing = False
        self._listener: Any = None  # the greenlet that hears the harness
        self._warns = hasattr(locust.events, "cpu_warning")
        self._environment: Any = None

    def join(self) -> None:
        """Listen to Locust's events."""
        locust.events.init.add_listener(self._init)
        locust.events.test_start.add_listener(lambda **_: self._member.open())
        locust.events.test_stopping.add_listener(self._test_stopping)
        locust.events.test_stop.add_listener(self._test_stop)
        locust.events.quitting.add_listener(self._quitting)
        if self._warns:
            locust.events.cpu_warning.add_listener(self._busy)
        _write_before_closing()

    def _init(self, environment: Any, runner: Any, **_: Any) -> None:
        self._environment = environment
        if isinstance(runner, MasterRunner):
            runner.register_message(HELLO, self._here)
            self._guests.serve(runner)
        else:
            if os.getpid() != self._started_by and "CELERY_HARNESS_PARENT" in os.environ:
                die_with_parent()  # what a fork forgets
            self._prepare(environment)
        if isinstance(runner, WorkerRunner):
            runner.register_message(_ENDED, self._ended)
            if isinstance(self._member, Guest):
                self._member.join_master(runner)
            else:
                runner.send_message(HELLO, {"pid": self._member.pid})
            return
        runner.quit = self._finishing_first(runner)
        self._listener = gevent.spawn(self._listen)
        if isinstance(runner, MasterRunner):
            self._await_workers(runner, environment.parsed_options)
            gevent.spawn(self._watch, runner)
        self._emit(f'{{"k":"ready","m":{mono()}}}\n')
        self._go.wait()
        self._member.begin_at(self._t0)
        self._guests.begin_at(self._t0)
        gevent.sleep(max(0.0, (self._t0 - mono()) / 1e9))

    def _prepare(self, environment: Any) -> None:
        """Find the apps now: the first user pays for nothing."""
        for user in environment.user_classes:
            if issubclass(user, CeleryUser):
                self._member.app(user.app)

    # --- what the harness says ----------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Until the end of the input: then the harness is gone, and so is what the load was for."""
        gevent_os.make_nonblocking(0)
        carry = b""
        while True:
            data = gevent_os.nb_read(0, 1 << 16)
            if not data:
                break
            *lines, carry = (carry + data).split(b"\n")
            for line in lines:
                self._obey(line.decode())
        self._stop.set()
        if not self._go.is_set():
            os._exit(0)

    def _obey(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "go":
            self._t0 = int(rest)
            self._go.set()
        elif word == "ended":
            self._deal_out(json.loads(rest))
        elif word == "stop":
            self._stop.set()
        elif word:
            sys.stderr.write(f"harness agent: Locust's process does not know {line[:80]!r}\n")

    def _deal_out(self, by_process: dict[str, list[Any]]) -> None:
        """To the processes whose calls they are; those of one that is gone are nobody's."""
        for pid, rows in by_process.items():
            client = self._clients.get(int(pid))
            if int(pid) == self._member.pid:
                self._member.take(self._environment, rows)
            elif client is not None:
                for at in range(0, len(rows), _ROWS):
                    self._environment.runner.send_message(_ENDED, {"rows": rows[at : at + _ROWS]}, client)

    # --- Locust's messages --------------------------------------------------------------------------------------

    def _here(self, environment: Any, msg: Any, **_: Any) -> None:
        if "pid" in msg.data:
            self._clients[int(msg.data["pid"])] = msg.node_id
        else:
            self._guests.welcome(msg.node_id, msg.data)

    def _ended(self, environment: Any, msg: Any, **_: Any) -> None:
        self._member.take(environment, msg.data["rows"])

    def _await_workers(self, runner: Any, options: Any) -> None:
        """Those of somebody else for as long as Locust's own option says, else for ten minutes; then the harness is told, and ends this."""
        expected, patience = options.expect_workers, getattr(options, "expect_workers_max_wait", 0) or _OTHERS_SECONDS
        if self._member.settings.worker_file:
            self._say("waits", self._wanted(runner, expected))
        deadline: float | None = time.monotonic() + patience
        while len(runner.clients.ready) < expected or len(self._clients) < expected:
            time.sleep(0.02)
            self._clients.update(self._guests.ready())
            if deadline is not None and time.monotonic() > deadline:
                came = min(len(runner.clients.ready), len(self._clients))
                self._say("absent", f"{came} of {expected} workers of Locust came within {patience} s")
                deadline = None

    def _wanted(self, runner: Any, expected: int) -> str:
        """For whoever starts them."""
        settings = self._member.settings
        at = f"{runner.master_bind_host}:{runner.master_bind_port}"
        ports = [str(runner.master_bind_port), *(str(port) for _, port in settings.allow_elsewhere)]
        how = f"ports {', '.join(dict.fromkeys(ports))} and the file {settings.worker_file}"
        workers = "1 worker" if expected == 1 else f"{expected} workers"
        return f"Locust waits for {workers} at {at}. One on another machine needs {how} (docs/load-hosts.md)"

    def _watch(self, runner: Any) -> None:
        """A worker that is gone takes its users with it: Locust starts them elsewhere, and goes on with other numbers."""
        while not self._finishing:
            self._count_workers(runner)
            gevent.sleep(_LOOK_SECONDS)

    def _count_workers(self, runner: Any) -> None:
        """Locust misses a worker after three seconds only, and one that ended just before the load did never."""
        self._clients.update(self._guests.ready())
        for pid, client in self._clients.items():
            node = runner.clients.get(client)
            here = not self._guests.is_one(client)
            if node is None or node.state == "missing" or (here and not self._member.is_alive(pid)):
                self._lose(client, f" (process {pid})" if here else "")

    def _lose(self, client: str, process: str) -> None:
        if client not in self._lost:
            self._lost.add(client)
            self._say("lost", f"Locust lost its worker {client}{process}: its users were started elsewhere or not at all")

    def _say_what_is_unmeasured(self, runner: Any) -> None:
        """Locust looks at its processor now and then (every 10 s in 2.47, and the first look yields 0); its older versions tell nobody."""
        one = [client.cpu_usage for client in runner.clients.values()] if isinstance(runner, MasterRunner) else [runner.current_cpu_usage]
        if not self._warns:
            self._say("unmeasured", "how busy Locust's processes were was not measured: this version of Locust does not tell")
        elif not all(one):
            self._say("unmeasured", "how busy Locust's processes were was not measured: the load was over before Locust had a figure")

    def _say(self, what: str, text: str) -> None:
        self._emit(f'{{"k":"locust","m":{mono()},"what":"{what}","text":{quoted(text)}}}\n')

    # --- the end ------------------------------------------------------------------------------------------------

    def _finishing_first(self, runner: Any) -> Any:
        """Locust's `quit`, but when users have stopped it waits for the drain, so that the statistics are complete."""
        quit_now = runner.quit

        def finish_and_quit() -> None:
            if gevent.getcurrent() is self._listener:  # a listener of the locustfile's, told of a row: who waits cannot hear `stop`
                gevent.spawn(finish_and_quit)
                return
            if not self._finishing:
                self._finish(runner)
            quit_now()
            self._emit(f'{{"k":"down","m":{mono()}}}\n')

        return finish_and_quit

    def _finish(self, runner: Any) -> None:
        self._finishing = True
        runner.stop()
        self._count_workers(runner)
        for client in self._guests.vanished():
            self._lose(client, "")
        if summary := self._guests.summary():
            self._say("elsewhere", summary)
        self._say_what_is_unmeasured(runner)
        self._emit(f'{{"k":"load_done","m":{mono()},"late":0,"dropped":0}}\n')
        self._stop.wait()
        self._count_workers(runner)

    def _test_stopping(self, environment: Any, **_: Any) -> None:
        """Locust is about to kill its users, wherever they are."""
        if not isinstance(environment.runner, MasterRunner):
            self._member.close()

    def _busy(self, cpu_usage: float, **_: Any) -> None:
        """Locust's own warning: from here on it measures itself."""
        text = f"a Locust process had its processor to {cpu_usage:.0f} %, so it measured itself: give it more --processes, or fewer users"
        self._say("busy", text)

    def _test_stop(self, environment: Any, **_: Any) -> None:
        """Somebody stopped it on the web page, or no worker is left."""
        if not self._finishing and not isinstance(environment.runner, WorkerRunner):
            gevent.spawn(self._quit_all, environment)

    def _quit_all(self, environment: Any) -> None:
        environment.runner.quit()
        if environment.web_ui is not None:
            environment.web_ui.stop()

    def _quitting(self, environment: Any, **_: Any) -> None:
        """Told to by a signal: no drain follows. What Locust's exit status rests on is said while it is still there."""
        self._stop.set()
        runner = environment.runner
        if runner is None or isinstance(runner, WorkerRunner):
            return
        total, raised = runner.stats.total, sum(int(one["count"]) for one in runner.exceptions.values())
        self._say("counted", f"{total.num_failures} of {total.num_requests} requests failed, {raised} exceptions")


def _write_before_closing() -> None:
    """Locust writes its CSV files once a second, and closes them without what has come since; an older one never closes them."""
    close: Any = StatsCSVFileWriter.close_files
    write: Any = StatsCSVFileWriter.stats_writer

    def stats_writer(self: Any) -> Any:
        locust.events.quit.add_listener(lambda **_: _write_all(self))
        return write(self)

    def close_files(self: Any) -> None:
        _write_all(self)
        close(self)

    StatsCSVFileWriter.close_files = close_files  # type: ignore[method-assign]
    StatsCSVFileWriter.stats_writer = stats_writer  # type: ignore[method-assign]


def _write_all(files: Any) -> None:
    for handle, writer, columns, rows in (
        (files.requests_csv_filehandle, files.requests_csv_writer, files.requests_csv_columns, files._requests_data_rows),
        (files.failures_csv_filehandle, files.failures_csv_writer, files.failures_columns, files._failures_data_rows),
        (files.exceptions_csv_filehandle, files.exceptions_csv_writer, files.exceptions_columns, files._exceptions_data_rows),
    ):
        handle.seek(0)
        writer.writerow(columns)
        rows(writer)
        handle.truncate()
        handle.flush()
