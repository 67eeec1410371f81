"""retry_policy: how many retries, how far apart, for which errors, within which budget; judged on what was asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, RootModel

from harness.checks._common import by_fault, count, first_match, inconclusive, opened
from harness.checks._layers import nested_tasks
from harness.checks._retry_rules import MEASURED, Policy, base_of, delay_allowed, is_one_of, support
from harness.checks._spread import SIGNIFICANT, combined, group_probability
from harness.checks.story import build_story
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.history import Delivery, FaultRecord, History, Message
from harness.model.quantities import format_duration
from harness.model.verdict import Verdict
from harness.ports.check import Recorded

__all__ = ["RetryPolicy", "RetryPolicyParameters"]

COUNT, SPACING, EXCEPTION, BUDGET, SPREAD = "count", "spacing", "exception", "budget", "no jitter"


class RetryPolicyParameters(RootModel[Annotated[dict[str, Policy], Field(min_length=1)]]):
    """Name or pattern of tasks -> what is promised of their retries; the first pattern that matches counts."""

    model_config = ConfigDict(frozen=True)


@dataclass(slots=True)
class _Offence:
    cause: str
    task: str
    task_id: str
    words: str
    delivery: Delivery | None = None


@dataclass(slots=True)
class _Group:
    """Retries under one pattern."""

    policy: Policy
    retries: list[Delivery] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


class RetryPolicy:
    """Delays are the ones asked for, also where the run shortened them; starts are never compared: they only come later."""

    name: ClassVar[str] = "retry_policy"
    question: ClassVar[str] = "retries keep to the policy: count, spacing, exceptions, budget"
    summary: ClassVar[str] = "retries stay within the stated policy"
    Parameters: ClassVar[type[BaseModel]] = RetryPolicyParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, parameters: RetryPolicyParameters) -> None:
        self.policies = parameters.root

    def judge(self, recorded: Recorded) -> CheckResult:
        """Outside the policy: fail. No retries, or jitter that is neither refuted nor shown: inconclusive."""
        history = recorded.history
        groups = self._groups(history)
        retries = sum(len(g.retries) for g in groups.values())
        published = sum(m.is_retry for g in groups.values() for m in g.messages)
        if not retries and not published:
            known = {m.task for m in history.messages.values()}
            named = any(first_match(self.policies, task) for task in known)
            advice = "make a dependency fail for a while (services: http answers)" if named else "no task of the run matches a pattern"
            return inconclusive(RetryPolicy, "no task retried", advice, numbers={"retries": 0.0})
        offences = [o for g in groups.values() for o in _offences(history, g)]
        jitter = {pattern: _jitter(g) for pattern, g in groups.items() if g.policy.jitter == "full"}
        offences += [o for pattern, (p, _) in jitter.items() if p < SIGNIFICANT for o in [_unspread(groups[pattern], p)]]
        unshown = sorted(pattern for pattern, (p, shown) in jitter.items() if p >= SIGNIFICANT and not shown and groups[pattern].retries)
        return self._result(recorded, groups, offences, unshown, retries)

    def _groups(self, history: History) -> dict[str, _Group]:
        groups = {pattern: _Group(policy) for pattern, policy in self.policies.items()}
        matching: dict[str, _Group | None] = {}
        for message in history.messages.values():
            if message.task not in matching:
                matching[message.task] = first_match(groups, message.task)
            group = matching[message.task]
            if group is None:
                continue
            if message.is_retry:
                group.messages.append(message)
            group.retries += [d for d in message.deliveries if d.state == "RETRY"]
        return groups

    def _result(
        self, recorded: Recorded, groups: dict[str, _Group], offences: list[_Offence], unshown: list[str], retries: int
    ) -> CheckResult:
        history = recorded.history
        tasks = len({d.message.task_id for g in groups.values() for d in g.retries})
        nested = nested_tasks(history)
        summary = f"{count(retries, 'retry', 'retries')} of {count(tasks, 'task')}"
        summary += f", {count(len(offences), 'offence')}" if offences else ", every one within the policy"
        advice = ""
        if unshown and not offences:
            summary = f"{count(retries, 'retry', 'retries')} of {count(tasks, 'task')}: "
            summary += f"too few to tell jitter from a fixed delay ({', '.join(unshown)})"
            advice = "more tasks that fail, or that fail more often: two retries of the same number must ask for different delays"
        if nested:
            summary += f"; nested layers: {', '.join(nested)}"
        verdict = Verdict.FAIL if offences else Verdict.INCONCLUSIVE if unshown else Verdict.PASS
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=verdict,
            summary=summary,
            advice=advice,
            findings=_findings(recorded, offences),
            numbers={"retries": float(retries), "tasks": float(tasks), "offences": float(len(offences)), "nested": float(len(nested))},
            by_fault=_cells(history, groups, offences),
        )


def _offences(history: History, group: _Group) -> list[_Offence]:
    policy = group.policy
    found: list[_Offence] = []
    for message in group.messages:
        if policy.max_retries is not None and message.retries > policy.max_retries:
            words = f"retry {message.retries} was published; {policy.max_retries} are allowed"
            found.append(_Offence(COUNT, message.task, message.task_id, words, history.deliveries.get(message.cause)))
    for delivery in group.retries:
        found += _of_retry(policy, delivery)
    if policy.within is not None:
        found += _budgets(history, group)
    return found


def _of_retry(policy: Policy, delivery: Delivery) -> list[_Offence]:
    message, found = delivery.message, []
    n, delay = message.retries, delivery.retry_delay
    if delay is not None and not delay_allowed(policy, n, delay, exact=delivery.retry_exact):
        words = f"after failure {n + 1} it asked for {delay:.6g} s; the policy says {support(policy, n)}"
        found.append(_Offence(SPACING, message.task, message.task_id, words, delivery))
    error = delivery.exception
    if error and is_one_of(error, policy.never):
        found.append(_Offence(EXCEPTION, message.task, message.task_id, f"{error} was retried; it never may be", delivery))
    elif error and policy.retry_on and not is_one_of(error, policy.retry_on):
        words = f"{error} was retried; the policy names {', '.join(policy.retry_on)}"
        found.append(_Offence(EXCEPTION, message.task, message.task_id, words, delivery))
    return found


def _budgets(history: History, group: _Group) -> list[_Offence]:
    """Per task: the delays asked for and the time it ran, one delivery per attempt (repeated ones are the faults' doing)."""
    within = group.policy.within or 0.0
    spent: dict[str, dict[int, float]] = defaultdict(dict)
    sample: dict[str, Delivery] = {}
    for delivery in group.retries:
        task_id, n = delivery.message.task_id, delivery.message.retries
        ran = delivery.end - delivery.start if delivery.end is not None and delivery.start is not None else 0.0
        spent[task_id][n] = max(spent[task_id].get(n, 0.0), (delivery.retry_delay or 0.0) + ran)
        sample[task_id] = delivery
    found = []
    for task_id, attempts in spent.items():
        total = sum(attempts.values())
        if total > within:
            words = f"its retries spend {format_duration(total)}; {format_duration(within)} are allowed"
            found.append(_Offence(BUDGET, sample[task_id].message.task, task_id, words, sample[task_id]))
    return found


def _jitter(group: _Group) -> tuple[float, bool]:
    """(probability of a spread this narrow under full jitter, whether a fixed delay is refuted).

    A fixed delay is refuted by two different delays for the same retry number of the same task: measured ones must
    differ by more than the measuring can.
    """
    by_number: dict[tuple[str, int], list[Delivery]] = defaultdict(list)
    for delivery in group.retries:
        if delivery.retry_delay is not None:
            by_number[delivery.message.task, delivery.message.retries].append(delivery)
    probabilities, shown = [], False
    for (_, n), deliveries in by_number.items():
        base = base_of(group.policy, n) or 0.0
        delays = [d.retry_delay for d in deliveries if d.retry_delay is not None]
        margin = 0.0 if all(d.retry_exact for d in deliveries) else sum(MEASURED)
        shown = shown or max(delays) - min(delays) > margin
        # A fixed base with jitter of the user's own may draw fractions: rounding down keeps the group as wide or narrower,
        # so whole seconds are compared only where they are what Celery draws, or where the base spans many of them.
        if group.policy.backoff == "exponential" or base >= 10:
            probabilities.append(group_probability([round(d) for d in delays], round(base)))
        elif margin == 0.0 and len(set(delays)) == 1 and len(delays) > 20:
            probabilities.append(0.0)
    return combined(probabilities), shown


def _unspread(group: _Group, probability: float) -> _Offence:
    numbers = Counter(d.message.retries for d in group.retries)
    n = numbers.most_common(1)[0][0]
    sample = next(d for d in group.retries if d.message.retries == n)
    same = [d.retry_delay for d in group.retries if d.message.retries == n and d.retry_delay is not None]
    span = f"all between {min(same):g} and {max(same):g} s" if same else "alike"
    words = f"{len(same):,} delays after failure {n + 1} are {span}; "
    words += f"full jitter gives so narrow a spread with probability {probability:.1g}"
    return _Offence(SPREAD, sample.message.task, sample.message.task_id, words, sample)


def _findings(recorded: Recorded, offences: list[_Offence]) -> tuple[Finding, ...]:
    groups: dict[tuple[str, str, str, int | None], list[_Offence]] = defaultdict(list)
    for offence in offences:
        d = offence.delivery
        groups[offence.cause, offence.task, d.file if d else "", d.line if d else None].append(offence)
    headlines = {
        COUNT: "retried more often than allowed",
        SPACING: "waited for another time than the policy says before retrying",
        EXCEPTION: "retried an error that must not be retried",
        BUDGET: "spent more time on retries than allowed",
        SPREAD: "retried without the jitter that the policy promises",
    }
    findings = []
    for (cause, task, file, line), members in sorted(groups.items(), key=lambda item: -len(item[1])):
        ids = tuple(dict.fromkeys(o.task_id for o in members))
        headline = f"{task} {headlines[cause]}" + (": " + count(len(ids), "task") if cause != SPREAD else "") + "."
        deliveries = [o.delivery for o in members if o.delivery is not None]
        findings.append(
            Finding(
                word=Word.RETRY,
                headline=headline,
                sentence=opened(members[0].words) + ".",
                cause=cause,
                task=task,
                task_ids=ids,
                calls=tuple(sorted({d.message.call for d in deliveries if d.message.call})),
                file=file,
                line=line,
                fix=EXPLANATIONS[Word.RETRY][2],
                story=build_story(recorded, ids[0], title=headline, file=file, line=line),
            )
        )
    return tuple(findings)


def _cells(history: History, groups: dict[str, _Group], offences: list[_Offence]) -> tuple[tuple[Verdict | None, str], ...]:
    """A retry belongs to the fault during which its attempt failed."""

    def during(fault: FaultRecord, delivery: Delivery | None) -> bool:
        end = delivery.end if delivery is not None else None
        return end is not None and fault.begun is not None and fault.begun <= end <= (fault.ended or fault.begun)

    guilty: dict[int, int] = defaultdict(int)
    for offence in offences:
        for fault in history.faults:
            guilty[fault.index] += during(fault, offence.delivery)

    def words(fault: FaultRecord) -> str:
        retried = sum(during(fault, d) for g in groups.values() for d in g.retries)
        return f"{count(retried, 'retry', 'retries')}" if retried else ""

    return by_fault(history, {i: count(n, "offence") for i, n in guilty.items() if n}, words)
