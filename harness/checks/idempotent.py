"""idempotent: after crashes, redelivery, duplicates and retries the world is what the fates of the calls say it should be."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from harness.checks._common import by_fault, count, inconclusive
from harness.checks._worlds.callfates import Allow, Allowance, allowances, disturbed, ran_again
from harness.checks._worlds.compare import Comparison, compare
from harness.checks._worlds.read import Reader, changes, raw_changes
from harness.checks._worlds.words import faults_that_hit, findings
from harness.model.fates import FateKind, fates
from harness.model.finding import CheckResult, Finding
from harness.model.history import Call, FaultRecord, History
from harness.model.verdict import Verdict
from harness.model.world import World
from harness.ports.check import CheckParameters, CleanPass, Recorded

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
        """EFFECT, PARTIAL or LEAK: fail. Without two good clean passes, or with nothing exercised or compared: inconclusive."""
        if trouble := _unusable(recorded, self.parameters):
            return inconclusive(Idempotent, *trouble)
        assert recorded.before is not None and recorded.after is not None
        first, second = recorded.clean[:2]
        history = recorded.history
        allowed = allowances(history, recorded.semantics, first.history, recorded.scenario.semantics)
        reader = Reader(frozenset(self.parameters.observe), self.parameters.ignore)
        found = compare(reader, (first, second), recorded.before, recorded.after, history, allowed)
        numbers = _numbers(history, allowed, found)
        more = {"numbers": numbers, "ignored": found.ignored}
        if found.case is None:
            advice = "make the setup leave the same world each time, or ignore what it draws"
            return inconclusive(Idempotent, found.unusable, advice, **more)
        if not any(found.effects.by_call.values()):
            advice = "observe the services that the tasks write to, and ignore less: a check that sees no effect cannot fail"
            why = "; ".join(["the clean pass changed nothing that is compared", *found.outcome.doubts])
            return inconclusive(Idempotent, why, advice, **more)
        unfinished = _unfinished(allowed, history, recorded.semantics)
        found.outcome.doubts.extend(unfinished)
        named = findings(recorded, found.case)
        return self._result(recorded, found, named, numbers, more_time=bool(unfinished))

    def _result(
        self, recorded: Recorded, found: Comparison, named: tuple[Finding, ...], numbers: dict[str, float], *, more_time: bool
    ) -> CheckResult:
        doubts = found.outcome.doubts
        exercised = int(numbers["exercised"])
        verdict = Verdict.FAIL if named else Verdict.INCONCLUSIVE if doubts or not exercised else Verdict.PASS
        summary, advice = self._summary(named, doubts, numbers), ""
        if verdict is Verdict.INCONCLUSIVE and more_time:
            advice = "let the drain outlast what brings messages back (drain: {timeout: …}); on Redis, set a shorter visibility_timeout"
        elif verdict is Verdict.INCONCLUSIVE:
            advice = (
                "let the calls not depend on one another, give the load more calls, or ignore these columns by name"
                if doubts
                else "add a fault that makes calls run again: worker.kill, task.crash, message.duplicate"
            )
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
            by_fault=_cells(recorded, named, verdict),
            ignored=found.ignored,
        )

    @staticmethod
    def _summary(named: tuple[Finding, ...], doubts: list[str], numbers: Mapping[str, float]) -> str:
        again = count(int(numbers["exercised"]), "call")
        if named:
            rest = f"; and {count(len(named) - 1, 'more finding')}" if len(named) > 1 else ""
            return named[0].headline.rstrip(".") + rest
        if doubts:
            return "; ".join(doubts[:3]) + (f"; and {len(doubts) - 3} more" if len(doubts) > 3 else "")
        if not numbers["exercised"]:
            return "no call was delivered again, copied or retried: nothing was exercised, and the world is right"
        left = f", {int(numbers['expiring'])} left to expire" if numbers["expiring"] else ""
        compared = count(int(numbers["compared"]), "effect")
        return f"{count(int(numbers['calls']), 'call')}, {again} ran again, {compared} as after one clean execution{left}"


def _unfinished(allowed: Mapping[int, Allowance], history: History, broker: Mapping[str, Any]) -> list[str]:
    """A call that may still run, of which nobody knows, or that will run again has not shown yet what it leaves: no pass for it."""
    open_ends = {FateKind.UNKNOWN, FateKind.SCHEDULED, FateKind.STRANDED}
    calls = [number for number, (_, word) in allowed.items() if word in {kind.value for kind in open_ends}]
    doubts = [f"{count(len(calls), 'call')} had not ended: {_some(calls)}"] if calls else []
    ends = fates(history, broker)
    coming: dict[str, list[int]] = defaultdict(list)
    for call in history.calls.values():
        again = {m.task_id for m in call.messages if m.task_id in ends and ends[m.task_id].runs_again}
        if again and call.number not in calls:
            timeouts = (m.held.timeout for m in call.messages if m.task_id in again and m.held is not None)
            coming[next(filter(None, timeouts), "")].append(call.number)
    for timeout, numbers in coming.items():
        after = f" after {timeout}" if timeout else ""
        doubts.append(f"{count(len(numbers), 'call')} will run again{after}: {_some(numbers)}")
    return doubts


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
        if trouble := _not_clean(clean, recorded, number):
            return trouble
    first = recorded.clean[0]
    lacking = sorted(set(recorded.history.calls) - set(first.per_call) | (set(first.order) - set(first.per_call)))
    if lacking:
        return f"the first clean pass observed no world after call {_some(lacking)}", "allow a longer drain, or look at the pass's log"
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


def _not_clean(clean: CleanPass, recorded: Recorded, number: int) -> tuple[str, str] | None:
    history = clean.history
    which = f"clean pass {number}"
    differing = [n for n, c in recorded.history.calls.items() if n in history.calls and history.calls[n].args != c.args]
    if differing:
        return f"call {_some(differing)} had other arguments in {which}", "draw arguments from the seeded source alone"
    absent = sorted(set(recorded.history.calls) - set(history.calls))
    if absent:
        return f"{which} lacks call {_some(absent)}", "let the run finish its clean passes"
    hurt = [c.number for c in history.calls.values() if disturbed(c, history.stopped_at)]
    if hurt or any(p.unexpected for p in history.processes):
        what = f"call {_some(hurt)} ran again or was cut short" if hurt else "a process died"
        return f"{which} was disturbed: {what}", "run it again"
    states = allowances(history, recorded.semantics, history, {})
    failed = [n for n, (allow, _) in states.items() if allow is not Allow.ALL]
    if failed:
        advice = "make the calls of the load succeed without faults; without that nobody knows what one clean execution leaves"
        return f"call {_some(failed)} did not succeed in {which} ({states[failed[0]][1]})", advice
    return None


def _some(numbers: list[int]) -> str:
    shown = ", ".join(str(n) for n in sorted(numbers)[:5])
    return shown + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")


# --- figures ----------------------------------------------------------------------------------------------------------


def _exercised(call: Call, allowance: Allowance) -> bool:
    """Did it run again, or end short of its end with something to judge?"""
    cut = any(d.running_at_death for m in call.messages for d in m.deliveries)
    return ran_again(call) or (cut and allowance[0] is not Allow.ANY_PART)


def _numbers(history: History, allowed: Mapping[int, Allowance], found: Comparison) -> dict[str, float]:
    kinds = Counter(allow.name.lower() for allow, _ in allowed.values())
    return {
        "calls": float(len(history.calls)),
        "exercised": float(sum(_exercised(c, allowed[n]) for n, c in history.calls.items())),
        "succeeded": float(kinds["all"]),
        "failed": float(kinds["all_or_none"]),
        "unjudged": float(kinds["any_part"]),
        "compared": float(found.outcome.compared),
        "wrong": float(len(found.outcome.violations)),
        "expiring": float(found.outcome.expiring),
        "ignored": float(len(found.ignored)),
    }


def _cells(recorded: Recorded, named: tuple[Finding, ...], verdict: Verdict) -> tuple[tuple[Verdict | None, str], ...]:
    history = recorded.history
    wrong: Counter[int] = Counter()
    for finding in named:
        for index in finding.faults:
            wrong[index] += sum(index in faults_that_hit(recorded, history.calls[c]) for c in finding.calls if c in history.calls)
    hit: Counter[int] = Counter(i for call in history.calls.values() for i in faults_that_hit(recorded, call))

    def words(fault: FaultRecord) -> str:
        return f"{count(hit[fault.index], 'call')} hit, world right" if hit[fault.index] else ""

    guilty = {i: f"{count(n, 'call')} wrong" for i, n in wrong.items()}
    loose = verdict is Verdict.INCONCLUSIVE or any(not f.faults for f in named)  # some of what is wrong is nobody's: no fault is cleared
    unclear = {i: f"{count(n, 'call')} hit" for i, n in hit.items()} if loose else None
    return by_fault(history, guilty, words, unclear)
