"""no_loss: every published task ended, or waits where somebody will run it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from harness.checks._common import by_fault, count, first_match, inconclusive, user_line
from harness.checks._loss_words import GONE, emptied_by, lost_fix, lost_sentence, stranded
from harness.checks.conservation import balance
from harness.checks.story import build_story
from harness.model.fates import EMPTYING, IN_MEMORY, NEVER_AGAIN, WHILE_RUNNING, Fate, FateKind
from harness.model.finding import CheckResult, Finding, Word
from harness.model.history import FaultRecord, History
from harness.model.verdict import Verdict
from harness.ports.check import CheckParameters, Recorded

__all__ = ["NoLoss", "NoLossParameters"]

_FAILED_PUBLISH = "failed_publish"
_Allowed = Literal["rejected", "discarded", "expired", "revoked", "failed_publish"]
_ALLOWABLE = {FateKind.REJECTED, FateKind.DISCARDED, FateKind.EXPIRED, FateKind.REVOKED}


class NoLossParameters(CheckParameters):
    """What counts as an orderly end beside success and failure."""

    allow: tuple[_Allowed, ...] = Field(
        default=("revoked", "expired"), description="ends that are no loss; failed_publish: publishes of the load may fail"
    )


class NoLoss:
    """Judges by conservation: one class per message, each with positive evidence."""

    name: ClassVar[str] = "no_loss"
    question: ClassVar[str] = "every task that was published ends, or waits where it will be run"
    summary: ClassVar[str] = "nothing is lost or stranded"
    Parameters: ClassVar[type[BaseModel]] = NoLossParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, parameters: NoLossParameters) -> None:
        self.allowed = {FateKind(kind) for kind in parameters.allow if kind != _FAILED_PUBLISH}
        self.may_fail = _FAILED_PUBLISH in parameters.allow

    def judge(self, recorded: Recorded) -> CheckResult:
        """LOST or STRANDED: fail. UNKNOWN, calls that were not published, or no calls at all: inconclusive. SCHEDULED is no loss."""
        history = recorded.history
        found = recorded.readings.fates
        tally = balance(found)
        if not tally.total or (not history.calls and not any(self._is_offence(recorded, fate) for fate in found.values())):
            refused = count(tally.unpublished, "publish", "publishes")
            what = f"none of {refused} was confirmed" if tally.unpublished else "no task was published"
            what += next((f": {call.error.splitlines()[0]}" for call in history.calls.values() if call.error), "")
            return inconclusive(NoLoss, what, "give the load more calls, or look why publishing failed", numbers=tally.numbers)
        offenders = {id: fate for id, fate in found.items() if self._is_offence(recorded, fate)}
        unknown = {id: fate for id, fate in found.items() if fate.kind is FateKind.UNKNOWN}
        findings = self._findings(recorded, offenders)
        gaps = _gaps(history, may_fail=self.may_fail)
        verdict = Verdict.FAIL if offenders else Verdict.INCONCLUSIVE if unknown or gaps.doubts else Verdict.PASS
        summary, advice = tally.sentence, []
        if unknown:
            causes = sorted({fate.cause for fate in unknown.values()})
            summary += f"; {count(len(unknown), 'task')}: {', '.join(causes)}"
            advice.append("allow a longer drain (drain: {timeout: …}), or fewer calls")
        summary = "; ".join([summary, *gaps.words])
        advice += gaps.doubts
        if tally.runs_again:
            summary += f"; {count(tally.runs_again, 'task')} ended but will run again (killed before the acknowledgement)"
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=verdict,
            summary=summary,
            advice="; ".join(advice),
            findings=findings,
            numbers=tally.numbers | gaps.numbers,
            by_fault=_cells(recorded, offenders),
        )

    def _is_offence(self, recorded: Recorded, fate: Fate) -> bool:
        if fate.kind in _ALLOWABLE:
            return fate.kind not in self.allowed
        if fate.kind is FateKind.STRANDED:
            return True
        return fate.kind is FateKind.LOST and not _may_be_lost(recorded, fate)

    def _findings(self, recorded: Recorded, offenders: dict[str, Fate]) -> tuple[Finding, ...]:
        groups: dict[tuple[Any, ...], list[tuple[str, Fate]]] = defaultdict(list)
        for id, fate in offenders.items():
            task = fate.message.task if fate.message else ""
            line = user_line(recorded.history, fate.delivery)
            groups[_word(fate), _cause(fate), fate.broker_lost, task, line, _waits_in(fate)].append((id, fate))
        ranked = sorted(groups.items(), key=lambda item: (item[0][2], item[0][0] is Word.STRANDED, -len(item[1])))
        return tuple(_finding(recorded, key, members) for key, members in ranked)


@dataclass(frozen=True, slots=True)
class _Gaps:
    """What of the load was never, or perhaps never, published. ``doubts``: what would help against those that spoil a pass."""

    words: list[str]
    doubts: list[str]
    numbers: dict[str, float]


def _gaps(history: History, *, may_fail: bool) -> _Gaps:
    # A message that a worker received or the broker holds was taken, whatever the producer was told.
    states = Counter(c.publish for c in history.calls.values() if not any(m.deliveries or m.held for m in c.messages))
    failed, unknown, dropped = states["failed"], states["unknown"] + states["begun"], history.dropped_arrivals
    words, doubts = [], []
    if failed:
        words.append(f"{count(failed, 'publish', 'publishes')} failed")
        if not may_fail:
            doubts.append(f"{failed:,} failed to publish: let the producer retry (task_publish_retry), or allow it: failed_publish")
    if unknown:
        words.append(f"of {count(unknown, 'publish', 'publishes')} it is unknown whether the broker took it")
        doubts.append(f"{unknown:,} of unknown publish: look at the producer's log, and let it wait for the broker's answer")
    if dropped:
        words.append(f"{count(dropped, 'arrival')} dropped")
        doubts.append(f"{dropped:,} never sent: the load was faster than its producers, lower its rate or give it more of them")
    numbers = {"failed_publishes": failed, "unknown_publishes": unknown, "dropped_arrivals": dropped}
    return _Gaps(words, doubts, {name: float(number) for name, number in numbers.items() if number})


def _may_be_lost(recorded: Recorded, fate: Fate) -> bool:
    """A crash of an early-acknowledged task that is declared at_most_once keeps that promise."""
    message = fate.message
    if message is None or fate.cause not in (WHILE_RUNNING, IN_MEMORY) or recorded.history.acks_late.get(message.task):
        return False
    return first_match(recorded.scenario.semantics, message.task) == "at_most_once"


def _word(fate: Fate) -> Word:
    return Word.STRANDED if fate.kind is FateKind.STRANDED else Word.LOST


def _cause(fate: Fate) -> str:
    return fate.cause or fate.kind.value


def _finding(recorded: Recorded, key: tuple[Any, ...], members: list[tuple[str, Fate]]) -> Finding:
    word, cause, broker_lost, task, (file, line), _ = key
    ids = tuple(id for id, _ in members)
    first = members[0][1]
    faults = sorted({f for _, fate in members if (f := _fault_of(recorded, fate)) is not None})
    noun = f"{task} task" if task else "task"
    verb = "was" if len(ids) == 1 else "were"
    if word is Word.STRANDED:
        sentence, fix = stranded(recorded, first)
        headline = f"{count(len(ids), noun)} {verb} left in the broker."
    else:
        sentence, fix = lost_sentence(recorded, first, cause), lost_fix(first, cause)
        headline = f"{count(len(ids), noun)} {verb} lost" + (" by Redis before delivery." if broker_lost else f": {cause}.")
    return Finding(
        word=word,
        headline=headline,
        sentence=sentence,
        cause=cause,
        task=task,
        task_ids=ids,
        calls=tuple(sorted({fate.message.call for _, fate in members if fate.message and fate.message.call})),
        file=file,
        line=line,
        fix=fix,
        faults=tuple(faults),
        story=build_story(recorded, ids[0], title=headline, fate=first),
    )


def _waits_in(fate: Fate) -> str:
    held = fate.message.held if fate.message is not None else None
    return held.queue if held is not None and fate.kind is FateKind.STRANDED else ""


def _fault_of(recorded: Recorded, fate: Fate) -> int | None:
    """The fault that brought it about: that killed its process, or the worker that took it along, or emptied the broker."""
    if fate.delivery is not None and fate.delivery.died_by is not None:
        return fate.delivery.died_by
    if fate.message is None or fate.cause not in GONE:
        return None
    faults = recorded.history.faults
    if fate.killer is not None:
        return next((f.index for f in faults if fate.killer.pid in f.killed_pids), None)
    if fate.cause == NEVER_AGAIN and fate.delivery is not None:
        taken = [f for f in faults if f.begun is not None and f.begun >= fate.delivery.at]
        hit = [f for f in taken if fate.delivery.pid in f.killed_pids or f.name in EMPTYING]
        return min(hit, key=lambda f: f.begun or 0.0).index if hit else None
    emptied = emptied_by(recorded, fate)
    return emptied.index if emptied is not None else None


def _cells(recorded: Recorded, offenders: dict[str, Fate]) -> tuple[tuple[Verdict | None, str], ...]:
    history = recorded.history
    guilty: dict[int, list[str]] = defaultdict(list)
    for fate in offenders.values():
        index = _fault_of(recorded, fate)
        if index is not None:
            guilty[index].append("stranded" if fate.kind is FateKind.STRANDED else "lost")
    died: dict[int, int] = defaultdict(int)
    for delivery in history.deliveries.values():
        if delivery.died_by is not None:
            died[delivery.died_by] += 1

    def words(fault: FaultRecord) -> str:
        if died[fault.index]:
            return f"{died[fault.index]:,} interrupted, none lost"
        return "none lost" if fault.begun is not None else ""

    return by_fault(history, {i: ", ".join(f"{w.count(k):,} {k}" for k in sorted(set(w))) for i, w in guilty.items()}, words)
