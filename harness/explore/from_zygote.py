"""What both mechanisms do alike: one delivery at a time, in forks of one warm process, and the fork that is kept for another delivery."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from harness.errors import EnvironmentFault
from harness.explore.publishing import publish
from harness.explore.shared_page import SharedPage
from harness.explore.zygote_client import Child, Pages, Zygote
from harness.model.exploration import Ending
from harness.ports.exploring import AtStop, Job, Launch

__all__ = ["Delivery", "FromZygote"]


class Delivery(Protocol):
    """One that runs in a child. ``at_rest`` afterwards: the child may have another job."""

    at_rest: bool

    @property
    def modules(self) -> Mapping[str, str]:
        """Name -> file of the user's modules that it has imported."""

    @property
    def read(self) -> Sequence[str]:
        """Files of the project that it has read."""

    @property
    def imported(self) -> Sequence[str]:
        """Modules of libraries that it has imported, and that could be there before."""

    @property
    def pages(self) -> Pages | None:
        """Memory that it has written to; None where it has not told."""

    def run(self, job: Job, at_stop: AtStop) -> Ending:
        """Until it has ended, one way or the other."""

    def end(self) -> None:
        """SIGKILL to all of it; returns when all are gone."""


class FromZygote(ABC):
    """See `Mechanism`. One thread at a time may use it, the one that called `start`: the processes die with that thread.

    ``launch``: of a system that is open (`ExploresHere.zygote`).
    """

    name: str
    sampled: str

    def __init__(self, launch: Launch, zygote: Zygote) -> None:
        self._launch = launch
        self._zygote = zygote
        self._page: SharedPage | None = None
        self._warm: Child | None = None
        self._modules: dict[str, str] = {}
        self._files: set[str] = set()
        self._ran: set[str] = set()  # tasks that have come to an end here
        self._pages: dict[str, Pages] = {}  # task -> memory that it writes to
        #: Why the task's clock cannot be set here, so that every delivery is at once; '' where it can.
        self.no_clock = ""

    def begin(self) -> None:
        """See `BeginsEarly`."""
        self._zygote.begin()

    def start(self) -> Mapping[str, Any]:
        """Beside what `Mechanism` says: python, celery, kombu, arch, config, tasks, modules (name -> file), no_clock.

        ``undeclared``: what it tried to reach while it was imported, and was refused.
        """
        try:
            told, descriptor = self._zygote.start()
            self._page = SharedPage(descriptor, self._launch.root)
            self.no_clock = str(told["no_clock"])
            self._modules = dict(told["modules"])
            self._files = set(told.get("read") or ())
            self._begin(told)
        except BaseException:
            self.close()
            raise
        return MappingProxyType({**told, "modules": dict(self._modules)})

    def modules(self) -> Mapping[str, str]:
        """See `KnowsModules`: of the app, or of a delivery."""
        return dict(self._modules)

    def files(self) -> Sequence[str]:
        """See `KnowsFiles`."""
        return sorted(self._files)

    def publish(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], later: float = 0.0) -> None:
        """See `Mechanism`."""
        assert self._page is not None
        self._page.begin(later, 0)
        publish(self._zygote, self._launch.log, task, args, kwargs)

    def deliver(self, job: Job, at_stop: AtStop) -> Ending:
        """See `Mechanism`. Raises what ``at_stop`` raises, after the processes are gone."""
        if job.later and self.no_clock:
            raise EnvironmentFault(f"the task's clock cannot be set: {self.no_clock}")
        assert self._page is not None
        child, task = self._child(job), job.message.task
        delivery = self._delivery(child, self._page, learns=task in self._ran and task not in self._pages)
        kept = False
        try:
            if task in self._pages:  # else it would wait without what is about to be learnt
                self._zygote.order()
            ending = delivery.run(job, at_stop)
            kept = delivery.at_rest
        finally:
            if not kept:
                delivery.end()
                child.close()
                self._forget()
        self._modules.update(delivery.modules)
        self._files.update(delivery.read)
        if kept:
            self._warm = child
            self._ran.add(task)
        self._prepare(task, delivery)
        return ending

    def _prepare(self, task: str, delivery: Delivery) -> None:
        """The next child gets ready while the world is looked at; most likely it runs the same task."""
        new = task not in self._pages
        if delivery.pages is not None:
            self._pages[task] = delivery.pages
        self._zygote.prepare(delivery.imported, self._pages.get(task, ()), renew=new)
        self._zygote.order()

    def _child(self, job: Job) -> Child:
        """The one that is warm, or a fresh one."""
        if job.warm and self._warm is not None:
            child, self._warm = self._warm, None
            return child
        self.end_warm()
        return self._zygote.take()

    def let_go(self) -> None:
        """See `LetsGo`."""
        if self._warm is not None:
            self._warm.kill()

    def end_warm(self) -> None:
        """No process that has run a task is left: the next delivery will be in a fresh one, or somewhere else."""
        child, self._warm = self._warm, None
        if child is not None:
            self._end(child)
            child.close()
            self._forget()

    def close(self) -> None:
        """See `Mechanism`."""
        with contextlib.suppress(EnvironmentFault):
            self.end_warm()
        self._zygote.close()
        self._forget()
        if self._page is not None:
            self._page.close()
            self._page = None

    # --- what differs ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, told: Mapping[str, Any]) -> None:
        """The zygote is there, and has said this of itself. Raises what is refused."""

    @abstractmethod
    def _delivery(self, child: Child, page: SharedPage, *, learns: bool) -> Delivery:
        """One in this child. ``learns``: which memory it writes to is asked for."""

    @abstractmethod
    def _end(self, child: Child) -> None:
        """Of a child at rest, and of all that it has started."""

    @abstractmethod
    def _forget(self) -> None:
        """What is known of a process, which is gone: numbers are used again."""
