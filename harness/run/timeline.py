"""The timeline: faults begin at their time or at their event, are healed, and leave their record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import EnvironmentFault, HarnessError, ScenarioError
from harness.model.history import Evidence, FaultRecord, History
from harness.model.quantities import format_duration
from harness.model.scenario import TimelineItem
from harness.ports.fault import Fault, Meanwhile
from harness.ports.runtime import LiveSystem
from harness.ports.system import StopsAtEffects
from harness.run.live import LiveState

__all__ = ["Planned", "Timeline", "describe"]

#: A fault that began or ended more than so many seconds after its time says so.
_LATE = 1.0
_NTH = {1: "the first time", 2: "the 2nd time", 3: "the 3rd time"}


def describe(item: TimelineItem) -> str:
    """'at 5 s for 2 s', 'when orders.charge reaches start, the 3rd time'."""
    lasts = f" for {format_duration(item.duration)}" if item.duration else ""
    if item.when is None:
        return f"at {format_duration(item.at or 0.0)}{lasts}"
    which = f"of call {item.when.call}" if item.when.call else _NTH.get(item.when.nth, f"the {item.when.nth}th time")
    if (effect := item.when.effect) is not None:
        which = f"{effect.number} in execution {effect.delivery}" + (f" of call {item.when.call}" if item.when.call else "")
        return f"when {item.when.task} reaches effect {which}{lasts}"
    return f"when {item.when.task} reaches {item.when.reaches}, {which}{lasts}"


@dataclass
class Planned:
    """One fault and where it stands: waiting, active, ended."""

    item: TimelineItem
    fault: Fault
    record: FaultRecord
    heal_at: float | None = None
    state: str = "waiting"
    called: bool = False  # its step of a schedule has come
    trouble: EnvironmentFault | None = None  # why healing failed the last time

    @property
    def lasts(self) -> float | None:
        """Seconds until it is healed; None: the end of the load."""
        return self.item.duration or self.fault.lasts

    def failed_to_heal(self, why: HarnessError) -> None:
        """It is tried again."""
        self.record.note = f"healing failed: {why.what.splitlines()[0]}"
        self.trouble = why if isinstance(why, EnvironmentFault) else None

    def end(self, now: float) -> None:
        """It is over, and was probed to be. Where that took much longer than planned, it says how long it lasted."""
        self.state, self.record.ended, self.record.healed = "ended", now, True
        begun, lasts = self.record.begun, self.lasts
        if begun is not None and lasts is not None and now - begun > lasts + _LATE:
            self.add_note(f"lasted {now - begun:.1f} s in place of {format_duration(lasts)}")

    def add_note(self, text: str) -> None:
        """Behind what is noted already."""
        self.record.note = "; ".join(filter(None, (self.record.note, text)))


@dataclass(frozen=True)
class _Held:
    """A task that waits at the point that armed a fault."""

    planned: Planned
    since: float
    copies: int  # that had begun to run before


@dataclass
class Timeline:
    """All faults of a pass. Times are on the history's clock: seconds since the load began."""

    planned: list[Planned]
    t0: float = 0.0
    clock: Callable[[], float] | None = None  # seconds since the load began, now; None: what the caller says is exact enough
    healing: bool = False  # the load is over: what begins now is healed soon
    by_hand: bool = False  # a schedule's: a fault begins, or is armed, when `start` says so
    struck: int = 0
    waited: int = 0
    held: list[_Held] = field(default_factory=list)
    news: list[tuple[str, Planned]] = field(default_factory=list)  # ("fault" | "healed", which) for whoever watches

    @classmethod
    def of(cls, items: Sequence[TimelineItem], faults: Sequence[Fault], *, by_hand: bool = False) -> Timeline:
        """In the order of the file."""
        timeline = cls([], by_hand=by_hand)
        for item, fault in zip(items, faults, strict=True):
            timeline.add(item, fault)
        return timeline

    def add(self, item: TimelineItem, fault: Fault) -> Planned:
        """One more, waiting."""
        index = len(self.planned)
        planned = f"step {index + 1}" if self.by_hand and item.when is None else describe(item)
        self.planned.append(Planned(item, fault, FaultRecord(index, item.fault, planned)))
        return self.planned[-1]

    def start(self, index: int, now: float, system: LiveSystem) -> None:
        """Its step has come: begin it, or arm it."""
        p = self.planned[index]
        p.called = True
        if p.item.when is None:
            self._begin(p, now, system)
        else:
            p.fault.armed(system)
            system.arm(self.triggers())

    def armed(self, system: LiveSystem) -> None:
        """The load begins, and with it what faults wait for; those of a schedule are told by `start`."""
        for p in self.planned:
            if p.item.when is not None and not self.by_hand:
                p.fault.armed(system)

    def heal(self, indices: Sequence[int], now: float) -> None:
        """Let those that are active end; those that were never struck are none."""
        for p in (self.planned[index] for index in indices):
            if p.state == "active":
                p.heal_at = now

    def triggers(self) -> list[dict[str, Any]]:
        """What the agent is armed with (docs/journal.md)."""
        return [
            {
                "fault": p.record.index,
                "task": p.item.when.task,
                "point": p.item.when.reaches,
                "nth": p.item.when.nth,
                "call": p.item.when.call,
                "action": p.fault.strike or "wait",
                **({"effect": p.item.when.effect.model_dump()} if p.item.when.effect else {}),
            }
            for p in self.planned
            if p.item.when is not None and (p.called or not self.by_hand)
        ]

    def last_time(self) -> float:
        """When the last fault that is planned by time has ended."""
        if self.by_hand:
            return 0.0
        return max((p.item.at + (p.lasts or 0.0) for p in self.planned if p.item.at is not None), default=0.0)

    def advance(self, now: float, system: LiveSystem, live: LiveState) -> None:
        """Begin what is due, take in what the agent did, tick and heal. ``now``: seconds since the load began."""
        for p in self.planned:
            if p.state == "waiting" and p.item.at is not None and now >= p.item.at and not self.by_hand:
                self._begin(p, now, system)
        self._adopt_strikes(system, live)
        self._answer_waiting(now, system, live)
        self._take_misses(system)
        for p in self.planned:
            if p.state == "active":
                if p.lasts != 0.0:  # what happens once is over when it has begun
                    self._tick(p, system)
                if p.heal_at is not None and now >= p.heal_at:
                    self._heal(p, now, system, live)
            elif p.state == "healing":
                self._probe(p, now, system, live)

    def heal_all(self, now: float, system: LiveSystem) -> None:
        """The load is over: heal everything that lasts 'until the end of the load'."""
        self.healing = True
        for p in self.planned:
            if p.state == "active" and p.heal_at is None:
                p.heal_at = now

    def refuse_what_cannot_be_healed(self) -> None:
        """EnvironmentFault where a part does not obey although healing was tried to the last."""
        for p in self.planned:
            if p.state == "healing" and p.trouble is not None:
                raise p.trouble

    @property
    def all_healed(self) -> bool:
        """Nothing is active or half healed (faults that never began do not count)."""
        return all(p.state in ("waiting", "ended") for p in self.planned)

    def force_heal(self, now: float, system: LiveSystem) -> None:
        """On the way out: whatever it takes, and errors are notes."""
        for p in self.planned:
            if p.state in ("active", "healing"):
                with contextlib.suppress(HarnessError):
                    now = self._time(now)
                    p.fault.end(system)
                    if p.state == "active" and p.fault.healed(system):
                        p.end(now)

    def settle(self, history: History) -> None:
        """After the run: each fault's evidence, from the history alone."""
        for p in self.planned:
            try:
                p.record.evidence = p.fault.evidence(p.record, history)
            except Exception as exc:
                p.record.evidence = Evidence(None, f"the evidence could not be read: {type(exc).__name__}: {exc}")

    @staticmethod
    def _tick(p: Planned, system: LiveSystem) -> None:
        """A broker that another fault has taken away is no reason to end the run: this tick is skipped, and noted."""
        try:
            p.fault.tick(system)
        except (EnvironmentFault, OSError) as exc:
            p.record.note = p.record.note or f"skipped while the broker was away: {str(exc).splitlines()[0]}"

    def _time(self, now: float) -> float:
        """Beginning and healing other faults takes time, too: whatever was now may be seconds ago."""
        return self.clock() if self.clock is not None else now

    # --- steps --------------------------------------------------------------------------------------------------

    def _begin(self, p: Planned, now: float, system: LiveSystem) -> None:
        now = self._time(now)
        p.record.begun = now
        p.record.healed = False
        try:
            begun = p.fault.begin(system)
        except ScenarioError as exc:  # what it aims at is not there; a part that does not obey is the environment's fault
            p.state, p.record.ended, p.record.healed, p.record.note = "ended", now, True, exc.what
            p.record.begun = None
            return
        p.record.target, p.record.killed_pids, p.record.note = begun.target, begun.killed, begun.note
        if p.item.at is not None and not self.by_hand and now - p.item.at > _LATE:
            p.add_note(f"began {now - p.item.at:.1f} s late")
        self._activate(p, now)

    def _activate(self, p: Planned, now: float) -> None:
        p.state = "active"
        if p.lasts is not None:
            p.heal_at = now + p.lasts
        elif self.healing:
            p.heal_at = now
        self.news.append(("fault", p))

    def _adopt_strikes(self, system: LiveSystem, live: LiveState) -> None:
        for strike in live.strikes[self.struck :]:
            self.struck += 1
            p = self.planned[strike["fault"]]
            if p.state != "waiting":
                continue
            _fill(p.record, strike, self.t0)
            name, _, main = live.names.get(strike["_pid"], ("", "", 0))
            p.record.target = name
            p.record.healed = False
            if p.fault.strike == "kill_child":
                p.record.killed_pids = (strike["_pid"],)
            elif p.fault.strike == "kill_group":
                group = (live.names.get(main, ("", "", 0))[0] == name and main) or strike["_pid"]
                p.record.killed_pids = (group, *(pid for pid, (_, _, parent) in live.names.items() if parent == group))
            if p.fault.strike:
                p.fault.adopt(system, name)
                self._activate(p, p.record.begun or 0.0)

    def _answer_waiting(self, now: float, system: LiveSystem, live: LiveState) -> None:
        for held in live.waiting[self.waited :]:
            self.waited += 1
            p = self.planned[held["fault"]]
            if p.state == "waiting":
                before = (p.record.file, p.record.line, p.record.task_id)
                p.fault.adopt(system, live.names.get(held["_pid"], ("", "", 0))[0])
                p.fault.struck_task = held.get("id") or ""
                self._begin(p, now, system)
                p.record.file, p.record.line, p.record.task_id = before
            self.held.append(_Held(p, p.record.begun or now, live.copies_begun))
        for waits in list(self.held):
            p, since = waits.planned, self._time(now) - waits.since
            if p.state != "active" or not p.fault.holds(Meanwhile(since, live.copies_begun - waits.copies)):
                system.release(p.record.index)
                self.held.remove(waits)

    def _take_misses(self, system: LiveSystem) -> None:
        """Effects that were not what was to be struck."""
        if any(p.item.when and p.item.when.effect for p in self.planned) and isinstance(system, StopsAtEffects):
            for index, why in system.missed_effects().items():
                p = self.planned[index]
                p.record.note = p.record.note or why

    def _heal(self, p: Planned, now: float, system: LiveSystem, live: LiveState) -> None:
        now = self._time(now)  # before it is healed: what a thawed worker takes at once it takes after the fault
        try:
            p.fault.end(system)
        except HarnessError as exc:
            p.failed_to_heal(exc)
        p.state = "healing"
        self._probe(p, now, system, live, again=False)

    def _probe(self, p: Planned, now: float, system: LiveSystem, live: LiveState, *, again: bool = True) -> None:
        if again:
            now = self._time(now)
            try:
                p.fault.end(system)
            except HarnessError as exc:
                p.failed_to_heal(exc)
                return
            p.trouble = None
        # A worker that it took away is not back before it says that it is ready; one that dies first is started again. This
        # order matters: one that dies between the two looks is seen by the second.
        gone = p.fault.takes_away
        booting = bool(gone) and any(live.ready.get(w.name) != w.pid for w in system.workers(gone))
        if not booting and p.fault.healed(system):
            p.end(now)
            self.news.append(("healed", p))


def _fill(record: FaultRecord, strike: Mapping[str, Any], t0: float) -> None:
    record.begun = strike["m"] / 1e9 - t0
    record.file = strike.get("file") or ""
    record.line = strike.get("line")
    record.task_id = strike.get("id") or ""
    record.note = record.note or str(strike.get("words") or "")
