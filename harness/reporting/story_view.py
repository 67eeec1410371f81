"""A story prepared for drawing: lanes in order, long waits folded, the marks of its short form."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from harness.model.finding import Finding, Step, Story, Word
from harness.model.quantities import format_duration

__all__ = ["LaneView", "Mark", "fold_waits", "guilty_kinds", "lanes_of", "marks_of"]

_AGAIN = {"effect_again"}
_FOLD_ABOVE = 1.0
_MARKS = 5
_WORKER_KINDS = {"start", "end", "retry", "crash"}


@dataclass(frozen=True, slots=True)
class LaneView:
    """One vertical line of a story. ``kind``: caller, broker, worker or store."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One of the few marks that tell a story at a glance."""

    icon: str  # coin, boom, wait, again, bad, send
    title: str
    note: str


def guilty_kinds(finding: Finding) -> set[str]:
    """Kinds of steps at which this finding's promise breaks: the only red ones."""
    return _AGAIN | {"lost"} | ({"held"} if finding.word is Word.STRANDED else set())


def lanes_of(story: Story, workers: Collection[str]) -> list[LaneView]:
    """Caller, broker, workers and stores, each in order of appearance; what nobody knows is a store."""
    known = set(workers)
    for step in story.steps:
        if step.kind in _WORKER_KINDS and step.lane not in ("caller", "broker"):
            known.add(step.lane)
        if step.kind == "deliver" and step.to:
            known.add(step.to)
    names = dict.fromkeys(name for step in story.steps for name in (step.lane, step.to) if name)
    kinds = {name: name if name in ("caller", "broker") else "worker" if name in known else "store" for name in names}
    return [LaneView(name, kind) for wanted in ("caller", "broker", "worker", "store") for name, kind in kinds.items() if kind == wanted]


def fold_waits(steps: tuple[Step, ...]) -> list[Step]:
    """The steps with a ``wait`` wherever more than a second passes and the story itself names no wait."""
    folded: list[Step] = []
    for step in steps:
        before = folded[-1] if folded else None
        if before and before.kind not in ("wait", "held") and step.kind not in ("wait", "held") and step.at - before.at > _FOLD_ABOVE:
            folded.append(Step(at=before.at, kind="wait", lane="broker", text=f"{format_duration(step.at - before.at)} pass"))
        folded.append(step)
    return folded


def marks_of(finding: Finding, story: Story) -> list[Mark]:
    """At most five marks: what it did, what struck, the wait, the second delivery, the broken promise."""
    steps = fold_waits(story.steps)
    guilty = guilty_kinds(finding)
    chosen: dict[str, int] = {}
    for i, step in enumerate(steps):
        slot = _slot(step, guilty)
        if slot == "bad" or (slot and slot not in chosen):
            chosen[slot] = i
    order = sorted(chosen.items(), key=lambda item: item[1])
    if "bad" in chosen:
        order = [item for item in order if item[1] <= chosen["bad"]]
    verdict = [] if "bad" in chosen else _outcome(story)
    if len(order) + len(verdict) < 2:
        return []
    for slot in ("run", "send", "coin", "again"):
        if len(order) + len(verdict) > _MARKS:
            order = [item for item in order if item[0] != slot]
    return [*(_mark(slot, steps, i) for slot, i in order), *verdict]


def _outcome(story: Story) -> list[Mark]:
    """What the world says where no step shows the moment at which the promise broke."""
    wrong = next((cell for cell in story.world if cell.wrong), None)
    return [Mark("bad", f"{wrong.after} instead of {wrong.expected}", wrong.name)] if wrong else []


def _slot(step: Step, guilty: set[str]) -> str:
    if step.kind in guilty:
        return "bad"
    if step.kind in ("crash", "fault"):
        return "boom"
    if step.kind == "effect":
        return "coin"
    if step.kind in ("wait", "held"):
        return "wait"
    if (step.kind == "deliver" and step.delivery > 1) or step.kind == "retry":
        return "again"
    if step.kind == "publish":
        return "send"
    return "run" if step.kind == "start" and step.delivery <= 1 else ""


def _mark(slot: str, steps: list[Step], i: int) -> Mark:
    step = steps[i]
    before = next((s for s in reversed(steps[:i]) if s.kind != "wait"), None)
    since = f"{format_duration(step.at - before.at)} later" if before and step.at > before.at else ""
    if slot == "boom":
        return Mark("boom", f"{step.lane} killed" if step.kind == "crash" else step.text, since)
    if slot == "wait":
        after = next((s for s in steps[i + 1 :]), None)
        gap = format_duration(after.at - step.at) if after and after.at > step.at else step.text
        return Mark("wait", gap, step.note or ("" if step.text.startswith(gap) else step.text))
    if slot == "again":
        return Mark("again", "Retried" if step.kind == "retry" else "Delivered again", f"to {step.to}" if step.to else step.note)
    icon = {"coin": "coin", "send": "send", "run": "send"}.get(slot, slot)
    return Mark(icon, step.text[:1].upper() + step.text[1:], step.note)
