"""no_storm: deliveries and attempts are bounded, and retries do not come back all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from harness.checks._common import by_fault, count, inconclusive, provoked, user_line
from harness.checks._common_resends import Resends
from harness.checks._spread import SIGNIFICANT, binomial_tail
from harness.checks.story import build_story
from harness.model.fates import FateKind, classify_all
from harness.model.finding import EXPLANATIONS, CheckResult, Finding, Word
from harness.model.history import Delivery, FaultRecord, History, Message
from harness.model.quantities import Duration, Share
from harness.model.verdict import Verdict
from harness.ports.check import CheckParameters, Recorded

__all__ = ["NoStorm", "NoStormParameters"]

REDELIVERED = "delivered without bound"
POISON = "kills its worker each time"
RETRIED = "retried without bound"
WAVE = "synchronised"
#: Celery's Task.max_retries (celery/app/task.py).
_DEFAULT_RETRIES = 3
_OPEN = {FateKind.UNKNOWN, FateKind.STRANDED}
#: A wave of fewer retries than this hurts nobody and proves nothing.
_WAVE_FROM = 20


class NoStormParameters(CheckParameters):
    """The bounds."""

    max_deliveries: Annotated[int, Field(ge=1)] = Field(
        default=5,
        description="deliveries of one message that no fault of the run caused; not injected copies, nor what its client sent again",
    )
    max_starts: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="starts of one task over all its retries; none: max_retries + max_deliveries, for an unlimited task 50"
    )
    window: Duration = Field(default=1.0, gt=0, description="retries that are due within this time of each other come at once")
    max_wave: Share | None = Field(
        default=None, description="at most this share of a task's retries may be due in one window; none: judged where the task has jitter"
    )


class NoStorm:
    """Counts what the run's own faults did not cause."""

    name: ClassVar[str] = "no_storm"
    question: ClassVar[str] = "redelivery and retries are bounded, and spread as the policy says"
    summary: ClassVar[str] = "no message or retry comes back without bound, or all at once"
    Parameters: ClassVar[type[BaseModel]] = NoStormParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, parameters: NoStormParameters) -> None:
        self.parameters = parameters

    def judge(self, recorded: Recorded) -> CheckResult:
        """A bound exceeded fails; no deliveries at all are inconclusive."""
        history = recorded.history
        if not history.deliveries:
            return inconclusive(NoStorm, "no message was delivered", "look whether the workers consume the load's queues")
        counted = _Counted(history, Resends.of(recorded))
        findings = [*self._loops(recorded, counted), *self._retry_storms(recorded, counted), *self._waves(recorded)]
        if not findings and (perhaps := self._perhaps_too_many(history, counted)):
            return inconclusive(
                NoStorm,
                f"{count(perhaps, 'message')} came too often, unless their clients sent them again, which nobody saw",
                "use a fault that cuts connections (net.partition with mode: reset, broker.restart) in place of one that delays",
            )
        if not findings and (still := self._still_coming_back(recorded, counted)):
            return inconclusive(
                NoStorm,
                f"{count(still, 'message')} had come back without a fault of ours and had not ended when the drain was over",
                "allow a longer drain: whether it ends within the bound was not seen",
            )
        most = max(len(m.deliveries) for m in history.messages.values())
        starts = max(counted.starts().values(), default=0)
        return CheckResult(
            name=self.name,
            question=self.question,
            verdict=Verdict.FAIL if findings else Verdict.PASS,
            summary=f"at most {count(most, 'delivery', 'deliveries')} of one message, {count(starts, 'start')} of one task",
            findings=tuple(findings),
            numbers={"most_deliveries": float(most), "most_starts": float(starts)},
            by_fault=_cells(history, findings),
        )

    def _perhaps_too_many(self, history: History, counted: _Counted) -> int:
        """Messages that are over the bound if nobody but the broker sent them again."""
        bound = self.parameters.max_deliveries
        often = [m for m in history.messages.values() if len(m.deliveries) > bound]
        return sum(len(counted.deliveries(m, doubtful=True)) > bound for m in often)

    @staticmethod
    def _still_coming_back(recorded: Recorded, counted: _Counted) -> int:
        """Messages on their way to the bound: more than one delivery that no fault explains, and no end."""
        history = recorded.history
        again = [m for m in history.messages.values() if len(m.deliveries) > 1 and len(counted.deliveries(m)) > 1]
        if not again:
            return 0
        ends = classify_all(history, recorded.semantics)
        return sum(1 for m in again if m.id in ends and ends[m.id].kind in _OPEN)

    def _loops(self, recorded: Recorded, counted: _Counted) -> list[Finding]:
        """Messages that come back again and again although no fault of ours sends them back."""
        history, bound = recorded.history, self.parameters.max_deliveries
        groups: dict[tuple[str, str], list[Message]] = defaultdict(list)
        for message in history.messages.values():
            if len(message.deliveries) > bound:
                unprovoked = counted.deliveries(message)
                if len(unprovoked) > bound:
                    fatal = sum(d.died is not None or d.outcome.startswith("failed:") for d in unprovoked)
                    groups[message.task, POISON if fatal * 2 > len(unprovoked) else REDELIVERED].append(message)
        return [self._finding(recorded, task, cause, messages) for (task, cause), messages in groups.items()]

    def _finding(self, recorded: Recorded, task: str, cause: str, messages: list[Message]) -> Finding:
        worst = max(messages, key=lambda m: len(m.deliveries))
        times = len(worst.deliveries)
        ids = tuple(dict.fromkeys(m.task_id for m in messages))
        headline = f"{count(len(ids), f'{task} task'.strip())} {cause}: {times:,} deliveries of one message."
        took = worst.deliveries[-1].at - worst.deliveries[0].at
        file, line = user_line(recorded.history, worst.deliveries[-1])
        return Finding(
            word=Word.STORM,
            headline=headline,
            sentence=f"One message was delivered {times:,} times in {took:.1f} s; {self.parameters.max_deliveries} are allowed.",
            cause=cause,
            task=task,
            task_ids=ids,
            calls=tuple(sorted({m.call for m in messages if m.call})),
            file=file,
            line=line,
            fix=EXPLANATIONS[Word.STORM][2],
            story=build_story(recorded, worst.task_id, title=headline),
        )

    def _retry_storms(self, recorded: Recorded, counted: _Counted) -> list[Finding]:
        history = recorded.history
        over: dict[str, list[tuple[int, str]]] = defaultdict(list)
        tasks = {m.task_id: m for m in history.messages.values() if m.is_retry}
        starts = counted.starts(only=set(tasks))
        for task_id, number in starts.items():
            task = tasks[task_id].task
            if number > self._bound(history, task):
                over[task].append((number, task_id))
        return [self._retry_finding(recorded, task, sorted(members, reverse=True)) for task, members in over.items()]

    def _bound(self, history: History, task: str) -> int:
        if self.parameters.max_starts is not None:
            return self.parameters.max_starts
        limit = history.task_policies.get(task, {}).get("max_retries", _DEFAULT_RETRIES)
        return 50 if limit is None else int(limit) + self.parameters.max_deliveries

    def _retry_finding(self, recorded: Recorded, task: str, members: list[tuple[int, str]]) -> Finding:
        number, worst = members[0]
        headline = f"{count(len(members), f'{task} task')} {RETRIED}: one started {number:,} times."
        return Finding(
            word=Word.STORM,
            headline=headline,
            sentence=f"{self._bound(recorded.history, task)} starts of one task are allowed, over all its retries and deliveries.",
            cause=RETRIED,
            task=task,
            task_ids=tuple(id for _, id in members),
            fix=EXPLANATIONS[Word.STORM][2],
            story=build_story(recorded, worst, title=headline),
        )

    def _waves(self, recorded: Recorded) -> list[Finding]:
        """The second wave: retries of many tasks, due at once."""
        history, window = recorded.history, self.parameters.window
        due: dict[str, list[tuple[float, Delivery]]] = defaultdict(list)
        for delivery in history.deliveries.values():
            if delivery.state == "RETRY" and delivery.retry_delay is not None and delivery.end is not None:
                due[delivery.message.task].append((delivery.end + delivery.retry_delay, delivery))
        findings = []
        for task, moments in due.items():
            if len(moments) < _WAVE_FROM:
                continue
            moments.sort(key=lambda moment: moment[0])
            first, size = _densest([at for at, _ in moments], window)
            expected = self._expected_share([d for _, d in moments], history.task_policies.get(task, {}), moments[first][0])
            if expected is not None and self._too_dense(size, len(moments), expected):
                findings.append(self._wave_finding(recorded, task, moments[first : first + size], len(moments)))
        return findings

    def _expected_share(self, retries: Sequence[Delivery], policy: dict[str, Any], at: float) -> float | None:
        """Which share of these retries the policy itself puts into the window; None where nothing is promised.

        With full jitter a delay is uniform over the whole seconds 0 … base, so that a window of w seconds holds at
        most (int(w) + 1) / (base + 1) of it (celery.utils.time.get_exponential_backoff_interval).
        """
        if self.parameters.max_wave is not None:
            return self.parameters.max_wave
        if not policy.get("retry_backoff") or not policy.get("retry_jitter", True):
            return None
        factor, cap = int(max(1.0, float(policy["retry_backoff"]))), int(policy.get("retry_backoff_max") or 600)
        window, total = self.parameters.window, 0.0
        for delivery in retries:
            base = min(cap, factor * 2 ** min(delivery.message.retries, 60))
            reachable = delivery.end is not None and delivery.end <= at + window and delivery.end + base >= at
            total += min(1.0, (int(window) + 1) / (base + 1)) if reachable else 0.0
        return total / len(retries)

    def _too_dense(self, size: int, total: int, expected: float) -> bool:
        if self.parameters.max_wave is not None:
            return size > expected * total
        # The densest of `total` windows was picked, so its probability counts that often.
        return total * binomial_tail(total, size, expected) < SIGNIFICANT

    def _wave_finding(self, recorded: Recorded, task: str, wave: list[tuple[float, Delivery]], total: int) -> Finding:
        ids = tuple(dict.fromkeys(d.message.task_id for _, d in wave))
        headline = f"{count(len(wave), 'retry', 'retries')} of {task} were due within {self.parameters.window:g} s of each other."
        return Finding(
            word=Word.STORM,
            headline=headline,
            sentence=f"{len(wave):,} of {total:,} retries came back as one wave at {wave[0][0]:.1f} s; the policy spreads them.",
            cause=WAVE,
            task=task,
            task_ids=ids,
            fix="Add jitter that draws over the whole delay (retry_jitter=True with retry_backoff).",
            story=build_story(recorded, ids[0], title=headline),
        )


@dataclass(frozen=True, slots=True)
class _Counted:
    """What counts towards a bound: deliveries that neither we injected, nor a fault of ours caused, nor the client sent again."""

    history: History
    resends: Resends

    def deliveries(self, message: Message, *, doubtful: bool = False) -> list[Delivery]:
        """Of one message. ``doubtful``: with those of which nobody saw that the client sent them again."""
        own = [d for d in message.deliveries if not d.copy]
        found, sent_again = own[:1], 0
        for before, delivery in pairwise(own):
            why = self.resends.why(delivery, sent_again) if before.reject is None else None  # a rejected one took another way back
            sent_again += why is not None
            if provoked(self.history, before) or (why is not None and (why.sure or not doubtful)):
                continue
            found.append(delivery)
        return found

    def starts(self, only: set[str] | None = None) -> dict[str, int]:
        """Per task id."""
        found: dict[str, int] = defaultdict(int)
        for message in self.history.messages.values():
            if only is not None and message.task_id not in only:
                continue
            if len(message.deliveries) == 1:
                found[message.task_id] += message.deliveries[0].start is not None
            else:
                found[message.task_id] += sum(d.start is not None for d in self.deliveries(message))
        return found


def _densest(moments: Sequence[float], window: float) -> tuple[int, int]:
    """(index of the first, number) of the most moments that lie within one window; ``moments`` in order."""
    best, begin = (0, 0), 0
    for end, at in enumerate(moments):
        while at - moments[begin] > window:
            begin += 1
        if end - begin + 1 > best[1]:
            best = (begin, end - begin + 1)
    return best


def _cells(history: History, findings: Sequence[Finding]) -> tuple[tuple[Verdict | None, str], ...]:
    guilty = {index: finding.cause for finding in findings for index in finding.faults}
    again: dict[int, int] = defaultdict(int)
    for delivery in history.deliveries.values():
        if delivery.died_by is not None:
            again[delivery.died_by] += 1

    def words(fault: FaultRecord) -> str:
        return f"{again[fault.index]:,} came back" if again[fault.index] else ""

    return by_fault(history, guilty, words)
