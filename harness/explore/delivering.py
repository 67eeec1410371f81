"""One delivery, from its job to its end: each call that waits is looked at, and let go, failed, or ended with the task."""

from __future__ import annotations

import errno
import select
import time
from typing import Any

from harness.egress.addresses import NAME_SERVICES, written
from harness.egress.listener import Call, Listener
from harness.errors import EnvironmentFault
from harness.explore.alarms import Alarms
from harness.explore.endings import ending_of
from harness.explore.family import Family
from harness.explore.leading import Leading
from harness.explore.process_memory import ProcessMemory
from harness.explore.shared_page import SharedPage
from harness.explore.sleeping import Sleeper, demand_clock
from harness.explore.stops import PASS, Alarm, Connection, Decoder, Done, Doubt, Effect, Forks, Refusal, Sleep, What
from harness.explore.targets import Address, Targets
from harness.explore.zygote_client import Child, Closed, Pages, Zygote
from harness.model.exploration import Ending, Outcome, Stop
from harness.ports.exploring import AtStop, Decision, Job

__all__ = ["Delivering"]

_KILL_SECONDS = 10.0
#: What the task has left running after its answer may go on for so long, without an effect, until it is ended.
_AFTERWARDS_SECONDS = 1.0
#: More than any task of sense has: one that tries again and again, or writes without an end. Counted, so that it is the same each time.
_MOST_STOPS = 20_000
_LONGEST_SLEEP = 30 * 86400.0
#: So long the others of a task may take to where they wait for the one that stands; once they did not, there is no point in it.
_PATIENT_SECONDS, _IMPATIENT_SECONDS, _LOOK_AGAIN_SECONDS = 0.25, 0.005, 0.0005
#: Nanoseconds by which no task can tell one clock from another.
_UNNOTICED = 20_000
_RAN_ON = "what the task has started ran on after its end: a crash then is not covered"
_TRUE_CLOCK = "the task starts a program while its clock is ahead: that one sees the true time"


class Delivering:
    """See `Delivery`."""

    def __init__(
        self,
        child: Child,
        zygote: Zygote,
        page: SharedPage,
        decoder: Decoder,
        targets: Targets,
        memory: ProcessMemory,
        leading: Leading,
        *,
        clock: bool,
        wants_pages: bool,
    ) -> None:
        assert child.listener is not None
        self._child = child
        self._listener: Listener = child.listener
        self._page = page
        self._decoder = decoder
        self._targets = targets
        self._family = Family(zygote.pid, child.pid, memory)
        self._memory = memory
        self._leading = leading
        leading.unknown = self._asked_in_vain
        self._zygote = zygote
        self._sleeper = Sleeper(page, memory) if clock else None
        self._stops: list[Stop] = []
        self._doubts: dict[str, None] = {}
        self._undeclared: dict[str, None] = {}
        self._answer: dict[str, Any] | None = None
        self._wants_pages = wants_pages
        self._killed = False
        self._endless = ""  # why it will never end
        self._last = 0.0
        self._owed = 0  # nanoseconds for which it stood, and that its clock still shows
        self._slept = 0.0
        self._held: list[tuple[Call, What]] = []  # of other threads, met while one was looked at
        self._alarms = Alarms()
        self._company = False  # others of the task have run on beside one that stood
        self.modules: dict[str, str] = {}
        self.imported: list[str] = []
        self.read: list[str] = []
        self.pages: Pages | None = None
        self.at_rest = False

    def run(self, job: Job, at_stop: AtStop) -> Ending:
        """Until it has ended, one way or the other."""
        child = self._child
        self._page.begin(job.later, child.slept)
        self._job, self._at_stop = job, at_stop
        child.jobs += 1
        message = job.message
        order = {"raw": dict(message.raw), "redelivered": message.redelivered, "lines": job.lines, "first": child.jobs == 1}
        order["pages"] = self._wants_pages and child.jobs == 1 and not job.lines
        try:
            child.channel.send(order)
        except Closed:
            raise EnvironmentFault("the process that waited for a delivery is gone") from None
        outcome = self._watch()
        child.slept = self._page.running
        return self._ending(outcome)

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _watch(self) -> Outcome:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._child.channel, select.POLLIN)
        poll.register(self._child.handle, select.POLLIN)
        poll.register(self._leading.server, select.POLLIN)
        listener, channel = self._listener.fileno(), self._child.channel.fileno()
        only_a_call, limit = [(listener, select.POLLIN)], self._job.limit
        wait, one_call = poll.poll, self._one_call
        self._last = time.monotonic()
        left = limit
        while True:
            found = wait(left * 1000 if left > 0 and not self._held else 0)
            if found == only_a_call:  # nearly always
                if one_call():
                    left = limit
                    continue
                if self._killed or self._endless:
                    return Outcome.KILLED if self._killed else Outcome.ENDLESS
            left = self._last + limit - time.monotonic()
            if found == only_a_call:
                continue
            events = dict(found)
            if events.pop(self._leading.server.fileno(), 0):
                self._leading.server.serve()
            if self._held or events.get(listener, 0) & select.POLLIN:
                self._one_call()
                if self._killed:
                    return Outcome.KILLED
                if self._endless:
                    return Outcome.ENDLESS
            elif channel in events:
                if not self._heard():
                    return Outcome.DIED
                if self._answer is not None:
                    return self._answered(poll)
            elif events:  # the main process is gone, or all of them
                return Outcome.DIED
            elif left <= 0:
                self._endless = f"no effect and no end for {self._job.limit:g} s"
                return Outcome.ENDLESS

    def _heard(self) -> bool:
        """Read what the child says. False: it has nothing more to say."""
        try:
            self._child.channel.fill()
        except Closed:
            return False
        while (found := self._child.channel.waiting()) is not None:
            if "undeclared" in found[0]:
                file, colon, line = str(found[0].get("by") or "").partition(":")
                self._note_refused(str(found[0]["undeclared"]), self._page.relative(file) + colon + line if line else "")
            else:
                self._answer = found[0].get("answer")
        return True

    def _answered(self, poll: select.poll) -> Outcome:
        """Its answer is there. What it has started may still do something."""
        assert self._answer is not None
        if self._sleeper is not None and "clock" in self._answer:
            demand_clock(float(self._answer["clock"]), self._job.later + self._slept, time.monotonic() - self._last)
        outcome = Outcome(self._answer["outcome"])
        self._last = begun = time.monotonic()
        effects = len(self._stops)
        while self._child.forked and not self._others_stand(self._child.pid):
            if len(self._stops) > effects or time.monotonic() - begun > _PATIENT_SECONDS:
                self._doubts[_RAN_ON] = None
            left = self._last + _AFTERWARDS_SECONDS - time.monotonic()
            if left <= 0:
                return outcome
            events = dict(poll.poll(min(left, 0.01) * 1000))
            if events.pop(self._leading.server.fileno(), 0):
                self._leading.server.serve()
            if self._held or events.get(self._listener.fileno(), 0) & select.POLLIN:
                self._one_call()
                if self._killed:
                    return Outcome.KILLED
            elif events:
                break
        self.at_rest = outcome is not Outcome.DIED and not (self._child.forked and len(self._family.processes(self._zygote.waiting())) > 1)
        return outcome

    # --- one call ------------------------------------------------------------------------------------------------------

    def _one_call(self) -> bool:
        """Whether it was an effect, after which the task goes on."""
        if self._held:
            self._deal_with(*self._held.pop(0))
            return False
        call = self._listener.receive()
        if call is None:
            return False
        what = self._decoder.read(call)
        self._deal_with(call, what)
        return isinstance(what, Effect) and not (self._killed or self._endless)

    def _deal_with(self, call: Call, what: What) -> None:
        if isinstance(what, Effect):
            self._stop(call, what)
        elif what is PASS:
            self._listener.go_on(call)
        elif isinstance(what, Sleep):
            self._sleep(call, what)
        elif isinstance(what, Connection):
            self._connect(call, what)
        elif isinstance(what, Refusal):
            self._refuse(call, what.address, what.error)
        elif isinstance(what, Forks):
            self._child.forked = True
            self._listener.go_on(call)
        elif isinstance(what, Alarm):
            if self._process_of(call.thread) == self._child.pid:
                self._alarms.set(what.seconds, self._slept, really=self._child.forked)
                self._listener.answer(call)
            else:  # of a program that it has started, which sees the true time
                self._listener.go_on(call)
        elif isinstance(what, Done):
            self._listener.answer(call, what.value)
        elif isinstance(what, Doubt):
            self._doubts[what.words] = None
            if what.error:
                self._listener.fail(call, what.error)
            else:
                self._listener.go_on(call)

    def _stop(self, call: Call, effect: Effect) -> None:
        if effect.call in ("execve", "execveat") and max(self._page.wall, self._page.running) > 0:
            self._doubts[_TRUE_CLOCK] = None
        exact = not self._child.forked or self._alone(call)
        place = self._page.place(call.thread, self._child.pid) if self._job.lines else None
        number = len(self._stops) + 1
        stop = Stop(number, effect.call, effect.kind, effect.target, effect.words, effect.identity, place, self._slept, exact)
        self._stops.append(stop)
        if number >= _MOST_STOPS:
            self._endless = f"no end after {_MOST_STOPS} effects"
            return
        begun = time.monotonic_ns()
        decision = self._at_stop(stop)
        over = time.monotonic_ns()
        if exact and self._sleeper is not None:
            self._owed += over - begun
            if self._owed > _UNNOTICED:
                self._stood()  # before it goes on: it must not see its clock go back
        self._last = over / 1e9
        if decision is Decision.KILL:
            self._killed = True
            self.end()
        elif not self._listener.go_on(call):
            self._stops.pop()  # a signal came before we had seen it: the call begins again, and is seen again
            self._decoder.again()

    def _stood(self) -> None:
        """The time that we look at it does not count for the task: else a slow machine would see it do other things."""
        nanoseconds, self._owed = self._owed, 0
        self._page.pass_time(-nanoseconds)
        self._slept -= nanoseconds / 1e9

    def _alone(self, call: Call) -> bool:
        """Do all others of the task wait for this one, or soon will? Who comes with an effect of its own does not."""
        deadline = time.monotonic() + (_IMPATIENT_SECONDS if self._company else _PATIENT_SECONDS)
        while not self._others_stand(call.thread):
            if not self._held and self._comes(_LOOK_AGAIN_SECONDS):
                other = self._listener.receive()
                what = self._decoder.read(other) if other is not None else PASS
                if other is not None and what is not PASS and not isinstance(what, Forks):
                    self._held.append((other, what))
                elif other is not None:
                    self._listener.go_on(other)
            elif self._held or time.monotonic() > deadline:
                self._company = True
                return False
        return True

    def _others_stand(self, but: int) -> bool:
        """Looked at in this order: who has come to a call of its own since then, or before, waits for us there, not for ``but``."""
        return self._family.stands(self._zygote.waiting(), (but,)) and not self._held and not self._comes(0)

    def _comes(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        return any(event & select.POLLIN for _, event in poll.poll(seconds * 1000))

    def _sleep(self, call: Call, what: Sleep) -> None:
        if self._sleeper is None:
            self._listener.go_on(call)
        elif what.call == "futex" and (self._child.forked or not self._sleeper.waits(call)):  # alone, nobody lets go of it
            self._sleeper.correct_deadline(call)
            self._listener.go_on(call)
        elif self._child.forked and (what.call.startswith("epoll") or not self._others_stand(call.thread)):
            self._listener.go_on(call)  # others work meanwhile: time that they need has to pass
        elif (seconds := self._sleeper.sleep(call, what.call)) is None:
            self._listener.go_on(call)
        else:
            self._slept += seconds
            self._alarms.pass_time(self._slept, really=False)
            if self._job.at_sleep is not None:
                self._job.at_sleep(seconds)
            if self._slept > _LONGEST_SLEEP:
                self._endless = f"no end after it has slept for {_LONGEST_SLEEP / 86400:.0f} days of its clock"
            self._listener.answer(call, error=errno.ETIMEDOUT if what.call == "futex" else 0)

    def _connect(self, call: Call, what: Connection) -> None:
        if self._targets.service_at(what.address):
            self._targets.connected(call.thread, what.descriptor, what.address)
            self._listener.go_on(call)
        elif what.address[0].startswith(NAME_SERVICES):
            self._listener.fail(call, errno.ENOENT)
        elif self._targets.own_listener(self._family.processes(self._zygote.waiting()), what.address):
            self._targets.inward(call.thread, what.descriptor)
            self._listener.go_on(call)
        elif (led := self._leading.connect(self._listener, call, self._process_of(call.thread), what.descriptor, what.address)) is not None:
            self._led(call, what.descriptor, *led)
        elif self._targets.for_datagrams(self._process_of(call.thread), what.descriptor):
            self._targets.connected(call.thread, what.descriptor, what.address)  # sends nothing yet; what is sent is looked at
            self._listener.go_on(call)
        else:
            self._refuse(call, what.address)

    def _led(self, call: Call, descriptor: int, error: int, service: Address | None) -> None:
        """It is connected already, to what its address stands for."""
        if service is not None:
            self._targets.connected(call.thread, descriptor, service)
        else:
            self._targets.inward(call.thread, descriptor)
        self._listener.answer(call, error=error)

    def _asked_in_vain(self, name: str) -> None:
        """The C library tries a name again below each domain that this machine searches: said once."""
        if not any(name.startswith(f"{known.partition(' ')[0]}.") for known in self._undeclared):
            self._note_refused(name, "by name")

    def _process_of(self, thread: int) -> int:
        for process in self._family.processes(self._zygote.waiting()) if self._child.forked else ():
            if thread in self._family.threads_of(process):
                return process
        return self._child.pid

    def _refuse(self, call: Call, address: Address, error: int = errno.ECONNREFUSED) -> None:
        place = self._page.place(call.thread, self._child.pid) if self._job.lines else None
        self._note_refused(written(self._leading.called(address)), f"{place.file}:{place.line} {place.function}" if place else "")
        self._listener.fail(call, error)

    def _note_refused(self, address: str, by: str) -> None:
        """``by``: "file:line function"; '' where nobody knows."""
        self._undeclared[f"{address} ({by})" if by else address] = None

    # --- the end ---------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """SIGKILL to all of it; returns when all are gone."""
        self.end_of(self._child, self._zygote, self._memory)

    @staticmethod
    def end_of(child: Child, zygote: Zygote, memory: ProcessMemory) -> None:
        """Of any child that has no more job. What waits in a call never does it."""
        assert child.listener is not None
        family = Family(zygote.pid, child.pid, memory)
        poll = select.poll()
        poll.register(child.listener, 0)  # no event but the hang-up: all that have the filter end, and none starts another
        deadline = time.monotonic() + _KILL_SECONDS
        child.kill()
        hung_up = False
        # Since Linux 6.12 a process lets go of its filter first, and of its memory, files and locks after that.
        while not hung_up or child.is_there() or (child.forked and family.running(zygote.waiting())):
            if child.forked and not hung_up:
                family.kill(zygote.waiting())
            if time.monotonic() > deadline:
                raise EnvironmentFault(f"processes of a task did not end within {_KILL_SECONDS:.0f} s of SIGKILL")
            if hung_up:
                child.wait(0.001)
            else:
                hung_up = bool(poll.poll(20))

    def _ending(self, outcome: Outcome) -> Ending:
        told = self._answer or {}
        self.modules = dict(told.get("modules") or {})
        self.imported = list(told.get("imported") or ())
        self.read = list(told.get("read") or ())
        self.pages = told.get("pages")
        self._doubts |= self._alarms.end(self._slept, really=self._child.forked, over=self._answer is not None)
        last = f"its last effect was: {self._stops[-1].words}" if self._stops else "it had no effect before"
        return ending_of(
            told,
            outcome,
            self._stops,
            self._page,
            endless=f"{self._endless}; {last}{self._alarms.waits}",
            doubts=self._doubts,
            undeclared=self._undeclared,
            slept=self._slept,
        )
