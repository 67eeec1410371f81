"""Runs deliveries in children of one warm process, and stops each at every line of the user's: where the kernel stops nobody at effects.

Nothing but fork, a socket and signals is asked of the machine. What happens inside of a line is one step here, so nothing is proven.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from harness.errors import EnvironmentFault
from harness.explore.line_delivery import LineDelivery, end_of
from harness.explore.publishing import publish
from harness.explore.shared_page import SharedPage
from harness.explore.zygote_client import Child, Zygote
from harness.model.exploration import Ending
from harness.ports.exploring import AtStop, Job, Launch

__all__ = ["LinePoints"]


class LinePoints:
    """See `Mechanism`. One thread at a time may use it, the one that called `start`: the processes die with that thread.

    ``launch``: of a system that is open (`ExploresHere.zygote`).
    """

    name = "lines"
    sampled = "only lines were tried: effects inside a line were not; nothing is certified"

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._zygote = Zygote(replace(launch, command=[*launch.command, "lines"]), filtered=False)
        self._page: SharedPage | None = None
        self._warm: Child | None = None
        self._modules: dict[str, str] = {}
        #: Why the task's clock cannot be set here, so that every delivery is at once; '' where it can.
        self.no_clock = ""

    def start(self) -> Mapping[str, Any]:
        """Beside what `Mechanism` says: python, celery, kombu, arch, config, tasks, modules (name -> file), no_clock, undeclared."""
        try:
            told, descriptor = self._zygote.start()
            self._page = SharedPage(descriptor, self._launch.root)
            self.no_clock = str(told["no_clock"])
            self._modules = dict(told["modules"])
            self._zygote.order()
        except BaseException:
            self.close()
            raise
        return MappingProxyType({**told, "modules": dict(self._modules)})

    def modules(self) -> Mapping[str, str]:
        """See `KnowsModules`."""
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
        assert self._page is not None
        child = self._child(job)
        delivery = LineDelivery(child, self._zygote.pid, self._zygote.waiting(), self._page, clock=not self.no_clock)
        kept = False
        try:
            ending = delivery.run(job, at_stop)
            kept = delivery.at_rest
        finally:
            if not kept:
                delivery.end()
                child.close()
        self._modules.update(delivery.modules)
        if kept:
            self._warm = child
        self._zygote.prepare(delivery.imported, ())
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
            end_of(child, self._zygote.pid, self._zygote.waiting())
            child.close()

    def close(self) -> None:
        """See `Mechanism`."""
        with contextlib.suppress(EnvironmentFault):
            self._end_warm()
        self._zygote.close()
        if self._page is not None:
            self._page.close()
            self._page = None
