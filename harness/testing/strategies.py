"""Strategies for calls and for faults. Their shape is what they shrink to: no fault, few calls, small arguments, the plainest kind.

Hypothesis prefers fewer choices, and of as many those that come first: so faults are drawn before calls, alternatives stand in
the order in which a reader would rather meet them, and nothing is drawn that does not change the plan.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel, ValidationError

from harness.errors import UsageError
from harness.testing.fault_kinds import DEFAULT_KINDS, DEFAULT_POINTS, Aims, fault_of, made_of
from harness.testing.plans import Plan, PlannedCall, PlannedChord, PlannedFault
from harness.testing.points import lines_of

__all__ = ["call_lists", "calls", "chords", "fault_plans", "lines_of", "plans"]

_WHOLE = 2**63
_PLAIN: Mapping[type, SearchStrategy[Any]] = {
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: st.integers(-_WHOLE, _WHOLE - 1),
}
_CALL_OPTIONS = ("queue", "countdown", "eta", "expires", "priority")


def calls(task: Any, *args: Any, options: Mapping[str, Any] | None = None, **kwargs: Any) -> SearchStrategy[PlannedCall]:
    """Calls of one task, by its name or the task itself; each argument a strategy, or a value as it is.

    What a task itself is given no strategy for is drawn from the type hints of its `run`; a name alone says nothing of them.
    ``options``: queue, countdown, eta, expires (as text with a unit), priority. UsageError for a parameter without a type hint;
    while drawing, for a value that a message in JSON cannot carry.
    """
    for key in options or {}:
        if key not in _CALL_OPTIONS:
            raise UsageError(f"a call has no option `{key}`", hint=f"it has {', '.join(_CALL_OPTIONS)}")
    name = task if isinstance(task, str) else str(task.name)
    names, hinted = ([], {}) if isinstance(task, str) else _hinted(task, len(args), set(kwargs))
    positional = [_carried(_strategy(value), name, _position(names, index)) for index, value in enumerate(args)]
    named = {key: _carried(_strategy(value), name, key) for key, value in {**hinted, **kwargs}.items()}
    made = dict(options or {})
    both = st.tuples(st.tuples(*positional), st.fixed_dictionaries(named))
    return made_of(both, lambda drawn: PlannedCall(name, drawn[0], drawn[1], made))


def chords(header: SearchStrategy[PlannedCall], body: SearchStrategy[PlannedCall], *, max_size: int = 3) -> SearchStrategy[PlannedChord]:
    """Chords of up to ``max_size`` header tasks."""
    both = st.tuples(st.lists(header, min_size=1, max_size=max_size), body)
    return made_of(both, lambda drawn: PlannedChord(tuple(drawn[0]), drawn[1]))


def call_lists(
    *strategies: SearchStrategy[Any], min_size: int = 1, max_size: int = 4, unique_by: Callable[[Any], Any] | None = None
) -> SearchStrategy[tuple[PlannedCall | PlannedChord, ...]]:
    """A few calls, one after another; the first of several strategies is the one to shrink to.

    ``unique_by``: what no two calls of a list share, such as ``lambda call: call.args[0]``: calls that touch the same thing depend
    on their order, which a check of effects cannot judge.
    """
    if not strategies:
        raise UsageError("call_lists() needs the calls that it is to list", hint="such as call_lists(calls(charge))")
    return made_of(st.lists(st.one_of(*strategies), min_size=min_size, max_size=max_size, unique_by=unique_by), tuple)


def fault_plans(
    kinds: Sequence[str | Mapping[str, Any]] = DEFAULT_KINDS,
    *,
    max_faults: int = 2,
    min_faults: int = 0,
    points: Sequence[str] = DEFAULT_POINTS,
    groups: Sequence[str] = (),
    queues: Sequence[str] = (),
    parts: Sequence[str] = ("broker",),
    modes: Sequence[str] = ("stall", "refuse"),
    lengths: Sequence[str] = ("300ms", "1s"),
    max_call: int = 4,
    tasks: int = 1,
) -> SearchStrategy[tuple[PlannedFault, ...]]:
    """Up to ``max_faults`` faults, each bound to the moment at which a call reaches a point: so a plan is the same every time.

    ``kinds``: names of faults, or a fault with its own keys as a scenario has it, of which only the place is drawn then.
    ``points``: start, end, before_ack, after_ack, or lines (orders.py:41; `lines_of` a task has them all). ``groups``, ``queues``:
    what may be hit; none: the only one of the system. ``parts``, ``modes``: what workers may be cut off from, and how.
    ``lengths``: of faults that last. ``max_call``: the last call that one may be bound to. ``tasks``: how many of a chord's tasks,
    from its header's first.
    """
    aims = Aims(tuple(points), tuple(groups), tuple(queues), tuple(parts), tuple(modes), tuple(lengths), max_call, tasks)
    one = st.one_of(*(fault_of(kind, aims) for kind in kinds))
    some = made_of(st.lists(one, min_size=max(1, min_faults), max_size=max_faults, unique_by=_place), tuple)
    if max_faults == 0:
        return st.just(())
    if min_faults > 0:
        return some
    # A plan without a fault is what to shrink to, and seldom worth an example.
    return st.sampled_from((False, True, True, True, True, True)).flatmap(lambda any_at_all: some if any_at_all else st.just(()))


def plans(calls: SearchStrategy[Any], faults: SearchStrategy[tuple[PlannedFault, ...]] | None = None) -> SearchStrategy[Plan]:
    """Calls with faults. ``calls``: as `call_lists` has them, or single ones, which are made into lists of one."""
    several = calls.map(lambda drawn: drawn if isinstance(drawn, tuple) else (drawn,))
    both = st.tuples(fault_plans() if faults is None else faults, several)
    return made_of(both, lambda drawn: Plan.of(drawn[1], drawn[0]))


def _place(fault: PlannedFault) -> tuple[str, int, str, int]:
    """Two of a kind at one moment are one."""
    return fault.name, fault.call, fault.reaches, fault.task


# --- arguments --------------------------------------------------------------------------------------------------


def _strategy(value: Any) -> SearchStrategy[Any]:
    return value if isinstance(value, SearchStrategy) else st.just(value)


def _position(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else f"number {index + 1}"


def _hinted(task: Any, given: int, named: set[str]) -> tuple[list[str], dict[str, SearchStrategy[Any]]]:
    """(names of its parameters, strategies for those that must be given and are not)."""
    run = task.run
    parameters = list(inspect.signature(run).parameters.values())
    try:
        hints = typing.get_type_hints(inspect.unwrap(getattr(run, "__func__", run)), include_extras=True)
    except (NameError, TypeError) as exc:
        raise UsageError(f"{task.name}: its type hints cannot be read: {exc}", hint="give each parameter a strategy") from None
    plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names = [p.name for p in plain]
    needed = [p for p in plain[given:] if p.default is p.empty and p.name not in named]
    found = {}
    for parameter in needed:
        if parameter.name not in hints:
            raise UsageError(
                f"{task.name}: parameter `{parameter.name}` has no type hint",
                hint=f"give it one, or a strategy: calls({task.name.rpartition('.')[2]}, {parameter.name}=st.…)",
            )
        found[parameter.name] = _from_type(hints[parameter.name])
    return names, found


@st.composite
def _from_type(draw: st.DrawFn, hint: Any) -> Any:
    """As `st.from_type`, but at any depth JSON knows no infinity and no database a whole number of more than 64 bits, and a model's own
    rules may refuse what its types allow.
    """
    try:
        plain = _PLAIN.get(hint) if isinstance(hint, type) else None
        value = draw(st.from_type(hint) if plain is None else plain)
    except ValidationError:
        reject()
    if not _fits(value):
        reject()
    return value


def _fits(value: Any) -> bool:
    """Is every number in it one that JSON knows, and that a column can hold?"""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -_WHOLE <= value < _WHOLE
    if isinstance(value, BaseModel):
        return _fits(dict(value))
    if isinstance(value, Mapping):
        return all(map(_fits, value)) and all(map(_fits, value.values()))
    return all(map(_fits, value)) if isinstance(value, (list, tuple, set, frozenset)) else True


def _carried(strategy: SearchStrategy[Any], task: str, parameter: str) -> SearchStrategy[Any]:
    return strategy.map(lambda value: _plain(value, task, parameter))


def _plain(value: Any, task: str, parameter: str) -> Any:
    """The same with nothing in it but what JSON knows. UsageError naming the parameter otherwise."""
    if value is None or isinstance(value, (bool, int, str)):
        return _text_fit(value, task, parameter) if isinstance(value, str) else value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(inner, task, parameter) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, task, parameter) for inner in value]
    raise UsageError(
        f"{task}: parameter `{parameter}` was drawn as {value!r}, a {type(value).__name__}, which a message in JSON cannot carry",
        hint="give it a strategy of text, numbers, booleans, lists and mappings, such as st.….map(str)",
    )


def _text_fit(value: str, task: str, parameter: str) -> str:
    """A scenario file fills in what stands in `${{ }}`, and text of lone surrogates is none."""
    if "${{" in value:
        reject()
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{task}: parameter `{parameter}` was drawn as {value!r}, which has no encoding", hint="draw it with st.text()"
        ) from None
    return value
