"""A plan: calls, faults bound to them, and pauses. It is a value that Hypothesis draws and shrinks, and a `schedule:` that is run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import UsageError

__all__ = ["Ground", "Heal", "Plan", "PlanStep", "PlannedCall", "PlannedChord", "PlannedFault", "Settle"]

#: Celery's own name for the queue of an app that names none (task_default_queue).
_DEFAULT_QUEUE = "celery"
#: A fault that lasts is on for at least this long before a `Heal` ends it: healed at once it would not have been felt.
_BEFORE_HEALING = "300ms"


class _Readable:
    """Hypothesis shows dataclasses by their fields, whatever their repr; but for those that say how they want to be shown."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True)
class PlannedCall(_Readable):
    """One call. ``options``: further keys of a call in a schedule, such as queue or countdown."""

    task: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What runs because of it, in the order in which a fault may aim at it."""
        return (self.task,)

    def step(self) -> dict[str, Any]:
        """As a step of a schedule."""
        given = {key: value for key, value in (("args", list(self.args)), ("kwargs", dict(self.kwargs))) if value}
        return {"send": self.task, **given, **self.options}

    def __repr__(self) -> str:
        words = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in {**self.kwargs, **self.options}.items())]
        return f"{self.task}({', '.join(words)})"


@dataclass(frozen=True)
class PlannedChord(_Readable):
    """A chord: the header's tasks in parallel, then the body once."""

    header: tuple[PlannedCall, ...]
    body: PlannedCall

    @property
    def tasks(self) -> tuple[str, ...]:
        """The header's and the body's, each once."""
        return tuple(dict.fromkeys([*(call.task for call in self.header), self.body.task]))

    def step(self) -> dict[str, Any]:
        """As a step of a schedule."""
        return {"chord": {"header": [call.step() for call in self.header], "body": self.body.step()}}

    def __repr__(self) -> str:
        return f"chord({', '.join(map(repr, self.header))}; {self.body!r})"


@dataclass(frozen=True)
class PlannedFault(_Readable):
    """One fault. ``call``: it strikes when this call (from 1, counted round where there are fewer) reaches its point; 0: at its place.

    ``task``: which of the call's tasks, counted round. ``parameters``: the fault's own keys, and `for`; what is left out and can
    only mean one thing in the system at hand (a group, a queue) is filled in.
    """

    name: str
    call: int = 1
    reaches: str = "start"
    task: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lasts(self) -> bool:
        """Does it go on until it is healed?"""
        return "for" not in self.parameters and self.name.partition(".")[0] in ("net", "worker") and "restart_after" not in self.parameters

    def __repr__(self) -> str:
        where = f" when call {self.call} reaches {self.reaches}" if self.call else ""
        more = "".join(f", {key} {_said(value)}" for key, value in self.parameters.items())
        return f"{self.name}{where}{more}"


@dataclass(frozen=True)
class Settle(_Readable):
    """Wait until nothing is left to do."""

    def __repr__(self) -> str:
        return "settle"


@dataclass(frozen=True)
class Heal(_Readable):
    """End every fault that has begun."""

    def __repr__(self) -> str:
        return "heal"


PlanStep = PlannedCall | PlannedChord | PlannedFault | Settle | Heal


@dataclass(frozen=True)
class Ground:
    """What a fault can aim at in the system at hand: groups of workers, and the queues that they consume."""

    groups: tuple[str, ...] = ("worker",)
    queues: tuple[str, ...] = (_DEFAULT_QUEUE,)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Ground:
        """Of a configuration's document."""
        workers: Mapping[str, Any] = document.get("system", {}).get("workers") or {"worker": {}}
        queues = dict.fromkeys(queue for group in workers.values() for queue in (group or {}).get("queues", ()))
        return cls(tuple(workers), tuple(queues) or (_DEFAULT_QUEUE,))


@dataclass(frozen=True)
class Plan(_Readable):
    """Steps in their order. A fault that is bound to a call is armed just before it is made, wherever it stands."""

    steps: tuple[PlanStep, ...] = ()

    @classmethod
    def of(cls, calls: Iterable[PlannedCall | PlannedChord], faults: Iterable[PlannedFault] = ()) -> Plan:
        """The calls one after another, with these faults."""
        return cls((*faults, *calls))

    @property
    def calls(self) -> tuple[PlannedCall | PlannedChord, ...]:
        """In the order in which they are made; the first is call 1."""
        return tuple(step for step in self.steps if isinstance(step, (PlannedCall, PlannedChord)))

    @property
    def faults(self) -> tuple[PlannedFault, ...]:
        """Bound ones and those that begin at their place."""
        return tuple(step for step in self.steps if isinstance(step, PlannedFault))

    def without(self, index: int) -> Plan:
        """The same without one step; a call takes the faults along that are bound to it."""
        gone = self.steps[index]
        left = [step for number, step in enumerate(self.steps) if number != index]
        if not isinstance(gone, (PlannedCall, PlannedChord)):
            return Plan(tuple(left))
        number = 1 + sum(isinstance(step, (PlannedCall, PlannedChord)) for step in self.steps[:index])
        bound = [step for step in left if not isinstance(step, PlannedFault) or step.call != number]
        return Plan(tuple(_moved_up(step, number) for step in bound))

    def schedule(self, ground: Ground) -> list[dict[str, Any]]:
        """As a scenario file has it. UsageError where a fault could mean several groups or queues."""
        calls = self.calls
        bound = [(_at(fault.call, calls), fault) for fault in self.faults if fault.call] if calls else []
        steps: list[dict[str, Any]] = []
        number = 0
        for step in self.steps:
            if isinstance(step, (PlannedCall, PlannedChord)):
                number += 1
                steps += [_bound(fault, step, number, ground) for at, fault in bound if at == number]
                steps.append(step.step())
            elif isinstance(step, PlannedFault) and not step.call:
                steps.append({"fault": step.name, **_filled(step, ground)})
            elif isinstance(step, Settle):
                steps.append({"wait": "quiet"})
            elif isinstance(step, Heal) and any("fault" in earlier for earlier in steps):
                steps += [{"wait": _BEFORE_HEALING}, {"heal": "all"}]
        return steps

    @property
    def size(self) -> tuple[int, int, int]:
        """To compare plans by: fewer faults, then fewer calls, then fewer steps."""
        return len(self.faults), len(self.calls), len(self.steps)

    def key(self, ground: Ground) -> str:
        """The same for two plans that are the same schedule."""
        return json.dumps(self.schedule(ground), sort_keys=True, ensure_ascii=True)

    def __repr__(self) -> str:
        return f"Plan({'; '.join(repr(self._meant(step)) for step in self.steps)})"

    def _meant(self, step: PlanStep) -> PlanStep:
        """A fault with the call that it strikes in this plan."""
        return replace(step, call=_at(step.call, self.calls)) if isinstance(step, PlannedFault) and step.call and self.calls else step


def _at(call: int, calls: Sequence[Any]) -> int:
    """Counted round."""
    return 1 + (call - 1) % len(calls)


def _moved_up(step: PlanStep, gone: int) -> PlanStep:
    """Call number ``gone`` is no more."""
    return replace(step, call=step.call - 1) if isinstance(step, PlannedFault) and step.call > gone else step


def _bound(fault: PlannedFault, call: PlannedCall | PlannedChord, number: int, ground: Ground) -> dict[str, Any]:
    task = call.tasks[fault.task % len(call.tasks)]
    return {"fault": fault.name, "when": {"task": task, "reaches": fault.reaches, "call": number}, **_filled(fault, ground)}


def _filled(fault: PlannedFault, ground: Ground) -> dict[str, Any]:
    """Its parameters, with what they leave to the system."""
    given = dict(fault.parameters)
    if fault.name == "message.duplicate" and "queue" not in given:
        given["queue"] = _the_only(ground.queues, fault.name, "queue", "queues")
    if fault.name == "worker.scale" and "target" not in given:
        given["target"] = _the_only(ground.groups, fault.name, "group of workers", "groups")
    between = given.get("between")
    if between is not None and not between[0]:
        given["between"] = [_the_only(ground.groups, fault.name, "group of workers", "groups"), between[1]]
    return given


def _the_only(names: Sequence[str], fault: str, what: str, keyword: str) -> str:
    if len(names) != 1:
        raise UsageError(
            f"{fault}: which {what}? There are {', '.join(names)}", hint=f"fault_plans({keyword}=[…]) says which; so does the machine's own"
        )
    return names[0]


def _said(value: Any) -> str:
    return " and ".join(str(one) or "the workers" for one in value) if isinstance(value, (list, tuple)) else str(value)
