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
from celery_harness_locust.member import Member
from celery_harness_locust.user import CeleryUser

__all__ = ["Conductor"]

_HERE, _ENDED = "celery_harness_here", "celery_harness_ended"
_LOOK_SECONDS = 0.25
_ROWS = 500  # in one message


class Conductor:
    """Of one process; `join` before Locust's `main`."""

    def __init__(self, member: Member, journal: Journal) -> None:
        self._member = member
        self._emit = journal.emit
        self._go, self._stop = Event(), Event()
        self._t0 = 0
        self._started_by = os.getpid()
        self._clients: dict[int, str] = {}  # pid -> Locust's id of a worker
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
            runner.register_message(_HERE, self._here)
        else:
            if os.getpid() != self._started_by and "CELERY_HARNESS_PARENT" in os.environ:
                die_with_parent()  # what a fork forgets
            self._prepare(environment)
        if isinstance(runner, WorkerRunner):
            runner.register_message(_ENDED, self._ended)
            runner.send_message(_HERE, {"pid": self._member.pid})
            return
        runner.quit = self._finishing_first(runner)
        self._listener = gevent.spawn(self._listen)
        if isinstance(runner, MasterRunner):
            self._await_workers(runner, environment.parsed_options.expect_workers)
            gevent.spawn(self._watch, runner)
        self._emit(f'{{"k":"ready","m":{mono()}}}\n')
        self._go.wait()
        self._member.begin_at(self._t0)
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
        self._clients[int(msg.data["pid"])] = msg.node_id

    def _ended(self, environment: Any, msg: Any, **_: Any) -> None:
        self._member.take(environment, msg.data["rows"])

    def _await_workers(self, runner: Any, expected: int) -> None:
        while len(runner.clients.ready) < expected or len(self._clients) < expected:
            time.sleep(0.02)

    def _watch(self, runner: Any) -> None:
        """A worker that is gone takes its users with it: Locust starts them elsewhere, and goes on with other numbers."""
        while not self._finishing:
            self._count_workers(runner)
            gevent.sleep(_LOOK_SECONDS)

    def _count_workers(self, runner: Any) -> None:
        """Locust misses a worker after three seconds only, and one that ended just before the load did never."""
        for pid, client in self._clients.items():
            node = runner.clients.get(client)
            if client not in self._lost and (node is None or node.state == "missing" or not self._member.is_alive(pid)):
                self._lost.add(client)
                self._say("lost", f"Locust lost its worker {client} (process {pid}): its users were started elsewhere or not at all")

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
    """Locust writes its CSV files once a second, and closes them without what has come since."""
    close: Any = StatsCSVFileWriter.close_files

    def close_files(self: Any) -> None:
        self.requests_csv_filehandle.seek(0)
        self.requests_csv_writer.writerow(self.requests_csv_columns)
        self._requests_data_rows(self.requests_csv_writer)
        self.requests_csv_filehandle.truncate()
        for handle, writer, columns, rows in (
            (self.failures_csv_filehandle, self.failures_csv_writer, self.failures_columns, self._failures_data_rows),
            (self.exceptions_csv_filehandle, self.exceptions_csv_writer, self.exceptions_columns, self._exceptions_data_rows),
        ):
            handle.seek(0)
            writer.writerow(columns)
            rows(writer)
            handle.truncate()
        close(self)

    StatsCSVFileWriter.close_files = close_files  # type: ignore[method-assign]
