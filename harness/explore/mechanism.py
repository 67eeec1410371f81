"""Runs deliveries in children of one warm process, and stops each before every effect: seccomp user notification (Linux)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.errors import EnvironmentFault
from harness.explore.delivering import Delivering
from harness.explore.leading import Leading
from harness.explore.process_memory import ProcessMemory
from harness.explore.publishing import publish
from harness.explore.shared_page import SharedPage
from harness.explore.stops import Decoder
from harness.explore.targets import Targets
from harness.explore.zygote_client import Child, Refused, Zygote
from harness.model.exploration import Ending
from harness.ports.exploring import AtStop, Job, Launch

__all__ = ["EffectStops"]


class EffectStops:
    """See `Mechanism`. One thread at a time may use it, the one that called `start`: the processes die with that thread.

    ``launch``: of a system that is open (`ExploresHere.zygote`).
    """

    name = "effects"
    sampled = ""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._zygote = Zygote(launch)
        self._memory = ProcessMemory()
        self._targets = Targets(launch.services, launch.folders, launch.log)
        self._leading: Leading | None = None
        self._decoder: Decoder | None = None
        self._page: SharedPage | None = None
        self._warm: Child | None = None
        self._modules: dict[str, str] = {}
        self._deliveries = 0
        self._knows_pages = False  # the first delivery imports what the others have already: the second tells
        self._told: dict[str, Any] = {}
        #: Why the task's clock cannot be set here, so that every delivery is at once; '' where it can.
        self.no_clock = ""

    def start(self) -> Mapping[str, Any]:
        """Beside what `Mechanism` says: python, celery, kombu, arch, config, tasks, modules (name -> file), no_clock.

        ``undeclared``: what it tried to reach while it was imported, and was refused.
        """
        if not sys.platform.startswith("linux"):
            raise Refused(f"this is {sys.platform}")
        try:
            self._leading = Leading(self._launch.names)
            told, descriptor = self._zygote.start()
            self._page = SharedPage(descriptor, self._launch.root)
            if told["no_filter"]:
                raise Refused(told["no_filter"])
            self._told, self.no_clock = told, str(told["no_clock"])
            self._modules = dict(told["modules"])
            names = {int(number): name for number, name in told["calls"].items()}
            self._decoder = Decoder(names, self._targets, self._memory)
            first = self._zygote.take()
            self._zygote.spare = first  # nothing has been done with it
            if why := self._memory.trouble(first.pid):
                raise Refused(why)
            self._memory.forget()
        except BaseException:
            self.close()
            raise
        return MappingProxyType({**told, "modules": dict(self._modules)})

    def modules(self) -> Mapping[str, str]:
        """Name -> file of the user's modules that were imported up to now, by the app or by a delivery."""
        return dict(self._modules)

    def publish(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """See `Mechanism`."""
        assert self._page is not None
        self._page.begin(0.0, 0)  # whoever publishes has the true time
        publish(self._zygote, self._launch.log, task, args, kwargs)

    def deliver(self, job: Job, at_stop: AtStop) -> Ending:
        """See `Mechanism`. Raises what ``at_stop`` raises, after the processes are gone."""
        if job.later and self.no_clock:
            raise EnvironmentFault(f"the task's clock cannot be set: {self.no_clock}")
        assert self._page is not None and self._decoder is not None and self._leading is not None
        self._deliveries += 1
        child = self._child(job)
        delivering = Delivering(
            child,
            self._zygote.pid,
            self._zygote.waiting(),
            self._page,
            self._decoder,
            self._targets,
            self._memory,
            self._leading,
            clock=not self.no_clock,
            wants_pages=self._deliveries > 1 and not self._knows_pages,
        )
        kept = False
        try:
            ending = delivering.run(job, at_stop)
            kept = delivering.at_rest
        finally:
            if not kept:
                delivering.end()
                child.close()
                self._forget()
        self._modules.update(delivering.modules)
        if kept:
            self._warm = child
        self._zygote.prepare(delivering.imported, delivering.pages)
        self._knows_pages = self._knows_pages or bool(delivering.pages)
        self._zygote.order()  # while the world is looked at, the next child gets ready
        return ending

    def _child(self, job: Job) -> Child:
        """The one that is warm, or a fresh one."""
        if job.warm and self._warm is not None:
            child, self._warm = self._warm, None
            return child
        self._end_warm()
        return self._zygote.take()

    def _end_warm(self) -> None:
        child, self._warm = self._warm, None
        if child is not None:
            Delivering.end_of(child, self._zygote.pid, self._zygote.waiting(), self._memory)
            child.close()
            self._forget()

    def _forget(self) -> None:
        self._memory.forget()
        if self._decoder is not None:
            self._decoder.forget()

    def close(self) -> None:
        """See `Mechanism`."""
        with contextlib.suppress(EnvironmentFault):
            self._end_warm()
        self._zygote.close()
        if self._leading is not None:
            self._leading.close()
            self._leading = None
        self._memory.forget()
        if self._page is not None:
            self._page.close()
            self._page = None
