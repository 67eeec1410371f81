"""The master's end of workers on other machines: it gives them numbers, tells them the time, and keeps their journals for them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery_harness_agent.journal import mono, quoted
from celery_harness_agent.settings import Settings

__all__ = ["CLOCK", "HELLO", "RECORDS", "SEAT", "START", "Guests"]

#: Types of messages over Locust's own connection. The first is every worker's, wherever it is.
HELLO, SEAT, CLOCK = "celery_harness_here", "celery_harness_seat", "celery_harness_clock"
RECORDS, START = "celery_harness_records", "celery_harness_start"

#: Beyond any pid of this machine, and what containers add to theirs.
_FIRST_PID = 1 << 40
#: Each guest numbers its calls from a multiple of this on.
_CALLS_EACH = 10**9


class _Guest:
    def __init__(self, number: int, pid: int, host: str, journal: int) -> None:
        self.number, self.pid, self.host, self.journal = number, pid, host, journal
        self.calls = self.error = 0
        self.left = False  # what it recorded of the load is all here


class Guests:
    """Of one master. ``settings``: those of the master's own process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_client: dict[str, _Guest] = {}
        self._t0 = 0
        self._master: Any = None

    def serve(self, master: Any) -> None:
        """Answer to Locust's messages from now on."""
        self._master = master
        master.register_message(CLOCK, self._tell_time)
        master.register_message(RECORDS, self._keep)

    def welcome(self, client: str, introduced: dict[str, Any]) -> None:
        """A worker that says of which run it is. It is a guest if that is ours, and told why not else."""
        settings = self._settings
        if not settings.token or introduced.get("token") != settings.token:
            of = str(introduced.get("run"))
            why = f"this worker has the file of run {of}, and the master is that of run {settings.run}: give it the file of this run"
            self._master.send_message(SEAT, {"refused": why}, client)
            return
        guest = self._by_client.get(client)  # it asks again until it is answered
        if guest is None:
            guest = self._by_client[client] = self._new(len(self._by_client) + 1, str(introduced.get("host")))
        seat = {"pid": guest.pid, "calls": guest.number * _CALLS_EACH, "stem": f"{guest.pid}-{guest.number}", "t0": self._t0}
        self._master.send_message(SEAT, seat, client)

    def _new(self, number: int, host: str) -> _Guest:
        """Its journal, with the header that it would have written."""
        settings, now, pid = self._settings, mono(), _FIRST_PID + number
        path = Path(settings.journal) / f"{pid}-{now}.journal"
        journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        facts = {"name": settings.name, "role": settings.role, "host": host, "run": settings.run, "pass": settings.pass_name}
        header = ",".join(f'"{key}":{quoted(text)}' for key, text in facts.items())
        os.write(journal, f'{{"k":"open","v":1,"m":{now},"w":{time.time_ns()},"pid":{pid},"ppid":0,{header}}}\n'.encode())
        return _Guest(number, pid, host, journal)

    def begin_at(self, t0: int) -> None:
        """The load begins: told before Locust tells them to start users."""
        self._t0 = t0
        for client in self._by_client:
            self._master.send_message(START, {"t0": t0}, client)

    def ready(self) -> dict[int, str]:
        """Those whose clock is known: pid -> Locust's id of the worker."""
        return {guest.pid: client for client, guest in self._by_client.items() if guest.error}

    def is_one(self, client: str) -> bool:
        """Is this worker on another machine?"""
        return client in self._by_client

    def vanished(self) -> list[str]:
        """Those that were not heard of to the end of the load."""
        return [client for client, guest in self._by_client.items() if not guest.left]

    def summary(self) -> str:
        """What the run's report says of them; '' where there were none."""
        guests = list(self._by_client.values())
        if not guests:
            return ""
        calls, error = sum(guest.calls for guest in guests), max(guest.error for guest in guests) / 1e6
        hosts = ", ".join(sorted({guest.host for guest in guests}))
        workers = "1 Locust worker" if len(guests) == 1 else f"{len(guests)} Locust workers"
        made = "1 call was made" if calls == 1 else f"{calls} calls were made"
        return (
            f"{made} by {workers} on {hosts}, and recorded there; by what is known of the clock there, queue wait and end to end of these "
            f"calls are too long by up to {error:.2g} ms"
        )

    def _tell_time(self, environment: Any, msg: Any, **_: Any) -> None:
        self._master.send_message(CLOCK, {"asked": msg.data["asked"], "answered": mono()}, msg.node_id)

    def _keep(self, environment: Any, msg: Any, **_: Any) -> None:
        guest = self._by_client.get(msg.node_id)
        if guest is None:
            return
        lines = str(msg.data["lines"])
        guest.calls += lines.count('{"k":"call",')
        guest.error = max(guest.error, int(msg.data["error"]))
        guest.left = guest.left or bool(msg.data["last"])
        data = lines.encode()
        while data:
            data = data[os.write(guest.journal, data) :]
