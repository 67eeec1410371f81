"""Results to draw: a small deterministic simulation of a run, and the odd cases that a report must survive."""

from __future__ import annotations

from typing import Any

from harness.model.finding import CheckResult, Finding, SourceLine, Step, Story, Word, WorldCell
from harness.model.result import FaultResult, Lane, LogTail, Reproduction, RunResult, Timing
from harness.model.verdict import EXIT_CODES, Verdict
from tests.unit.reporting.simulated import series_of, simulated_tasks

RUN_ID = "0611-1422-7c3e"
HOSTILE = "<script>window.pwned=1</script>\"'&]]>--><img src=x onerror=window.pwned=1>\x00\x1b[31m\u202etxt.exe"

PLAN = """version: 1
description: a card is charged once in spite of a kill, a partition and duplicates
seed: 20240741
system:
  app: sample_tasks.orders:app
  broker: redis
  redelivery: 6s
  workers:
    pay: {replicas: 2, pool: prefork, concurrency: 4}
load:
  - {send: orders.charge, args: sample_tasks.orders_world:charges, rate: 50/s, for: 30s}
timeline:
  - {at: 5s, fault: worker.kill, target: pay-1, restart_after: 2s}
  - {at: 12s, for: 5s, fault: net.partition, between: [pay, broker], mode: stall}
  - {at: 20s, for: 5s, fault: message.duplicate, queue: payments, ratio: 20%}
checks:
  no_loss: {}
  idempotent: {observe: [db, card_api]}
"""

SOURCE = """@app.task(acks_late=True, max_retries=3,
          autoretry_for=(CardApiUnavailable,),
          retry_backoff=1, retry_backoff_max=60)
def charge(order_id):
    with db.transaction() as tx:
        order = tx.lock_order(order_id)
        if order.status != "paid":
            tx.mark_paid(order_id)
            card_api.charge(order_id, order.amount)
    write_receipt(order_id)
    cache.set(f"order:{order_id}", "paid", ex=60)"""


def failing() -> RunResult:
    """The run of the design: a kill, a partition and duplicates; two orders charged twice."""
    tasks = simulated_tasks(1500, 50.0)
    return _result(
        verdict=Verdict.FAIL,
        checks=_checks(),
        faults=_faults(),
        tasks=tasks,
        series=series_of(tasks, 33),
        lanes=(
            Lane(name="pay-1", spans=((-1.4, 5.0, "up"), (5.0, 7.6, "down"), (7.6, 12.0, "up"), (12.0, 17.0, "cut"), (17.0, 32.7, "up"))),
            Lane(name="pay-2", spans=((-1.4, 12.0, "up"), (12.0, 17.0, "cut"), (17.0, 32.7, "up"))),
        ),
        ignored=("orders.updated_at", "charges.id"),
    )


def passing(**changes: Any) -> RunResult:
    """Everything passed, every fault bit."""
    checks = tuple(
        CheckResult(
            name=c.name,
            question=c.question,
            verdict=Verdict.PASS,
            summary="1,500 tasks, no difference",
            by_fault=tuple((Verdict.PASS, "0 differ") for _ in c.by_fault),
        )
        for c in _checks()
    )
    tasks = simulated_tasks(1500, 50.0, twice=False)
    return _result(
        **{"verdict": Verdict.PASS, "checks": checks, "faults": _faults(), "tasks": tasks, "series": series_of(tasks, 33)} | changes
    )


def inconclusive() -> RunResult:
    """All checks passed, and one fault did not bite: that proves nothing."""
    kill, partition, _ = _faults()
    idle = FaultResult(
        index=2,
        name="message.duplicate",
        planned="at 20 s, for 5 s",
        begun=20.0,
        ended=25.0,
        bit=False,
        evidence="0 of 0 messages in queue payments",
    )
    return passing(
        verdict=Verdict.INCONCLUSIVE, faults=(kill, partition, idle), undeclared=("10.0.0.7:5432 (sample_tasks/orders.py:12 connect)",)
    )


def environment() -> RunResult:
    """Nothing ran."""
    return _result(
        verdict=Verdict.ENVIRONMENT,
        checks=(),
        error="redis-server did not answer on 127.0.0.1:41877 within 5 s: Address already in use",
        calls=0,
        load_seconds=0.0,
        fates={},
        publishes={},
        took=6.4,
        timings=(Timing(name="ready", seconds=6.1, text="nothing"),),
    )


def interrupted() -> RunResult:
    """Ctrl-C half-way: some tasks, no check."""
    tasks = simulated_tasks(300, 50.0, twice=False)
    return _result(
        verdict=Verdict.INCONCLUSIVE,
        checks=(),
        exit_code=130,
        calls=300,
        fates={"succeeded": 299, "failed": 1},
        publishes={"ok": 300},
        load_seconds=6.0,
        timings=(Timing(name="ready", seconds=1.3, text="Redis, card_api, pay-1, pay-2"),),
        interrupted="interrupted by SIGINT after 6.1 s: everything was stopped; the report is partial",
        tasks=tasks,
        series=series_of(tasks, 7),
        faults=_faults()[:1],
    )


def large(count: int = 10_000) -> RunResult:
    """The failing run with many tasks."""
    tasks = simulated_tasks(count, count / 30)
    return failing().model_copy(update={"tasks": tasks, "series": series_of(tasks, 33), "calls": count})


def tiny(count: int) -> RunResult:
    """No task, or one."""
    tasks = simulated_tasks(count, 1.0, twice=False)
    return passing(tasks=tasks, series=series_of(tasks, 2), calls=count, faults=(), fates={"succeeded": count} if count else {})


def hostile() -> RunResult:
    """Every text that a user's code can choose tries to be markup, a terminal escape or a broken document."""
    base = failing()
    assert base.tasks is not None
    columns = base.tasks.model_copy(
        update={name: tuple(HOSTILE for _ in base.tasks.id) for name in ("task", "label", "error")}
        | {"id": tuple(f"{HOSTILE}{i}" for i in range(len(base.tasks.id)))}
    )
    story = Story(
        title=HOSTILE,
        task_id=HOSTILE,
        task=HOSTILE,
        steps=tuple(s.model_copy(update={"text": HOSTILE, "note": HOSTILE}) for s in _steps()),
        world=(WorldCell(name=HOSTILE, before=HOSTILE, after=HOSTILE, expected=HOSTILE, wrong=True),),
        file=HOSTILE,
        line=41,
        source=(SourceLine(number=41, code=HOSTILE),),
    )
    finding = Finding(
        word=Word.EFFECT,
        headline=HOSTILE,
        sentence=HOSTILE,
        task=HOSTILE,
        task_ids=(HOSTILE,),
        file=HOSTILE,
        line=41,
        fix=HOSTILE,
        story=story,
    )
    check = CheckResult(
        name=HOSTILE,
        question=HOSTILE,
        verdict=Verdict.FAIL,
        summary=HOSTILE,
        advice=HOSTILE,
        findings=(finding,),
        by_fault=((Verdict.FAIL, HOSTILE),) * 3,
    )
    return base.model_copy(
        update={
            "scenario": HOSTILE,
            "file": HOSTILE,
            "description": HOSTILE,
            "cell": {HOSTILE: HOSTILE},
            "environment": {HOSTILE: HOSTILE},
            "overrides": {HOSTILE: HOSTILE},
            "checks": (check, *base.checks),
            "faults": tuple(f.model_copy(update={"name": HOSTILE, "evidence": HOSTILE, "planned": HOSTILE}) for f in base.faults),
            "tasks": columns,
            "lanes": (Lane(name=HOSTILE, spans=((0.0, 30.0, "up"),)),),
            "logs": (LogTail(process=HOSTILE, file=HOSTILE, lines=(HOSTILE, HOSTILE)),),
            "undeclared": (HOSTILE,),
            "plan": HOSTILE,
            "reproduce": (Reproduction(title=HOSTILE, command=HOSTILE),),
        }
    )


ALL = {
    "failing": failing,
    "passing": passing,
    "inconclusive": inconclusive,
    "environment": environment,
    "interrupted": interrupted,
    "hostile": hostile,
    "large": large,
    "none": lambda: tiny(0),
    "one": lambda: tiny(1),
}


def _faults() -> tuple[FaultResult, ...]:
    return (
        FaultResult(
            index=0, name="worker.kill", planned="at 5 s, back after 2 s", target="pay-1", begun=5.0, ended=7.6, bit=True,
            evidence="4 running tasks died; pay-1 back at 7.6 s", recovery=4.1, file="sample_tasks/orders.py", line=41,
        ),
        FaultResult(
            index=1, name="net.partition", planned="at 12 s, for 5 s", target="pay, broker", begun=12.0, ended=17.0, bit=True,
            evidence="0 deliveries for 5.0 s; 248 waited", recovery=6.2,
        ),
        FaultResult(
            index=2, name="message.duplicate", planned="at 20 s, for 5 s", target="payments", begun=20.0, ended=25.0, bit=True,
            evidence="50 of 250 delivered a second time",
        ),
    )  # fmt: skip


def _steps() -> tuple[Step, ...]:
    return (
        Step(at=4.940, kind="publish", lane="caller", to="broker", text="publish orders.charge(1247)"),
        Step(at=4.943, kind="deliver", lane="broker", to="pay-1", text="delivery 1 → pay-1", delivery=1),
        Step(at=4.945, kind="start", lane="pay-1", text="task starts", note="retries 0", delivery=1, line=36),
        Step(at=4.965, kind="effect", lane="pay-1", to="card_api", text="card charged 59.90 EUR", note="ch_ae57", delivery=1, line=41),
        Step(at=5.000, kind="crash", lane="pay-1", text="SIGKILL: pay-1 dies", note="line 41, 35 ms after the charge", delivery=1, line=41),
        Step(
            at=5.001,
            kind="wait",
            lane="broker",
            text="held 6.3 s",
            note="Redis holds the message until its visibility timeout, 6 s, is over.",
        ),
        Step(at=11.285, kind="deliver", lane="broker", to="pay-2", text="delivery 2 → pay-2", note="redelivered", delivery=2),
        Step(at=11.286, kind="start", lane="pay-2", text="task starts again", note="retries 0", delivery=2, line=36),
        Step(
            at=11.307,
            kind="effect_again",
            lane="pay-2",
            to="card_api",
            text="card charged a second time",
            note="ch_733e",
            delivery=2,
            line=41,
        ),
        Step(at=11.381, kind="effect", lane="pay-2", to="db", text="order 1247 is 'paid'", delivery=2, line=40),
        Step(at=11.390, kind="end", lane="pay-2", text="task succeeds", delivery=2),
        Step(at=11.392, kind="ack", lane="pay-2", to="broker", text="acked, succeeded", delivery=2),
    )


def _story(order: int) -> Story:
    return Story(
        title=f"How order {order} was charged twice",
        task_id="5a0c9f4e-6f5f-4b46-8d5f-3d8f2f0f7c11",
        task="orders.charge",
        steps=_steps(),
        world=(
            WorldCell(name="orders.status", before="new", after="paid", expected="paid", wrong=False),
            WorldCell(name="charges", before="0", after="2", expected="1", wrong=True),
            WorldCell(name="EUR taken", before="0.00", after="119.80", expected="59.90", wrong=True),
        ),
        file="sample_tasks/orders.py",
        line=41,
        source=tuple(SourceLine(number=33 + n, code=code) for n, code in enumerate(SOURCE.splitlines())),
    )


def _checks() -> tuple[CheckResult, ...]:
    ok, no = Verdict.PASS, None
    finding = Finding(
        word=Word.EFFECT,
        headline="Two orders were charged twice.",
        sentence="A worker was killed after the card API had taken the money and before the order was saved. "
        "Redis delivered the task again 6.3 s later, and the task charged again.",
        cause="not rolled back",
        task="orders.charge",
        task_ids=("5a0c9f4e-6f5f-4b46-8d5f-3d8f2f0f7c11", "5a0c9f4e-6f5f-4b46-8d5f-3d8f2f0f7c12"),
        calls=(247, 248),
        file="sample_tasks/orders.py",
        line=41,
        fix='send a key that is the same on every delivery: key=f"order-{order_id}"',
        faults=(0,),
        story=_story(1247),
    )
    return (
        CheckResult(
            name="no_loss", question="every published task ends", verdict=ok, summary="1,500 = 1,497 succeeded + 3 failed",
            by_fault=((ok, "4 stranded; 0 lost"), (ok, "248 waited, all delivered"), (ok, "50 copies, each accounted for")),
        ),
        CheckResult(
            name="idempotent", question="the world is as after one clean delivery", verdict=Verdict.FAIL,
            summary="2 orders charged twice, 88.40 EUR", findings=(finding,),
            by_fault=((Verdict.FAIL, "2 of the 4 killed charged twice"), (ok, "4 in flight, 0 differ"), (ok, "50 copies, 0 differ")),
        ),
        CheckResult(
            name="retry_policy", question="at most 3 retries, 1 s · 2ⁿ up to 60 s, full jitter", verdict=ok,
            summary="44 retries of 30 tasks, every delay in range",
            by_fault=((ok, "1 killed in its 4th attempt, not counted twice"), (no, ""), (no, "")),
        ),
        CheckResult(
            name="recovery", question="normal again within 20 s", verdict=ok, summary="slowest 6.2 s, after the partition",
            by_fault=((ok, "4.1 s after the restart"), (ok, "6.2 s after it healed"), (no, "")),
        ),
        CheckResult(
            name="state_agrees", question="stored results agree with the history", verdict=Verdict.INCONCLUSIVE,
            summary="23 results to compare, 30 needed", advice="result_expires is 3 s; set 60 s or more", by_fault=((no, "0 samples"),) * 3,
        ),
        CheckResult(
            name="thresholds", question="end_to_end_latency: p(95) < 5s", verdict=ok, summary="p95 4.40 s; before the faults 0.12 s",
            by_fault=((ok, "4 tasks, worst 6.5 s"), (ok, "250 tasks, worst 5.1 s"), (ok, "p95 0.13 s")),
        ),
    )  # fmt: skip


def _result(**changes: Any) -> RunResult:
    verdict: Verdict = changes["verdict"]
    base: dict[str, Any] = {
        "run_id": RUN_ID,
        "scenario": "charge-survives-worker-kill",
        "file": "scenarios/payments/charge-survives-worker-kill.yaml",
        "description": "a card is charged once in spite of a kill, a partition and duplicates",
        "cell": {"broker": "redis"},
        "seed": 20240741,
        "exit_code": EXIT_CODES[verdict],
        "started": "2024-06-11T14:22:31+00:00",
        "took": 101.0,
        "runtime": "processes (no container engine)",
        "environment": {
            "Celery": "5.7.0",
            "kombu": "5.7.0",
            "Python": "3.11.9",
            "Broker": "Redis 7.2.5, started by this run",
            "Workers": "pay: 2 × prefork 4",
        },
        "overrides": {"task_acks_late": True},
        "load_seconds": 30.0,
        "calls": 1500,
        "fates": {"succeeded": 1497, "failed": 3},
        "publishes": {"ok": 1500},
        "timings": (
            Timing(name="ready", seconds=1.3, text="Redis, card_api, pay-1, pay-2"),
            Timing(name="clean x 2", seconds=62.0, text="3,000 tasks; they differ in orders.updated_at, charges.id"),
            Timing(name="run", seconds=30.0, text="1,500 tasks at 50/s"),
            Timing(name="drain", seconds=2.7, text="waited for the last retry, due at 30.7 s; queue empty"),
            Timing(name="observe", seconds=5.0, text="db, card_api"),
        ),
        "plan": PLAN,
        "reproduce": (
            Reproduction(
                title="The whole run", command="celery-harness run scenarios/payments/charge-survives-worker-kill.yaml --seed 20240741"
            ),
            Reproduction(title="This page from its data", command=f"celery-harness report reports/{RUN_ID}"),
        ),
        "logs": (LogTail(process="pay-1", file="logs/pay-1.log", lines=("[2024-06-11 14:22:36] Task orders.charge received", "Killed")),),
    }
    return RunResult(**base | changes)
