"""How a fault of each kind is drawn: its place first, then what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from harness.assembly import registry
from harness.errors import UsageError
from harness.scenario.names import known, nearest
from harness.testing.plans import PlannedFault

__all__ = ["DEFAULT_KINDS", "DEFAULT_POINTS", "KINDS", "Aims", "fault_of", "made_of"]

#: What happens to every system sooner or later, the plainest first. Not broker.restart: a worker of Celery 5.7 may end by itself when
#: Redis goes while it runs a task (AttributeError in kombu/transport/redis.py), which says nothing about the task.
DEFAULT_KINDS = ("task.crash", "message.duplicate", "worker.pause", "net.partition")
DEFAULT_POINTS = ("start", "end", "before_ack", "after_ack")
#: Where the harness itself acts while the task waits: a task that is through cannot be held up any more.
_HELD_POINTS = ("start", "end")
#: Only a task that runs can stand still, or be copied.
_BEGINNING = ("start",)
_BACK_AFTER = "100ms"


@dataclass(frozen=True)
class Aims:
    """What may be hit; see `fault_plans`."""

    points: tuple[str, ...]
    groups: tuple[str, ...]
    queues: tuple[str, ...]
    parts: tuple[str, ...]
    modes: tuple[str, ...]
    lengths: tuple[str, ...]
    max_call: int
    tasks: int


@st.composite
def made_of(draw: st.DrawFn, strategy: SearchStrategy[Any], make: Callable[[Any], Any]) -> Any:
    """As `strategy.map(make)`, but Hypothesis shows what comes of it by its own repr, and not by how it was made."""
    return make(draw(strategy))


_Parameters = Callable[[Aims], SearchStrategy[dict[str, Any]]]


def _fixed(**parameters: Any) -> _Parameters:
    return lambda aims: st.just(parameters)


def _lasting(**parameters: Any) -> _Parameters:
    """On for one of the lengths."""
    return lambda aims: st.sampled_from(aims.lengths).map(lambda length: {**parameters, "for": length})


def _between(*, by_mode: bool, **parameters: Any) -> _Parameters:
    """On the way from a group of workers to a part."""

    def drawn(aims: Aims) -> SearchStrategy[dict[str, Any]]:
        modes = st.sampled_from(aims.modes).map(lambda mode: {"mode": mode}) if by_mode else st.just({})
        return st.builds(
            lambda part, group, mode, length: {"between": [group, part], **mode, **parameters, "for": length},
            st.sampled_from(aims.parts),
            st.sampled_from(aims.groups or ("",)),
            modes,
            st.sampled_from(aims.lengths),
        )

    return drawn


def _copies(aims: Aims) -> SearchStrategy[dict[str, Any]]:
    """A copy of the message that runs now: there is always one, and where one slot is all there is it comes afterwards."""
    copy = {"count": 1, "deliver": "next"}
    return st.sampled_from(aims.queues).map(lambda queue: {"queue": queue, **copy}) if aims.queues else st.just(copy)


def _scaled(aims: Aims) -> SearchStrategy[dict[str, Any]]:
    groups = st.sampled_from(aims.groups).map(lambda group: {"target": group}) if aims.groups else st.just({})
    return st.builds(lambda group, replicas: {**group, "replicas": replicas}, groups, st.sampled_from((2, 3)))


#: kind -> (the points at which it may strike; none: all, how its own keys are drawn)
KINDS: Mapping[str, tuple[tuple[str, ...], _Parameters]] = {
    "task.crash": ((), _fixed(restart_after=_BACK_AFTER)),
    "worker.kill": ((), _fixed(restart_after=_BACK_AFTER)),
    "worker.kill_child": ((), _fixed()),
    "worker.pause": (_BEGINNING, _lasting()),
    "worker.stop": (_HELD_POINTS, _fixed(restart_after=_BACK_AFTER)),
    "worker.stop_cold": (_HELD_POINTS, _fixed(restart_after=_BACK_AFTER)),
    "worker.scale": (_HELD_POINTS, _scaled),
    "message.duplicate": (_BEGINNING, _copies),
    "net.partition": (_HELD_POINTS, _between(by_mode=True)),
    "net.latency": (_HELD_POINTS, _between(by_mode=False, latency="100ms")),
    "broker.restart": (_HELD_POINTS, _fixed(down="300ms")),
    "broker.kill": (_HELD_POINTS, _fixed(down="300ms")),
    "broker.pause": (_HELD_POINTS, _lasting()),
    "backend.restart": (_HELD_POINTS, _fixed(down="300ms")),
    "backend.kill": (_HELD_POINTS, _fixed(down="300ms")),
    "backend.pause": (_HELD_POINTS, _lasting()),
}


def fault_of(kind: str | Mapping[str, Any], aims: Aims) -> SearchStrategy[PlannedFault]:
    """Faults of one kind. UsageError for a kind that needs keys that nobody gave."""
    name, own = (kind, {}) if isinstance(kind, str) else (str(kind.get("fault", "")), {k: v for k, v in kind.items() if k != "fault"})
    faults = registry().faults
    if name not in faults:
        raise UsageError(f"no fault `{name}`{nearest(name, faults)}", hint=known(faults))
    if "when" in own or "at" in own:
        raise UsageError(f"{name}: where it strikes is drawn, so a kind has no `when` and no `at`")
    if not own and name not in KINDS:
        raise UsageError(
            f"{name} needs keys of its own in a fault plan", hint=f'give them: kinds=[{{"fault": "{name}", …}}]; docs/faults.md#{name}'
        )
    allowed, parameters = KINDS.get(name, (_HELD_POINTS, _fixed()))
    points = [point for point in aims.points if not allowed or point in allowed or ":" in point] or list(allowed)
    # A kind with one point draws it like any other: else it would be shorter, and the one to shrink to.
    drawn = st.tuples(
        st.integers(1, aims.max_call),
        st.integers(0, max(1, len(aims.points) - 1)),
        st.integers(0, aims.tasks - 1),
        st.just(own) if own else parameters(aims),
    )
    return made_of(drawn, lambda those: PlannedFault(name, those[0], points[those[1] % len(points)], those[2], those[3]))
