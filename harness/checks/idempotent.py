"""idempotent: after crashes, redelivery, duplicates and retries the world is what the fates of the calls say it should be."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from harness.checks._common import by_fault, count, first_match, inconclusive
from harness.checks._worlds.callfates import AT_MOST_ONCE, Allow, Allowance, allowances, never_published, ran_again
from harness.checks._worlds.compare import Comparison, compare
from harness.checks._worlds.read import Reader, changes, raw_changes
from harness.checks._worlds.reference import some, unreferenced, unusable
from harness.checks._worlds.words import faults_that_hit, findings
from harness.model.fates import FateKind, fates
from harness.model.finding import CheckResult, Finding
from harness.model.history import Call, FaultRecord, History
from harness.model.verdict import Verdict
from harness.model.world import World
from harness.ports.check import CheckParameters, Recorded

__all__ = ["Idempotent", "IdempotentParameters"]


def _dotted(pattern: str) -> str:
    if "." not in pattern.strip(".") or " " in pattern:
        raise ValueError(f"{pattern!r} does not say what to ignore: write table.column, store.collection.column or store.collection")
    return pattern


class IdempotentParameters(CheckParameters):
    """Where to look, and what not to look at."""

    observe: tuple[str, ...] = Field(default=(), description="services whose state is compared; none: all of them")
    ignore: tuple[Annotated[str, AfterValidator(_dotted)], ...] = Field(
        default=(), description="table.column, store.collection.column or store.collection; wildcards allowed"
    )


class Idempotent:
    """Holds the world after the faults against two clean passes, call by call, by fate."""

    name: ClassVar[str] = "idempotent"
    question: ClassVar[str] = "the world is as after one clean execution of each call that succeeded"
    summary: ClassVar[str] = "effects are neither repeated nor half done"
    Parameters: ClassVar[type[CheckParameters]] = IdempotentParameters
    needs_clean: ClassVar[bool] = True

    def __init__(self, parameters: IdempotentParameters) -> None:
        self.parameters = parameters

    def judge(self, recorded: Recorded) -> CheckResult:
        """EFFECT, PARTIAL or LEAK: fail. Without good clean passes, or with a call that cannot be judged, or with nothing exercised or
        compared: inconclusive.
        """
        if trouble := _unusable(recorded, self.parameters):
            return inconclusive(Idempotent, *trouble)
        assert recorded.before is not None and recorded.after is not None
        first, second = recorded.clean[:2]
        history = recorded.history
        passes = (first.history, second.history)
        without, why, advice = unreferenced((first, second), recorded)
        if without >= history.calls.keys():
            return inconclusive(Idempotent, why, advice)
        allowed = allowances(history, recorded.semantics, passes, recorded.scenario.semantics)
        reader = Reader(frozenset(self.parameters.observe), self.parameters.ignore)
        found = compare(reader, (first, second), recorded.before, recorded.after, history, allowed)
        numbers = _numbers(history, allowed, found, without)
        more = {"numbers": numbers, "ignored": found.ignored}
        if found.case is None:
            help_ = "make the setup leave the same world each time, or ignore what it draws"
            return inconclusive(Idempotent, found.unusable, help_, **more)
        if not any(found.effects.by_call.values()):
            help_ = "observe the services that the tasks write to, and ignore less: a check that sees no effect cannot fail"
            nothing = "; ".join(["the clean pass changed nothing that is compared", *found.outcome.doubts])
            return inconclusive(Idempotent, nothing, help_, **more)
        _set_aside(found, without)
        missing = {n: tasks for n, call in history.calls.items() if (tasks := never_published(call, passes)) and allowed[n][0] is Allow.ALL}
        doubts = _Doubts(
            found.outcome.doubts, "let the calls not depend on one another, give the load more calls, or ignore these columns by name"
        )
        doubts.add([why] if why else [], advice)
        doubts.add(_unfinished(allowed, history, recorded.semantics), _MORE_TIME)
        doubts.add(_unjudged(recorded, allowed), _JUDGE_THEM)
        doubts.add(_silent(found, missing), "observe the services that these tasks write to")
        numbers["doubts"] = float(len(doubts.words))
        named = findings(recorded, found.case, missing)
        return self._result(recorded, found, named, numbers, doubts, allowed)

    def _result(
        self,
        recorded: Recorded,
        found: Comparison,
        named: tuple[Finding, ...],
        numbers: dict[str, float],
        doubts: _Doubts,
        allowed: Mapping[int, Allowance],
    ) -> CheckResult:
        exercised = int(numbers["exercised"])
        verdict = Verdict.FAIL if named else Verdict.INCONCLUSIVE if doubts.words or not exercised else Verdict.PASS
        summary, advice = self._summary(named, doubts.words, numbers, _lost(allowed)), ""
        if verdict is Verdict.INCONCLUSIVE:
            advice = doubts.advice if doubts.words else "add a fault that makes calls run again: worker.kill, task.crash, message.duplicate"
        elif named and any("not as after" in f.headline for f in named):
            advice = "values that may differ without harm can be named under `ignore`"
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=verdict,
            summary=summary,
            advice=advice,
            findings=named,
            numbers=numbers,
            by_fault=_cells(recorded, named, verdict, allowed),
            ignored=found.ignored,
        )

    @staticmethod
    def _summary(named: tuple[Finding, ...], doubts: list[str], numbers: Mapping[str, float], lost: list[int]) -> str:
        again = count(int(numbers["exercised"]), "call")
        left_out = (
            f"; {count(len(lost), 'call')} {'was' if len(lost) == 1 else 'were'} lost, which is no_loss's to judge: {some(lost)}"
            if lost
            else ""
        )
        if named:
            rest = f"; and {count(len(named) - 1, 'more finding')}" if len(named) > 1 else ""
            return named[0].headline.rstrip(".") + rest + left_out
        if doubts:
            return "; ".join(doubts[:3]) + (f"; and {len(doubts) - 3} more" if len(doubts) > 3 else "") + left_out
        if not numbers["exercised"]:
            whose = "other call" if lost else "call"
            world = "of the others " if lost else ""
            return f"no {whose} was delivered again, copied or retried: nothing was exercised, and the world {world}is right{left_out}"
        left = f", {int(numbers['expiring'])} left to expire" if numbers["expiring"] else ""
        compared = count(int(numbers["compared"]), "effect")
        return f"{count(int(numbers['calls']), 'call')}, {again} ran again, {compared} as after one clean execution{left}{left_out}"


_MORE_TIME = "let the drain outlast what brings messages back (drain: {timeout: …}); on Redis, set a shorter visibility_timeout"
_JUDGE_THEM = "look at how these calls ended; of one that failed half-way nobody knows which of its effects it may leave"


class _Doubts:
    """What could not be told, in words, and what would help against the first of it."""

    def __init__(self, words: list[str], advice: str) -> None:
        self.words, self.advice = words, advice if words else ""

    def add(self, words: list[str], advice: str) -> None:
        """Further ones; the latest advice weighs most, as it is about the calls and not about the columns."""
        if words:
            self.words.extend(words)
            self.advice = advice


def _unfinished(allowed: Mapping[int, Allowance], history: History, broker: Mapping[str, Any]) -> list[str]:
    """A call that may still run, of which nobody knows, or that will run again has not shown yet what it leaves: no pass for it."""
    calls = [number for number, (_, word) in allowed.items() if word in _OPEN]
    doubts = [f"{count(len(calls), 'call')} had not ended: {some(calls)}"] if calls else []
    ends = fates(history, broker)
    coming: dict[str, list[int]] = defaultdict(list)
    for call in history.calls.values():
        again = {m.task_id for m in call.messages if m.task_id in ends and ends[m.task_id].runs_again}
        if again and call.number not in calls:
            timeouts = (m.held.timeout for m in call.messages if m.task_id in again and m.held is not None)
            coming[next(filter(None, timeouts), "")].append(call.number)
    for timeout, numbers in coming.items():
        after = f" after {timeout}" if timeout else ""
        doubts.append(f"{count(len(numbers), 'call')} will run again{after}: {some(numbers)}")
    return doubts


# --- calls of which no one world can be demanded ----------------------------------------------------------------------

_OPEN = frozenset({FateKind.UNKNOWN.value, FateKind.SCHEDULED.value, FateKind.STRANDED.value})
_LOST = FateKind.LOST.value


def _lost(allowed: Mapping[int, Allowance]) -> list[int]:
    return [n for n, (allow, word) in allowed.items() if allow is Allow.ANY_PART and word == _LOST]


def _judged(allowance: Allowance) -> bool:
    """Is there a world that its fate demands, or that the user declared to be right?"""
    return allowance[0] is not Allow.ANY_PART or allowance[1].endswith(AT_MOST_ONCE)


def _unjudged(recorded: Recorded, allowed: Mapping[int, Allowance]) -> list[str]:
    """Calls of which any part of the effects had to be allowed: that they left no more than that is no pass.

    What was lost fails `no_loss`, and is left out here, provided that it is asked, or that the task was declared to be allowed to be lost.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    asked = "no_loss" in recorded.scenario.checks
    for number, allowance in allowed.items():
        if _judged(allowance) or allowance[1] in _OPEN:
            continue
        if allowance[1] != _LOST:
            groups[f"{{}} {allowance[1]} and cannot be judged"].append(number)
        elif not asked and first_match(recorded.scenario.semantics, recorded.history.calls[number].task) != "at_most_once":
            groups["{} lost, and no_loss is not among the checks"].append(number)
    return [words.format(count(len(calls), "call")) + f": {some(calls)}" for words, calls in groups.items()]


def _silent(found: Comparison, missing: Mapping[int, Counter[str]]) -> list[str]:
    """Calls whose tasks were not all published, although nothing that is compared lacks."""
    blamed = {c for v in found.outcome.violations for c in v.calls}
    calls = [n for n in missing if n not in blamed]
    if not calls:
        return []
    tasks = ", ".join(sorted({task for n in calls for task in missing[n]}))
    return [
        f"{tasks}: published in the clean passes, and not for {count(len(calls), 'call')} ({some(calls)}); nothing that is compared lacks"
    ]


def _set_aside(found: Comparison, without: frozenset[int]) -> None:
    """Nobody knows what is right of what calls touch that have no reference."""
    if without:
        touched = {ident for call in without for ident in found.effects.by_call.get(call, ())}
        kept = [v for v in found.outcome.violations if v.ident not in touched and v.calls and not without.intersection(v.calls)]
        found.outcome.violations[:] = kept


# --- preconditions ----------------------------------------------------------------------------------------------------


def _unusable(recorded: Recorded, parameters: IdempotentParameters) -> tuple[str, str] | None:
    """(why nothing can be judged, what would help), or None."""
    if len(recorded.clean) < 2:
        return f"{count(len(recorded.clean), 'clean pass', 'clean passes')} recorded, 2 needed", "let the run finish its clean passes"
    if recorded.before is None or recorded.after is None or not recorded.after.stores:
        return "no world was observed", "name the services that the app writes to under system.services"
    missing = sorted(set(parameters.observe) - set(recorded.after.stores))
    if missing:
        return f"not observed: {', '.join(missing)}", f"observe takes names of services: {', '.join(sorted(recorded.after.stores))}"
    if not recorded.history.calls:
        return "no call was made", "give the load more calls"
    for number, clean in enumerate(recorded.clean[:2], 1):
        if trouble := unusable(clean, recorded, number):
            return trouble
    first = recorded.clean[0]
    lacking = sorted(set(recorded.history.calls) - set(first.per_call) | (set(first.order) - set(first.per_call)))
    if lacking:
        return f"the first clean pass observed no world after call {some(lacking)}", "allow a longer drain, or look at the pass's log"
    last = (list(first.order) or sorted(first.per_call))[-1]
    if _went_on(first.per_call[last], first.after, parameters):
        return "the world went on changing after the last call of the clean pass", "let the task finish its work before it ends"
    return None


def _went_on(observed: World, after: World, parameters: IdempotentParameters) -> bool:
    """Did anything that is compared change, but for what expires?"""
    reader = Reader(frozenset(parameters.observe), parameters.ignore)
    reader.learn_metas([observed, after])
    reader.fleeting.update(reader.metas)
    return bool(changes(reader, raw_changes(reader, observed, after)))


# --- figures ----------------------------------------------------------------------------------------------------------


def _exercised(call: Call, allowance: Allowance) -> bool:
    """Is it judged, and did it run again or end short of its end?"""
    cut = any(d.running_at_death for m in call.messages for d in m.deliveries)
    return _judged(allowance) and (ran_again(call) or cut)


def _numbers(history: History, allowed: Mapping[int, Allowance], found: Comparison, without: frozenset[int]) -> dict[str, float]:
    kinds = Counter(allow.name.lower() for allow, _ in allowed.values())
    return {
        "calls": float(len(history.calls)),
        "exercised": float(sum(_exercised(c, allowed[n]) for n, c in history.calls.items() if n not in without)),
        "succeeded": float(kinds["all"]),
        "failed": float(kinds["all_or_none"]),
        "unjudged": float(sum(not _judged(allowance) or n in without for n, allowance in allowed.items())),
        "compared": float(found.outcome.compared),
        "wrong": float(len(found.outcome.violations)),
        "expiring": float(found.outcome.expiring),
        "ignored": float(len(found.ignored)),
    }


def _cells(
    recorded: Recorded, named: tuple[Finding, ...], verdict: Verdict, allowed: Mapping[int, Allowance]
) -> tuple[tuple[Verdict | None, str], ...]:
    history = recorded.history
    wrong: Counter[int] = Counter()
    for finding in named:
        for index in finding.faults:
            wrong[index] += sum(index in faults_that_hit(recorded, history.calls[c]) for c in finding.calls if c in history.calls)
    hits = {call.number: faults_that_hit(recorded, call) for call in history.calls.values()}
    hit: Counter[int] = Counter(i for number, faults in hits.items() if _judged(allowed[number]) for i in faults)
    open_: Counter[int] = Counter(i for number, faults in hits.items() if not _judged(allowed[number]) for i in faults)

    def words(fault: FaultRecord) -> str:
        return f"{count(hit[fault.index], 'call')} hit, world right" if hit[fault.index] else ""

    guilty = {i: f"{count(n, 'call')} wrong" for i, n in wrong.items()}
    loose = verdict is Verdict.INCONCLUSIVE or any(not f.faults for f in named)  # some of what is wrong is nobody's: no fault is cleared
    unclear = {i: f"{count(n, 'call')} hit, not judged" for i, n in open_.items()}
    unclear |= {i: f"{count(n, 'call')} hit" for i, n in hit.items()} if loose else {}
    return by_fault(history, guilty, words, unclear)
