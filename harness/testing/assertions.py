"""Promises in one line: idempotent, within the retry policy, nothing lost. Each runs what it takes to find out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.checks._retry_rules import Policy
from harness.errors import UsageError
from harness.model.finding import CheckResult
from harness.model.result import RunResult
from harness.model.scenario import WorkerGroup
from harness.model.verdict import Verdict
from harness.ports.check import CleanPass
from harness.run.summary import overall
from harness.scenario.names import known, nearest

if TYPE_CHECKING:
    from harness.testing.handles import Call
    from harness.testing.harness import Harness

__all__ = ["assert_idempotent", "assert_no_loss", "assert_retry_policy"]

CRASH_POINTS = ("start", "before_ack", "after_ack")
#: When a copy of a message is made, and how: with the first delivery held there, the second meets all its effects, or none.
COPIES = {"sequential": ("end", "next"), "together": ("start", "together")}
#: Retries that show whether delays are spread: with fewer, chance explains a fixed delay.
_SPREAD_CALLS = 20


def assert_idempotent(
    harness: Harness,
    task: Any,
    args: Sequence[Any],
    *,
    kwargs: Mapping[str, Any] | None = None,
    calls: Iterable[Sequence[Any]] = (),
    crash_points: Sequence[str] = CRASH_POINTS,
    copies: Sequence[str] = tuple(COPIES),
    queue: str | None = None,
) -> list[RunResult]:
    """The call has its effects once: though its worker dies at each crash point, and though its message comes twice.

    One run per crash point, and one per kind of copy (`sequential`: after the first delivery's effects; `together`: beside it, with
    a second slot where a worker has but one), each held against clean runs. A run in which nothing came again (after a death
    `after_ack`) is none that fails, as long as something did in another; one that loses the call, as early acks do, is inconclusive.
    ``calls``: arguments of several calls, in place of ``args``; the faults hit each of them. ``crash_points``: start, end, before_ack,
    after_ack, or lines of the task (orders.py:41). ``queue``: where copies are made, where no crash point has shown it. Failed,
    Inconclusive or EnvironmentFault at the first run that is no pass; else all results.
    """
    __tracebackhide__ = True
    for kind in copies:
        if kind not in COPIES:
            raise UsageError(f"no copies `{kind}`{nearest(kind, COPIES)}", hint=known(COPIES))
    if not crash_points and not copies:
        raise UsageError("nothing would be tried", hint="name at least one of `crash_points`, or of `copies`")
    if not harness.configuration.services:
        raise UsageError(
            "the system has no services, so nothing shows what the task did",
            hint="add system.services: the databases and APIs that it uses",
        )
    wanted = [tuple(one) for one in calls] or [tuple(args)]
    check = {"idempotent": (harness.configuration.document.get("checks") or {}).get("idempotent") or {}}
    results = []
    clean: list[CleanPass] = []  # the calls are the same each time
    for point in crash_points:
        one = harness.another(f"crash-{_word(point)}", clean=clean).expect(**check)
        with one.closing():
            sent = _crashing(one, task, wanted, kwargs or {}, point)
            queue = queue or _queue_of(one, sent[0])
            results.append(_shown(one, f"{_named(task)} with its worker killed at {point}, as assert_idempotent tries it"))
    for kind in copies:
        if queue is None:
            raise UsageError("nothing has shown the task's queue yet", hint="pass queue=…, or at least one crash point")
        room = _two_slots(harness, queue) if kind == "together" else {}
        one = harness.another(f"copies-{kind}", room, clean=clean).expect(**check)
        with one.closing():
            _copying(one, task, wanted, kwargs or {}, kind, queue)
            results.append(_shown(one, f"{_named(task)} with its message delivered twice ({kind}), as assert_idempotent tries it"))
    if all(_nothing_came_again(result) for result in results):
        one.demand(results[-1], f"{_named(task)} never ran again, whatever assert_idempotent tried")
    return results


def _shown(harness: Harness, note: str) -> RunResult:
    """What it came to, where that is a pass or a run in which nothing came again."""
    __tracebackhide__ = True
    result = harness.judge()
    return result if _nothing_came_again(result) else harness.demand(result, note)


def _nothing_came_again(result: RunResult) -> bool:
    """Its faults bit, nothing is wrong or in doubt, and `idempotent` alone has no answer, since no call was there twice."""
    if not any(_had_no_occasion(check) for check in result.checks):
        return False
    return Verdict.PASS is overall(
        [check.model_copy(update={"verdict": Verdict.PASS}) if _had_no_occasion(check) else check for check in result.checks],
        result.faults,
        result.undeclared,
        interrupted=bool(result.interrupted),
        error=bool(result.error),
        deaths=result.deaths,
        unmade=result.unmade,
    )


def _had_no_occasion(check: CheckResult) -> bool:
    numbers = check.numbers
    return check.verdict is Verdict.INCONCLUSIVE and check.name == "idempotent" and numbers.get("exercised") == 0 == numbers.get("doubts")


def _crashing(harness: Harness, task: Any, calls: Sequence[tuple[Any, ...]], kwargs: Mapping[str, Any], point: str) -> list[Call]:
    for number in range(1, len(calls) + 1):
        harness.crash(task, point, call=number)
    return _sent(harness, task, calls, kwargs)


def _copying(harness: Harness, task: Any, calls: Sequence[tuple[Any, ...]], kwargs: Mapping[str, Any], kind: str, queue: str) -> None:
    point, deliver = COPIES[kind]
    for number in range(1, len(calls) + 1):
        when = {"task": _named(task), "reaches": point, "call": number}
        harness.fault("message.duplicate", when=when, queue=queue, count=1, deliver=deliver)
    _sent(harness, task, calls, kwargs)


def _two_slots(harness: Harness, queue: str) -> dict[str, Any]:
    """What to change so that a worker of this queue always has a slot beside the one that is taken; {}: nothing.

    A second process of the pool, since a busy worker may fetch the copy, too; the solo pool has but one.
    """
    written = harness.configuration.document.get("system", {}).get("workers") or {"worker": {}}
    changes: dict[str, dict[str, Any]] = {}
    for name, spec in written.items():
        group = WorkerGroup.model_validate(spec or {})
        if group.queues and queue not in group.queues:
            continue
        if group.pool == "solo" and group.replicas < 2:
            changes[name] = {"replicas": 2, "prefetch_multiplier": 1}
        elif group.pool != "solo" and group.concurrency < 2:
            changes[name] = {"concurrency": 2}
    return {"system": {"workers": changes}} if changes else {}


def _sent(harness: Harness, task: Any, calls: Sequence[tuple[Any, ...]], kwargs: Mapping[str, Any]) -> list[Call]:
    return [harness.apply(task, args, kwargs) for args in calls]


def _word(point: str) -> str:
    """Of a line, fit for a file's name."""
    return re.sub(r"[^\w.]+", "-", point)


def _queue_of(harness: Harness, call: Call) -> str | None:
    return next((m.queue for m in harness.history.messages.values() if m.call == call.number and m.queue), None)


def assert_retry_policy(
    harness: Harness,
    task: Any,
    args: Sequence[Any],
    *,
    kwargs: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    fail_with: str | Mapping[str, int] | None = None,
    count: int | None = None,
    speed: int = 60,
    **promised: Any,
) -> RunResult:
    """The task's retries keep to the policy: max_retries, backoff, base, cap, jitter, retry_on, never, within (docs/checks.md).

    ``fail_with``: services that refuse everything meanwhile, by name, with a status (503 where none is given); without it the task has
    to fail by itself, or nothing can be told. ``count``: so many calls, 20 where jitter is promised, else one. ``speed``: delays are
    this many times shorter; what was asked for is what is judged.
    """
    __tracebackhide__ = True
    rules = {**(policy or {}), **promised}
    for name in rules:
        if name not in Policy.model_fields:
            raise UsageError(f"a retry policy has no `{name}`{nearest(name, Policy.model_fields)}", hint=known(Policy.model_fields))
    if not rules:
        raise UsageError("no policy to hold the retries against", hint="such as max_retries=3, backoff='exponential', base='1s'")
    refusing = {fail_with: 503} if isinstance(fail_with, str) else dict(fail_with or {})
    services = {name: _refusing(harness, name, int(status)) for name, status in refusing.items()}
    system = {"system": {"services": services}} if services else {}
    one = harness.another("retries", {"time": {"retries": f"/{speed}"}, **system}).expect(retry_policy={_named(task): rules})
    with one.closing():
        for _ in range(count or (_SPREAD_CALLS if rules.get("jitter") == "full" else 1)):
            one.apply(task, args, kwargs)
        return one.demand(one.judge())


def _refusing(harness: Harness, name: str, status: int) -> dict[str, Any]:
    """The service as it is, with a first route that refuses everything."""
    services = harness.configuration.document.get("system", {}).get("services", {})
    spec = services.get(name)
    if spec is None:
        raise UsageError(f"no service `{name}`{nearest(name, services)}", hint=known(services))
    parameters = {} if spec == "http" else spec.get("http") if isinstance(spec, Mapping) else None
    if parameters is None:
        raise UsageError(f"`{name}` is no http service, so it cannot be told to refuse", hint="let the task fail by itself")
    return {"http": {**parameters, "routes": [{"fail": "always", "fail_status": status}, *parameters.get("routes", [])]}}


def assert_no_loss(harness: Harness) -> RunResult:
    """Judge the run; every call ended or waits where it will be run. Other checks' failures do not count, faults that did not bite do."""
    __tracebackhide__ = True
    result = harness.judge()
    own = next((check for check in result.checks if check.name == "no_loss"), None)
    if own is None and result.verdict is not Verdict.ENVIRONMENT:
        raise UsageError(
            "this run was not judged by no_loss", hint="name it among the configuration's checks, or harness.expect(no_loss={})"
        )
    kept = tuple(check for check in result.checks if check is own)
    verdict = overall(
        kept, result.faults, result.undeclared, interrupted=bool(result.interrupted), error=bool(result.error), deaths=result.deaths
    )
    return harness.demand(result.model_copy(update={"checks": kept, "verdict": verdict}))


def _named(task: Any) -> str:
    from harness.testing.harness import task_name

    return task_name(task)
