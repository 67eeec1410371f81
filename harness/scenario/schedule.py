"""`schedule:` taken apart: its calls become the load, its faults the timeline, and the steps say in which order they happen.

Everything keeps its place in the file, so whatever is wrong with a call or a fault is said where it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.scenario.errors import Problems
from harness.scenario.names import nearest
from harness.scenario.tree import Entry, Fields, Items, Place, Scalar, Tree, describe, planted

__all__ = ["CALL_KEYS", "STEP_KINDS", "unrolled"]

#: What a step can be. `chain`, `group` and `chord` are calls, as `send` is.
STEP_KINDS = ("send", "chain", "group", "chord", "fault", "heal", "wait")
_CALLS = ("send", "chain", "group", "chord")
#: What may stand beside a call: nothing that says when it is made.
CALL_KEYS = frozenset({*_CALLS, "args", "kwargs", "queue", "countdown", "eta", "expires", "priority", "count"})
_NAME = "as"


@dataclass
class _Parts:
    load: list[Tree] = field(default_factory=list)
    timeline: list[Tree] = field(default_factory=list)
    steps: list[Tree] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)  # of faults: what `heal` may say


def unrolled(tree: Fields, problems: Problems) -> Fields:
    """The same scenario with `load` and `timeline`; as it is where there is no schedule."""
    entry = tree.entries.get("schedule")
    if entry is None:
        return tree
    for other in ("load", "timeline"):
        if other in tree.entries:
            problems.add(tree.entries[other].key, f"`{other}` and `schedule` both say what happens: write one")
    if not isinstance(entry.value, Items) or not entry.value.items:
        problems.add(entry.value.place, f"`schedule` is a list of steps, not {describe(entry.value)}", "such as - send: orders.charge")
        return tree
    parts = _Parts()
    for step in entry.value.items:
        _take(step, parts, problems)
    place = entry.value.place
    if not parts.load:
        problems.add(entry.key, "the schedule sends nothing", "add a step such as - send: orders.charge")
    made = {"load": parts.load, "timeline": parts.timeline, "schedule": parts.steps}
    entries = {name: value for name, value in tree.entries.items() if name not in made}
    return Fields({**entries, **{name: Entry(entry.key, Items(tuple(items), place)) for name, items in made.items()}}, tree.place)


def _take(step: Tree, parts: _Parts, problems: Problems) -> None:
    if not isinstance(step, Fields):
        problems.add(step.place, f"a step is a mapping, not {describe(step)}", "such as - send: orders.charge, or - wait: quiet")
        return
    kinds = [kind for kind in STEP_KINDS if kind in step.entries]
    if len(kinds) != 1:
        key = next(iter(step.entries), "")
        what = f"a step is one of {', '.join(STEP_KINDS)}" + (f", not {' and '.join(kinds)} together" if kinds else "")
        problems.add(step.place, what + ("" if kinds else nearest(key, STEP_KINDS)))
    elif kinds[0] in _CALLS:
        _take_call(step, parts, problems)
    elif kinds[0] == "fault":
        _take_fault(step, parts, problems)
    elif kinds[0] == "heal":
        _take_heal(step, parts, problems)
    else:
        _only(step, "wait", problems)
        parts.steps.append(step)


def _take_call(step: Fields, parts: _Parts, problems: Problems) -> None:
    for key, entry in step.entries.items():
        if key not in CALL_KEYS:
            problems.add(entry.key, f"a call of a schedule has no `{key}`", "calls are made one after another, each when its step has come")
    one = {} if "count" in step.entries else {"count": Entry(step.place, planted(1, step.place))}
    parts.load.append(Fields({**{k: e for k, e in step.entries.items() if k in CALL_KEYS}, **one}, step.place))
    parts.steps.append(planted({"send": len(parts.load) - 1}, step.place))


def _take_fault(step: Fields, parts: _Parts, problems: Problems) -> None:
    if "at" in step.entries:
        problems.add(step.entries["at"].key, "a fault of a schedule begins when its step has come, not `at` a time")
    entries = {key: entry for key, entry in step.entries.items() if key not in ("at", _NAME)}
    if "when" not in entries:
        entries["at"] = Entry(step.place, planted(0, step.place))
    name = step.entries.get(_NAME)
    if name is not None:
        text = name.value.value if isinstance(name.value, Scalar) else None
        if not isinstance(text, str) or text == "all":
            problems.add(name.value.place, "`as` is a name for `heal`, and `all` means every fault")
        elif text in parts.names:
            problems.add(name.value.place, f"two faults are called `{text}`")
        else:
            parts.names[text] = len(parts.timeline)
    parts.timeline.append(Fields(entries, step.place))
    parts.steps.append(planted({"fault": len(parts.timeline) - 1}, step.place))


def _take_heal(step: Fields, parts: _Parts, problems: Problems) -> None:
    _only(step, "heal", problems)
    value = step.entries["heal"].value
    name: Any = value.value if isinstance(value, Scalar) else None
    if name == "all":
        which = list(range(len(parts.timeline)))
    elif name in parts.names:
        which = [parts.names[name]]
    else:
        hint = "give the fault a name: {fault: net.partition, as: cut, …}, then - heal: cut; or - heal: all"
        problems.add(value.place, f"no fault before this step is called {describe(value)}{nearest(str(name), parts.names)}", hint)
        return
    parts.steps.append(planted({"heal": which}, step.place))


def _only(step: Fields, kind: str, problems: Problems) -> None:
    for key, entry in step.entries.items():
        if key != kind:
            _unknown(key, entry.key, kind, problems)


def _unknown(key: str, place: Place, kind: str, problems: Problems) -> None:
    problems.add(place, f"a step `{kind}` has no `{key}`")
