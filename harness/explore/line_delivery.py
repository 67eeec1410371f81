"""One delivery that is stopped at lines, from its job to its end: whoever is at a line waits until it is let go, or ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from harness.errors import EnvironmentFault
from harness.explore.endings import ending_of
from harness.explore.family import Family
from harness.explore.process_memory import ProcessMemory
from harness.explore.shared_page import Called, SharedPage
from harness.explore.zygote_client import Child, Closed, Pages, Zygote
from harness.model.exploration import Ending, Outcome, Stop
from harness.ports.exploring import AtStop, Decision, Job

__all__ = ["LineDelivery", "end_of"]

#: Does the kernel say which threads and processes there are, and what they wait for (Linux)?
_TOLD_BY_KERNEL = Path("/proc/self/task").is_dir()
_KILL_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.2
_AFTERWARDS_SECONDS = 1.0
_LONGEST_SLEEP = 30 * 86400.0
#: So long the others of a task may take to where they wait for the one that stands; once they did not, there is no point in it.
_PATIENT_SECONDS, _IMPATIENT_SECONDS, _PAUSE_SECONDS = 0.25, 0.005, 0.0005
#: And so long to end by themselves after the task's answer.
_ENDING_SECONDS = 0.02
#: Counted, so that it is the same each time: who waits in a loop for what never comes.
_MOST_SLEEPS = 10_000
_RAN_ON = "what the task has started ran on after its end: a crash then is not covered"
_BY_CHANCE = "threads of the task run beside one another: which comes to its next line first is chance"
_PASSED_OVER = "a line that ran often was tried at some of its turns only"


class LineDelivery:
    """See `Delivery`."""

    pages: Pages | None = ()  # none are copied ahead

    def __init__(self, child: Child, zygote: Zygote, page: SharedPage, *, clock: bool) -> None:
        self._clock = clock
        self._child, self._zygote, self._page = child, zygote, page
        self._memory = ProcessMemory()
        self._family = Family(zygote.pid, child.pid, self._memory)
        self._had_company = False  # others of the task have run on beside one that stood
        self._stops: list[Stop] = []
        self._threads: set[int] = set()  # that have come to a line
        self._doubts: dict[str, None] = {}
        self._undeclared: dict[str, None] = {}
        self._answer: dict[str, Any] = {}
        self._slept, self._sleeps = 0.0, 0
        self._last = 0.0  # when it went on last from a line that was new
        self._endless = ""  # why it will never end
        self.at_rest = False

    @property
    def modules(self) -> Mapping[str, str]:
        """Name -> file of the user's modules that it has imported."""
        return dict(self._answer.get("modules") or {})

    @property
    def read(self) -> list[str]:
        """Files of the project that it has read."""
        return list(self._answer.get("read") or ())

    @property
    def imported(self) -> list[str]:
        """Modules of libraries that it has imported, and that could be there before."""
        return list(self._answer.get("imported") or ())

    def run(self, job: Job, at_stop: AtStop) -> Ending:
        """Until it has ended, one way or the other."""
        self._job, self._at_stop = job, at_stop
        self._child.jobs += 1
        self._page.begin(job.later, 0)
        message = job.message
        order = {"raw": dict(message.raw), "redelivered": message.redelivered, "lines": True, "first": self._child.jobs == 1}
        try:
            self._child.channel.send(order)
        except Closed:
            raise EnvironmentFault("the process that waited for a delivery is gone") from None
        return self._ending(self._watch())

    def _watch(self) -> Outcome:
        self._last = time.monotonic()
        while not self._answer:
            document = self._heard()
            if document is None:
                self.end()
                return Outcome.ENDLESS if self._endless else Outcome.DIED
            if "answer" in document:
                self._answer = document["answer"]
            elif "undeclared" in document:
                file, colon, line = str(document.get("by") or "").partition(":")
                by = f" ({self._page.relative(file)}{colon}{line})" if line else ""
                self._undeclared[f"{document['undeclared']}{by}"] = None
            elif "slept" in document:
                self._sleep(float(document["slept"]), alone=self._alone(document))
            elif self._stop(document) is Decision.KILL:
                self.end()
                return Outcome.KILLED
        self._afterwards()
        return Outcome(self._answer["outcome"])

    def _heard(self) -> dict[str, Any] | None:
        """The next that it says; None: nothing more, since it is gone, or will never end."""
        channel = self._child.channel
        while not self._endless:
            if (found := channel.waiting()) is not None:
                return found[0]
            left = self._last + self._job.limit - time.monotonic()
            if left <= 0:
                self._endless = f"no new line and no end for {self._job.limit:g} s"
            elif select.select([channel], [], [], min(left, _LOOK_AGAIN_SECONDS))[0]:
                with contextlib.suppress(Closed):
                    channel.fill()
                    continue
                return None
            elif not self._child.is_there():  # what it has forked may still hold the other end
                return None
        return None

    def _stop(self, told: Mapping[str, Any]) -> Decision:
        where = f"{told['module']}.{told['function']}".replace(".<locals>", "").removesuffix(".<module>")
        known = self._page.place(told["thread"], told["thread"])
        by = known.by if known is not None and known.line == told["line"] else ()
        place = Called(told["module"], told["function"], self._page.relative(told["file"]), told["line"], told["hit"], by=by)
        line = f"line {place.line} of {where.removeprefix(told['module'].rpartition('.')[0] + '.')}"
        stop = Stop(
            number=len(self._stops) + 1,
            call="line",
            kind="other",  # whatever a line does: so all of the world is read anew after it
            target=place.file,
            words=f"the rest of {line}" if told["back"] else line,
            identity=f"{place.module}:{place.function}:{place.line}:{place.hit}" + (f":back:{told['back']}" if told["back"] else ""),
            place=place,
            slept=self._slept,
            exact=self._alone(told),
        )
        self._stops.append(stop)
        self._threads.add(told["thread"])
        if len(self._threads) > 1:
            self._doubts[_BY_CHANCE] = None
        begun = time.monotonic_ns()
        decision = self._at_stop(stop)
        stood = time.monotonic_ns() - begun
        self._last = self._last + stood / 1e9 if told["often"] else time.monotonic()
        if decision is Decision.GO_ON:
            self._go_on(stood=stood if stop.exact and self._clock else 0)
        return decision

    def _alone(self, told: Mapping[str, Any], patience: float = _PATIENT_SECONDS) -> bool:
        """Do all others of the task wait for the one that says this, or soon will? Where nobody can tell, no."""
        if not told["company"]:
            return True
        if not _TOLD_BY_KERNEL:
            return False
        deadline = time.monotonic() + (_IMPATIENT_SECONDS if self._had_company else patience)
        while not self._family.stands(self._zygote.waiting(), (told["thread"],)):
            if time.monotonic() > deadline:
                self._had_company = True
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    def _sleep(self, seconds: float, *, alone: bool) -> None:
        if not alone:  # time that others need has to pass
            self._go_on()
            return
        self._slept += seconds
        self._sleeps += 1
        self._page.pass_time(round(seconds * 1e9), running=False)
        if self._job.at_sleep is not None:
            self._job.at_sleep(seconds)
        if self._slept > _LONGEST_SLEEP:
            self._endless = f"no end after it has slept for {_LONGEST_SLEEP / 86400:.0f} days of its clock"
        elif self._sleeps >= _MOST_SLEEPS:
            self._endless = f"no end after it has slept {_MOST_SLEEPS:,} times"
        else:
            self._go_on(passed=True)

    def _go_on(self, *, passed: bool = False, stood: int = 0) -> None:
        """``stood``: nanoseconds that do not count for the task: else it would do other things where the looking at it takes long."""
        if stood:
            self._page.pass_time(-stood, running=False)
            self._slept -= stood / 1e9
        with contextlib.suppress(Closed):  # it died while it was looked at: that is heard next
            self._child.channel.send({"passed": passed, "stood": stood})

    def _afterwards(self) -> None:
        """Its answer is there. What it has started may still do something."""
        deadline = time.monotonic() + _AFTERWARDS_SECONDS
        alone = self._alone({"company": True, "thread": self._child.pid}, _ENDING_SECONDS) if self._has_company() else True
        if not alone:
            self._doubts[_RAN_ON] = None
        while not alone and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_SECONDS / 10)
            alone = self._alone({"company": True, "thread": self._child.pid})
        if self._answer["passed_over"]:
            self._doubts[_PASSED_OVER] = None
        self.at_rest = alone and self._answer["outcome"] != Outcome.DIED.value

    def _has_company(self) -> bool:
        return bool(self._answer["company"] or _processes(self._zygote, self._child.pid))

    def end(self) -> None:
        """SIGKILL to all of it; returns when all are gone."""
        self._memory.forget()
        end_of(self._child, self._zygote)

    def _ending(self, outcome: Outcome) -> Ending:
        told = self._answer
        last = f"it stood last at {self._stops[-1].words}" if self._stops else "it came to no line of yours"
        return ending_of(
            told,
            outcome,
            self._stops,
            self._page,
            endless=f"{self._endless}; {last}",
            doubts=self._doubts,
            undeclared=self._undeclared,
            slept=self._slept,
        )


def end_of(child: Child, zygote: Zygote) -> None:
    """Of any child that has no more job, and of all that it has started."""
    deadline = time.monotonic() + _KILL_SECONDS
    while True:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
        left = _processes(zygote, child.pid)
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not left and not child.is_there():
            return
        if time.monotonic() > deadline:
            raise EnvironmentFault(f"processes of a task did not end within {_KILL_SECONDS:.0f} s of SIGKILL")
        time.sleep(0.0005)


def _processes(zygote: Zygote, main: int) -> list[int]:
    """What the task has started, but for its main process."""
    if _TOLD_BY_KERNEL:
        return [process for process in Family(zygote.pid, main, ProcessMemory()).running(zygote.waiting()) if process != main]
    with contextlib.suppress(psutil.Error):
        return [one.pid for one in psutil.Process(main).children(recursive=True)]
    return []
