"""A Locust process on another machine: it shares neither a file nor a clock with the run, but the connection to Locust's master.

What it would write into its journal it sends there, with the times that the run's clock had; `guests` is the other end.
"""

from __future__ import annotations

import os
import socket
import sys
import uuid
from itertools import count
from typing import Any, NoReturn

import gevent
import locust

from celery_harness_agent.journal import Journal, mono
from celery_harness_agent.settings import EX_CONFIG, Settings
from celery_harness_locust.clocks import ClockBounds, shifted
from celery_harness_locust.guests import CLOCK, HELLO, RECORDS, SEAT, START
from celery_harness_locust.member import Member

__all__ = ["Guest", "Wire"]

_TURN_SECONDS = 0.1
_FIRST_TURN_SECONDS = 0.01
_FIRST_ANSWERS = 20  # before anything is sent
_SILENCE_SECONDS = 15.0


class Wire(Journal):
    """In place of a journal: lines wait here until they are sent. A fork has a wire of its own."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lines: list[str] = []
        self._numbers = count(1)
        self.seat(uuid.uuid4().hex)

    def seat(self, stem: str) -> None:
        """What ids begin with from now on."""
        self.stem, self._prefix = stem, stem + ":"

    def emit(self, line: str) -> None:
        """See `Journal`."""
        self._lines.append(line)

    def taken(self) -> list[str]:
        """What is to be sent; it is not there any more."""
        lines, self._lines = self._lines, []
        return lines


class Guest(Member):
    """A member by its connection to the master. Its numbers of calls and its pid are what the master says."""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        super().__init__(settings, wire)
        self._wire = wire
        self._clock = ClockBounds()
        self._runner: Any = None
        self._seated = False
        self._start = 0  # by the run's clock
        self._joined = self._introduced = self._sent = 0

    def new_number(self) -> int:
        """See `Member`: from what is this worker's own."""
        self._next += 1
        return self._next

    @property
    def t0(self) -> int:
        """`due` is made whole as it is sent: see `shifted`."""
        return 0

    def join_master(self, runner: Any) -> None:
        """Say who we are; from here on whatever is recorded goes to the master."""
        self._runner = runner
        runner.register_message(SEAT, self._take_seat)
        runner.register_message(CLOCK, self._hear_clock)
        runner.register_message(START, self._hear_start)
        locust.events.test_stop.add_listener(lambda **_: self._send(last=True))
        locust.events.quitting.add_listener(lambda **_: self._send())
        self._joined = mono()
        gevent.spawn(self._keep_in_touch)

    def _keep_in_touch(self) -> None:
        while True:
            if not self._seated:
                self._introduce()
            else:
                self._runner.send_message(CLOCK, {"asked": mono()})
                if self._clock.answers >= _FIRST_ANSWERS:
                    self._send()
            gevent.sleep(_TURN_SECONDS if self._clock.answers >= _FIRST_ANSWERS else _FIRST_TURN_SECONDS)

    def _introduce(self) -> None:
        """Once a second: a master that has just begun does not hear us yet."""
        now = mono()
        if now - self._joined > _SILENCE_SECONDS * 1e9:
            _refuse(f"the master at {self._runner.master_host}:{self._runner.master_port} is not that of a run of celery-harness")
        if now - self._introduced > 1e9:
            self._introduced = now
            self._runner.send_message(HELLO, {"host": socket.gethostname(), "run": self.settings.run, "token": self.settings.token})

    def _take_seat(self, environment: Any, msg: Any, **_: Any) -> None:
        if msg.data.get("refused"):
            _refuse(str(msg.data["refused"]))
        if self._seated:
            return  # asked twice, answered twice
        self.pid, self._next, self._start = int(msg.data["pid"]), int(msg.data["calls"]), int(msg.data["t0"])
        self._wire.seat(str(msg.data["stem"]))
        self._seated = True

    def _hear_clock(self, environment: Any, msg: Any, **_: Any) -> None:
        self._clock.heard(int(msg.data["asked"]), int(msg.data["answered"]), mono())

    def _hear_start(self, environment: Any, msg: Any, **_: Any) -> None:
        self._start = int(msg.data["t0"])

    def _send(self, *, last: bool = False) -> None:
        """Also where there is nothing: it says that we are still here. ``last``: the load is over, and this is all of it."""
        if not self._seated or self._runner is None:
            return
        now = mono()
        worst = now + (now - self._sent if self._sent else 0)  # the oldest of them is from then, and clocks have drifted since
        by, self._sent = self._clock.shift(worst), now
        lines = "".join([shifted(line, by, self._start) for line in self._wire.taken()])
        self._runner.send_message(RECORDS, {"lines": lines, "error": self._clock.error(worst), "last": last})


def _refuse(why: str) -> NoReturn:
    """In whatever greenlet."""
    sys.stderr.write(f"error: {why}\n  docs/load-hosts.md says how a Locust worker joins a run from another machine.\n")
    sys.stderr.flush()
    os._exit(EX_CONFIG)
