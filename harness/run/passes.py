"""The passes of a run: two clean ones for reference, one with faults. Each ends when the system is quiet."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.history import Depth
from harness.model.scenario import Scenario
from harness.model.world import sharing
from harness.ports.broker import BrokerInspector
from harness.ports.clock import Clock
from harness.ports.reporter import Progress
from harness.ports.runtime import LiveSystem, PassPlan
from harness.run.journal import JournalTail
from harness.run.live import LiveState
from harness.run.outcome import PassOutcome
from harness.run.quiet import CALM, Quiet
from harness.run.silence import Silence
from harness.run.timeline import Timeline
from harness.run.usage import UsageSampler
from harness.run.watching import Watch

__all__ = ["PassDriver"]

_READY_SECONDS = 60.0
_PREPARE_SECONDS = 0.005  # for each message that is made before the load begins
_TICK = 0.01
_DEPTH_EVERY = 0.2
_PATIENCE = 5.0  # for threads that outlive the calls of a clean pass; longer than that is for good
_WORD_EVERY = 0.5
_STOP_GRACE = 10.0
_NO_JOURNAL = 74  # the agent's exit status where the journal cannot grow (docs/journal.md)
_LEAST_FREE = 2 << 20  # bytes: a pool child's journal would not have fitted any more


class PassDriver:
    """Drives one pass. ``interrupted`` is asked at every tick and raises to stop."""

    def __init__(
        self,
        system: LiveSystem,
        scenario: Scenario,
        clock: Clock,
        say: Callable[[Progress], None],
        interrupted: Callable[[], None],
    ) -> None:
        self.system = system
        self.scenario = scenario
        self.clock = clock
        self.say = say
        self.interrupted = interrupted
        self.live = self.new_live()
        self.outcome: PassOutcome | None = None
        self._tail: JournalTail | None = None
        self._inspector: BrokerInspector | None = None
        self._last_record = 0.0
        self._next_depth = 0.0
        self._next_word = clock.now() + _WORD_EVERY
        self.usage = UsageSampler(system)
        self.watch = Watch()
        self.quiet = Quiet(self.live, clock, self.depth)
        self._silence = Silence(system)
        self._linger_since: float | None = None
        self._for_good: set[int] = set()  # processes with threads that outlived `_PATIENCE`

    def new_live(self) -> LiveState:
        """What records are fed to. Asked once, while this is made: of all else only the clock, the system and the scenario are there."""
        return LiveState()

    # --- beginning ----------------------------------------------------------------------------------------------

    def begin(self, plan: PassPlan) -> PassOutcome:
        """Start workers and producer and wait until all are ready."""
        asked = self.clock.now()
        folder = self.system.begin_pass(plan)
        self._tail = JournalTail(folder)
        before = self.system.observe()
        self.outcome = PassOutcome(folder, self.clock.now(), before)
        wanted = {w.name for w in self.system.started_workers()} | {"producer"}
        while not wanted <= set(self.live.ready):
            self.step()
            self._refuse_early_end(wanted)
            self._refuse_trouble(wanted - set(self.live.ready), starting=True)
            if self.clock.now() > asked + (patience := self.patience(plan)):
                missing = ", ".join(sorted(wanted - set(self.live.ready)))
                raise EnvironmentFault(f"not ready after {patience:.0f} s: {missing}", hint="its log is in the run's folder, under logs/")
        self.outcome.ready_after = self.clock.now() - asked
        self.depth()  # a broker that shows its consumers shows now, while all are there, which queues are worked on
        return self.outcome

    def patience(self, plan: PassPlan) -> float:
        """How long all may take until they are ready, in seconds."""
        prepared = sum(self.scenario.load[item].prepare for _, item, _ in plan.calls if plan.mode == "timed")
        return _READY_SECONDS + _PREPARE_SECONDS * prepared

    def _refuse_trouble(self, names: set[str], *, starting: bool = False) -> None:
        """A worker that cannot connect tries for ever, and says why in its log alone. Asked at most every half second."""
        if self.clock.now() < self._next_word:
            return
        self._next_word = self.clock.now() + _WORD_EVERY
        if why := self.system.trouble(names, self.live.refusals, starting=starting):
            raise EnvironmentFault(why, hint="docs/tls.md says what is verified, and how")

    def _refuse_early_end(self, wanted: set[str]) -> None:
        assert self.outcome is not None
        if self.live.refused:
            refused = self.live.refused[0]
            raise ScenarioError(
                f"the app's {refused.get('part')} URL is {refused.get('url')}, not the harness's own; nothing was connected to",
                hint="let the app take its URLs from CELERY_BROKER_URL and CELERY_RESULT_BACKEND, or set them in system.config",
            )
        for death in self.outcome.ended:
            if death.name in wanted and death.name not in self.live.ready:
                self._next_word = 0.0  # whoever ended of what `trouble` knows in a sentence has said more in its log
                self._refuse_trouble({death.name})
                log = self.system.logs().get(death.name)
                tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-15:]) if log else ""
                raise EnvironmentFault(f"{death.name} ended with status {death.status} before it was ready\n  {tail}", where=str(log or ""))

    # --- one tick -----------------------------------------------------------------------------------------------

    def step(self, wait: float = _TICK) -> int:
        """Read journals, reap processes, sample the broker; the number of new records."""
        self.interrupted()
        assert self._tail is not None
        records = self._tail.poll()
        count = self.live.feed(records)
        self.watch.see(records)
        now = self.clock.now()
        if count:
            self._last_record = now
        self._reap()
        if wait and not count:
            self.clock.sleep(wait)
        return count

    def _reap(self) -> None:
        assert self.outcome is not None
        for death in self.system.poll():
            children = {pid for pid, (_, _, parent) in self.live.names.items() if parent == death.pid} | set(death.children)
            if death.kind != "worker":
                children = set()
            for pid in {death.pid, *children}:
                self.outcome.deaths.setdefault(pid, death.at)
            self.live.died({death.pid, *children})
            if death.status == _NO_JOURNAL and not death.expected:
                raise EnvironmentFault(
                    f"{death.name} could not write its journal and stopped, so this run proves nothing",
                    where=str(self.outcome.journal),
                    hint="is the disk full? choose another place with --reports",
                )
            self.outcome.ended.append(death)

    def now(self) -> float:
        """Seconds since the load began."""
        assert self.outcome is not None
        return self.clock.now() - self.outcome.t0

    def sample(self) -> tuple[int, int] | None:
        """Depth of the broker, at most every 200 ms; None where it does not answer (a fault of ours, perhaps)."""
        assert self.outcome is not None
        now = self.now()
        if now < self._next_depth:
            return None
        self._next_depth = now + _DEPTH_EVERY
        depth = self.depth()
        self._silence.note(now, answered=depth is not None)
        sampled = None if depth is None else Depth(now, *depth, took=self.now() - now)
        if sampled is not None:
            self.outcome.depths.append(sampled)
        usage = self.usage.sample(self.now(), self._inspector if sampled else None)
        if usage is not None:
            self.outcome.usage.append(usage)
        self.watch.sample(sampled, usage)
        return depth

    def depth(self) -> tuple[int, int] | None:
        """(ready, unacked), or None where the broker does not answer."""
        try:
            if self._inspector is None:
                self._inspector = self.system.broker()
            return self._inspector.depth()
        except (OSError, EnvironmentFault):
            self._inspector = None
            return None

    # --- clean passes -------------------------------------------------------------------------------------------

    def run_single(self, numbers: Sequence[int]) -> None:
        """One call at a time, the world observed after each: the exact effects of every call."""
        assert self.outcome is not None
        self.go()
        seen: tuple[int, ...] | None = None
        world = self.outcome.before
        for done, number in enumerate(numbers, 1):
            self.system.tell_producer(f"call {number}")
            if not self._until(partial(self._ended, {number}), self.scenario.drain.timeout):
                self.outcome.note = f"call {number} did not end within {self.scenario.drain.timeout:.0f} s in the clean pass"
                break
            touched = self.system.touched()
            if touched != seen:
                world, seen = sharing(self.system.observe(), world), touched
            self.outcome.per_call[number] = world
            if done % 50 == 0:
                self.say(Progress(phase="clean", text="one at a time", done=done, total=len(numbers)))
        self._finish_clean()

    def run_fast(self, numbers: Sequence[int]) -> None:
        """All at once, in the plan's own order."""
        self.go()
        timeout = self.scenario.drain.timeout + len(numbers) * 0.05
        if not self._until(partial(self._ended, set(numbers)), timeout):
            assert self.outcome is not None
            self.outcome.note = "not all calls ended in the clean pass"
        self._finish_clean()

    def _ended(self, numbers: set[int]) -> bool:
        """Have these calls, and what they left behind? Threads that stay are waited for once."""
        live = self.live
        if live.outstanding or not numbers <= live.calls_sent | live.calls_failed:
            self._linger_since = None
            return False
        left = live.lingering - self._for_good
        if not left:
            return True
        now = self.clock.now()
        self._linger_since = self._linger_since or now
        if now - self._linger_since > min(_PATIENCE, self.scenario.drain.timeout / 2):
            self._for_good |= left
        return False

    def _finish_clean(self) -> None:
        assert self.outcome is not None
        self.outcome.load_ended = self.outcome.healed_at = self.now()
        self.outcome.quiet = self._until(lambda: self.depth() == (0, 0), 5.0)
        self.outcome.quiet_at = self.now() if self.outcome.quiet else None
        self.stop()

    def _until(self, condition: Callable[[], bool], timeout: float) -> bool:
        deadline = self.clock.now() + timeout
        while True:
            self.step(0.002)
            if condition():
                return True
            if self.clock.now() > deadline:
                return False

    # --- the pass with faults -----------------------------------------------------------------------------------

    def run_faults(self, timeline: Timeline, load_seconds: float) -> None:
        """Load and timeline, then heal, then drain."""
        outcome = self.outcome
        assert outcome is not None
        timeline.armed(self.system)
        self.go()
        timeline.t0, timeline.clock = outcome.t0, self.now
        end = max(load_seconds, timeline.last_time())
        while not (self.live.load_done and self.now() >= end):
            self.tick(timeline)
            self.watch_load(load_seconds)
        self.end(timeline)

    def watch_load(self, load_seconds: float) -> None:
        """Asked after every tick of the load. EnvironmentFault where it will not come to its end."""
        late = self.now() > load_seconds + _READY_SECONDS + self.scenario.drain.timeout
        if not self.live.load_done and (late or self.producer_ended):
            raise EnvironmentFault("the producer did not finish its load", hint="its log is in the run's folder: logs/producer.log")

    @property
    def producer_ended(self) -> bool:
        """Its process is gone."""
        assert self.outcome is not None
        return any(death.kind == "producer" for death in self.outcome.ended)

    def end(self, timeline: Timeline) -> None:
        """The load is over: heal, drain, stop."""
        outcome = self.outcome
        assert outcome is not None
        outcome.load_ended = self.now()
        timeline.heal_all(self.now(), self.system)
        deadline = self.now() + self.scenario.drain.timeout
        while not timeline.all_healed and self.now() < deadline:
            self.tick(timeline)
        timeline.refuse_what_cannot_be_healed()
        outcome.healed_at = self.now()
        self.say(Progress(phase="healed", text="every fault is healed", at=outcome.healed_at))
        self._drain(timeline, outcome.healed_at + self.scenario.drain.timeout)
        timeline.force_heal(self.now(), self.system)
        self.stop()

    def tick(self, timeline: Timeline, wait: float = _TICK) -> None:
        """One turn: what has happened is taken in, faults go on."""
        self.step(wait)
        timeline.advance(self.now(), self.system, self.live)
        for kind, planned in timeline.news:
            text = planned.record.name if kind == "fault" else f"{planned.record.name} healed"
            self.say(
                Progress(phase="fault" if kind == "fault" else "healed", text=text, at=self.now(), detail={"index": planned.record.index})
            )
        timeline.news.clear()
        if self.sample() is not None:
            total = len(self.live.calls_sent)
            self.say(Progress(phase="run", text="", at=self.now(), done=self.live.finished_tasks, total=total))

    def until_quiet(self, timeline: Timeline, seconds: float) -> bool:
        """Whether it became so within this time, faults that last going on."""
        deadline = self.now() + seconds
        while self.now() < deadline:
            self.tick(timeline)
            if self.quiet.calm_for() > CALM and not self.live.lingering and not self.quiet.adrift(timeline):
                return True
        return self.quiet.calm_for() > CALM

    def _drain(self, timeline: Timeline, deadline: float) -> None:
        """Until the broker is empty, no worker holds anything and none is still to come back; or the time is up; or nothing can
        happen before it is.
        """
        outcome = self.outcome
        assert outcome is not None
        next_look = self.now() + 1.0
        while self.now() < deadline:
            self.tick(timeline)
            if not timeline.all_healed:
                continue
            if self.quiet.reached(timeline, died=bool(outcome.ended)):
                outcome.quiet, outcome.quiet_at = True, self.now()
                return
            wall_deadline = self.clock.wall() + deadline - self.now()
            if self.now() > next_look and self.clock.now() - self._last_record > CALM and not self.live.busy(wall_deadline):
                if not self.live.lingering and not self.live.adrift and self._nothing_before(deadline):
                    outcome.note = "stopped early: the broker gives nothing back before the drain's end"
                    return
                next_look = self.now() + 1.0
        if timeline.all_healed and (calm := self.quiet.calm_for()) > CALM:  # what it waited for was not work
            outcome.quiet, outcome.quiet_at = True, self.now() - (calm - CALM)
            outcome.note = f"quiet, but for {self.quiet.waited_for(timeline)}, waited for until the drain's end"

    def _nothing_before(self, deadline: float) -> bool:
        """Everything that the broker holds returns after the deadline, or never: waiting longer changes nothing.

        Asked where all that workers have waits for an ETA after the deadline. A broker that does not show what its consumers
        have says how many these are: no more than those.
        """
        ready, unacked = self.depth() or (1, 0)
        if ready or not unacked:
            return False
        offset = self.clock.wall() - self.now()
        try:
            held = self.system.broker().look(offset)
        except (OSError, EnvironmentFault):
            return False
        waiting = [h for h in held if h.place not in ("dead_letter", "resting")]
        shown = [h for h in waiting if h.message_id or h.task_id or h.tag]
        late = all(h.place in ("unacked", "delayed") and h.returns_at is not None and h.returns_at > deadline + 1.0 for h in shown)
        return bool(waiting) and late and len(waiting) - len(shown) <= len(self.live.open)

    # --- both ---------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """Time starts for the producer."""
        assert self.outcome is not None
        self.outcome.t0 = self.clock.now() + 0.02
        self.system.tell_producer(f"go {int(self.outcome.t0 * 1e9)}")
        self.watch.begin(self.outcome.t0)

    def stop(self) -> None:
        """Stop workers and producer, read what they wrote last."""
        assert self.outcome is not None
        self.dismiss_producer()
        self.outcome.stopped_at = self.now()
        # A quiet system holds nothing that a warm shutdown could still finish or give back, and Celery's takes two seconds.
        self.system.stop_workers(0.0 if self.outcome.quiet else _STOP_GRACE)
        self.outcome.ended_at = self.now()
        self._next_word = 0.0
        self._refuse_trouble({w.name for w in self.system.started_workers()} | {"producer"})
        if shutil.disk_usage(self.outcome.journal).free < _LEAST_FREE:
            raise EnvironmentFault("the disk is full: journals may be incomplete", where=str(self.outcome.journal), hint="free some space")
        while self.step(0.0):
            pass
        self._reap()

    def dismiss_producer(self) -> None:
        """It may go."""
        with contextlib.suppress(EnvironmentFault):
            self.system.tell_producer("stop")

    def finish_quietly(self) -> None:
        """After an interruption: what can still be read."""
        if self.outcome is not None and self._tail is not None:
            self.live.feed(self._tail.poll())
            self._reap()
