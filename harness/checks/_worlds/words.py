"""Violations as findings: counted, named by task and collection, with the line, the faults and a fix that fits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from harness.checks._common import count, user_line
from harness.checks._worlds.allowed import Case, shown
from harness.checks._worlds.lens import Ident
from harness.checks._worlds.verdicts import AGAIN, LEFT, MISSING, Violation
from harness.checks.effects_seen import effect_steps
from harness.checks.story import build_story
from harness.model.finding import Finding, Word, WorldCell
from harness.model.history import Call, Delivery
from harness.model.quantities import format_duration
from harness.ports.check import Recorded

__all__ = ["faults_that_hit", "findings"]

_MOST_CELLS = 8
_FIX = {
    "http": "Send an idempotency key that is the same on every delivery, made from the arguments (not from a random or generated id).",
    "smtp": "Record in the database that the mail is due (an outbox, in the same transaction), and send it from there once.",
    "files": "Write to a temporary name that is the attempt's own and rename it into place; never append.",
    "redis": "Guard the change by the call's id in the same MULTI or script: a number that was added twice can't be told from two.",
    "sum": "Guard the change by the call's id in the same transaction: a table of processed calls with a unique key.",
    "row": "Give the row a unique key that follows from the arguments and insert it with ON CONFLICT DO NOTHING, "
    "in the same transaction as the state that says it is done.",
    "changed": "Let the write depend on the arguments and on nothing that an earlier attempt left: set it, don't add to it.",
    "missing": "Set the mark that says 'done' last, or together with the effect: an attempt that died in between is taken for done.",
    "unpublished": "Publish before the mark that says 'done' is committed, or write what is to be published in the same transaction "
    "(an outbox): an attempt that died in between is taken for done. What is then published twice must be safe to run twice.",
    "swallowed": "Let an error end the task instead of catching it, so that it is retried or counts as failed.",
    "partial": "One transaction for all effects, or an outbox for those that cannot be part of it, or a compensating action.",
    "left": "A lock or lease with an expiry (or a fencing token); a temporary file is renamed into place, and swept at the next start.",
}


def findings(recorded: Recorded, case: Case, unpublished: Mapping[int, Iterable[str]] | None = None) -> tuple[Finding, ...]:
    """One per word, cause, task and line; the worst (most calls) first. ``unpublished``: call -> tasks that nobody published for it."""
    missing = {call: sorted(set(tasks)) for call, tasks in (unpublished or {}).items()}
    groups: dict[tuple[Any, ...], list[Violation]] = defaultdict(list)
    for violation in case.outcome.violations:
        task = next((case.tasks[c] for c in violation.calls), "")
        line = next((found for c in violation.calls if (found := _line(recorded, c))[1] is not None), ("", None))
        groups[violation.word, violation.cause, task, line].append(violation)
    ranked = sorted(groups.items(), key=lambda item: (item[0][0] is Word.LEAK, -len(_calls(item[1])), item[0][1]))
    return tuple(_finding(recorded, case, key, members, missing) for key, members in ranked)


def faults_that_hit(recorded: Recorded, call: Call) -> set[int]:
    """Faults that killed a delivery of the call, struck at it, or put a copy of its message into the queue."""
    history = recorded.history
    deliveries = [d for m in call.messages for d in m.deliveries]
    found = {d.died_by for d in deliveries if d.died_by is not None}
    ids = {m.task_id for m in call.messages}
    found |= {f.index for f in history.faults if f.task_id and f.task_id in ids}
    for copy in (d for d in deliveries if d.copy):
        found |= {f.index for f in history.faults if "duplicate" in f.name and f.begun is not None and f.begun <= copy.at}
    if not found:
        for late in (d for d in deliveries if d.redelivered):
            earlier = (f for f in history.faults if f.begun is not None and f.begun <= late.at)
            found |= {f.index for f in earlier if f.name.startswith(("broker.", "net.", "worker."))}
    return found


def _calls(members: list[Violation]) -> list[int]:
    return sorted({c for v in members for c in v.calls})


def _line(recorded: Recorded, number: int) -> tuple[str, int | None]:
    """The user's line where the execution stood that was cut short, else where it raised."""
    call = recorded.history.calls.get(number)
    deliveries: list[Delivery] = [d for m in call.messages for d in m.deliveries] if call else []
    for delivery in sorted(deliveries, key=lambda d: d.died is None):
        file, line = user_line(recorded.history, delivery)
        if line is not None:
            return file, line
    ids = {d.message.task_id for d in deliveries}
    struck = next((f for f in recorded.history.faults if f.task_id in ids and f.line is not None), None)
    return (struck.file, struck.line) if struck else ("", None)


def _finding(
    recorded: Recorded, case: Case, key: tuple[Any, ...], members: list[Violation], unpublished: Mapping[int, Sequence[str]]
) -> Finding:
    word, cause, task, (file, line) = key
    calls = _calls(members)
    places = sorted({_place(v) for v in members})
    headline = _headline(word, cause, task, calls, places, members)
    history = recorded.history
    made = [history.calls[c] for c in calls if c in history.calls]
    ids = tuple(dict.fromkeys(m.task_id for call in made for m in call.messages))
    faults = sorted({f for call in made for f in faults_that_hit(recorded, call)})
    first = calls[0] if calls else None
    cells = _cells(case, members, first)
    never = sorted({task for c in calls for task in unpublished.get(c, ())}) if cause == MISSING else []
    story = None
    if first in history.calls and history.calls[first].messages:
        offender = _offender(history.calls[first])
        story = build_story(recorded, offender, title=headline, file=file, line=line, world=cells)
    return Finding(
        word=word,
        headline=headline,
        sentence=_never_published(never) + _sentence(recorded, case, word, members, first),
        cause=cause,
        task=task,
        task_ids=ids,
        calls=tuple(calls),
        file=file,
        line=line,
        fix=_FIX["unpublished"] if never else _fix(recorded, case, word, cause, members),
        faults=tuple(faults),
        story=story,
    )


def _never_published(tasks: Sequence[str]) -> str:
    if not tasks:
        return ""
    return f"{' and '.join(tasks)} {'was' if len(tasks) == 1 else 'were'} never published for it, as it is in a clean execution. "


def _cells(case: Case, members: list[Violation], first: int | None) -> tuple[WorldCell, ...]:
    """What is wrong, and beside it what the same call left as it should: half an effect is told by both halves."""
    wrong = [v for v in members if first is None or first in v.calls]
    cells = [_cell(case, v) for v in wrong]
    known = {v.ident for v in wrong}
    for ident in case.effects.by_call.get(first, {}) if first is not None else ():
        if ident not in known and len(case.effects.touches[ident]) == 1:
            before, after, expected = shown(case, ident)
            beside = Violation(wrong[0].word, "", ident, (), before, after, expected)
            if after == expected:
                cells.append(_cell(case, beside, wrong=False))
    return tuple(cells[:_MOST_CELLS])


def _offender(call: Call) -> str:
    """The task of the call that ran most often."""
    runs: dict[str, int] = defaultdict(int)
    for message in call.messages:
        runs[message.task_id] += len(message.deliveries)
    return max(runs, key=lambda task_id: runs[task_id])


def _place(violation: Violation) -> str:
    return violation.ident[0] + (f".{violation.path}" if violation.path else "")


def _headline(word: Word, cause: str, task: str, calls: list[int], places: list[str], members: list[Violation]) -> str:
    where = ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
    who = f"{count(len(calls), 'call')} of {task}" if calls else ""
    if word is Word.LEAK:
        return f"{count(len(members), 'thing')} {'was' if len(members) == 1 else 'were'} left behind in {where}."
    if word is Word.PARTIAL:
        return f"{who} failed and left part of {'its' if len(calls) == 1 else 'their'} effects in {where}."
    if not who:
        return f"{where} {'is' if len(places) == 1 else 'are'} not as after one clean execution of each call."
    if cause == AGAIN:
        stores = ", ".join(sorted({place.partition(".")[0] for place in places}))
        if len(calls) == 1:
            return f"{task} took effect more than once in {stores}, for call {calls[0]}."
        return f"{who} took effect more than once in {stores}."
    if cause == MISSING:
        return f"{who} succeeded without {'its' if len(calls) == 1 else 'their'} effects in {where}."
    return f"{who} left something else than one clean execution in {where}."


def _sentence(recorded: Recorded, case: Case, word: Word, members: list[Violation], first: int | None) -> str:
    example = next((v for v in members if first is None or first in v.calls), members[0])
    cell = _cell(case, example)
    world = f"{cell.name}: before {cell.before}, after {cell.after}, expected {cell.expected}."
    if first is None or first not in recorded.history.calls:
        return world
    call = recorded.history.calls[first]
    deliveries = sorted((d for m in call.messages for d in m.deliveries), key=lambda d: d.at)
    told = _told(recorded, first, deliveries)
    if told:
        return f"{told} {world}"
    began = sum(1 for d in deliveries if d.start is not None)
    killed = sum(1 for d in deliveries if d.running_at_death)
    copies = sum(1 for d in deliveries if d.copy)
    how = f"Call {first} {case.allowances[first][1]}; it began {count(began, 'time')}"
    how += f", {killed} cut short by a death" if killed else ""
    how += f", {copies} of them injected {'copy' if copies == 1 else 'copies'}" if copies else ""
    return f"{how}. {world}"


def _told(recorded: Recorded, number: int, deliveries: list[Delivery]) -> str:
    """How it came about where a crash or a copy explains it; '' otherwise."""
    for dead, again in pairwise(deliveries):
        if not dead.running_at_death or again.message is not dead.message or again.copy:
            continue
        fault = next((f.name for f in recorded.history.faults if f.index == dead.died_by), "a death of its process")
        done = [s for s in effect_steps(recorded.history, [dead]) if s.kind.startswith("effect")]
        after = f" after {done[-1].to} had accepted {done[-1].text.partition(' accepted')[0]}" if done else ""
        gap = again.at - (dead.died or dead.at)
        later = f"was delivered again {format_duration(gap)} later" if gap > 0 else "had been delivered again by then"
        return f"Call {number} was cut short by {fault}{after}. Its message {later}, and it ran once more."
    copies = sum(1 for d in deliveries if d.copy)
    if copies:
        return f"The message of call {number} was delivered {count(len(deliveries), 'time')}, {copies} of them injected."
    return ""


def _cell(case: Case, violation: Violation, *, wrong: bool = True) -> WorldCell:
    ident = violation.ident
    row = case.effects.rows.get(ident) or case.after.rows.get(ident) or case.before.rows.get(ident) or {}
    label = _brief(_telling_columns(case, ident, row)) if ident[2] in ("cell", "bag") else ""
    changed = _changed(violation.before, violation.after, violation.expected)
    return WorldCell(
        name=f"{_place(violation)} {label}".strip(),
        before=_text(violation.before, changed),
        after=_text(violation.after, changed),
        expected=_text(violation.expected, changed),
        wrong=wrong,
    )


def _telling_columns(case: Case, ident: Ident, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns by which people know the row. A number that the store made up is another one in each pass, so it names no row."""
    meta, made_up = case.lens.metas[ident[0]], case.lens.surrogates(ident[0])
    if meta.key and not set(made_up) & set(meta.key):
        return {c: row.get(c) for c in meta.key}
    one = case.lens.lens_of(ident[0], ident[1])
    varies = {*made_up, *meta.references, *one.levels, *one.leaked}
    return {c: v for c, v in row.items() if c not in varies} or row


def _changed(*values: Any) -> frozenset[str] | None:
    """Leaves in which the states differ; None where they are not states."""
    states = [v for v in values if isinstance(v, Mapping)]
    if len(states) < 2:
        return None
    return frozenset(p for p in {k for s in states for k in s} if len({repr(s.get(p)) for s in states}) > 1)


def _text(value: Any, only: frozenset[str] | None) -> str:
    if value is None or value == ("absent",):
        return "none"
    if isinstance(value, Mapping):
        shown = {k: v for k, v in value.items() if only is None or k in only}
        return _brief(shown or value)
    return str(value)


def _brief(row: Mapping[str, Any]) -> str:
    telling = {k: v for k, v in row.items() if v not in (None, "", (), []) and not (isinstance(v, tuple) and v[0] != "bool")}
    text = ", ".join(f"{k}={_plain(v)}" for k, v in (telling or row).items())
    return text if len(text) <= 120 else text[:117] + "…"


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return str(value[1]).lower() if value[0] == "bool" else "…"
    return str(value)


def _fix(recorded: Recorded, case: Case, word: Word, cause: str, members: list[Violation]) -> str:
    if word is Word.LEAK or cause == LEFT:
        return _FIX["left"]
    if word is Word.PARTIAL:
        return _FIX["partial"]
    if cause == MISSING:
        return _FIX["missing" if case.suspects.intersection(_calls(members)) else "swallowed"]
    return _fix_of_each_store(recorded, cause, members)


def _fix_of_each_store(recorded: Recorded, cause: str, members: list[Violation]) -> str:
    """A key for an API does not mend the table beside it: each store that is wrong gets its own advice, by its name where they differ."""
    by_store: dict[str, list[Violation]] = defaultdict(list)
    for violation in members:
        by_store[violation.ident[0].partition(".")[0]].append(violation)
    stores: dict[str, list[str]] = defaultdict(list)
    for store, wrong in sorted(by_store.items(), key=lambda item: (_store_kind(recorded, item[0]) not in _FIX, item[0])):
        kind = _store_kind(recorded, store)
        stores[_FIX[kind] if kind in _FIX else _fix_of_rows(cause, wrong)].append(store)
    if len(stores) == 1:
        return next(iter(stores))
    return " ".join(f"In {' and '.join(names)}: {text[:1].lower()}{text[1:]}" for text, names in stores.items())


def _fix_of_rows(cause: str, members: list[Violation]) -> str:
    if any(isinstance(v.after, (int, float)) and v.path for v in members):
        return _FIX["sum"]
    return _FIX["row"] if any(v.ident[2] == "bag" for v in members) else _FIX["sum" if cause == AGAIN else "changed"]


def _store_kind(recorded: Recorded, name: str) -> str:
    service = recorded.scenario.system.services.get(name, "")
    return service if isinstance(service, str) else str(service.get("kind") or next(iter(service), ""))
