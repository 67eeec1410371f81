"""Gates to report: one of everything, one that passed, and one whose every text tries to be markup, a command or a broken document."""

from __future__ import annotations

from typing import Any

from harness.model.finding import Finding, Word
from harness.model.gate import Comparison, GateCell, GateResult, LeftOut, Measures, Shard
from harness.model.verdict import EXIT_CODES, Verdict, combine

#: Everything at once: a workflow command, its escapes, the end of a CDATA section, a tag, a table's cell, a line, a link, controls.
HOSTILE = "::error::a%0Ab]]><script>x</script>|`c`\n::stop-commands::t\r[l](http://x) @you \x00\x1b[31m\u202e"

#: The same as the name of a file, which can be all but a zero byte.
HOSTILE_FILE = "sho p/::error::,%0A|`[x](y)<b>&\n#1.py"


def finding(**changes: Any) -> Finding:
    return Finding(
        **{
            "word": Word.EFFECT,
            "headline": "Two orders were charged twice.",
            "sentence": "A worker was killed after the card API had taken the money.",
            "cause": "not rolled back",
            "task": "orders.charge",
            "file": "shop/orders.py",
            "line": 41,
            "fix": 'send a key that is the same on every delivery: key=f"order-{order_id}"',
        }
        | changes
    )


def cell(name: str = "charge", verdict: Verdict = Verdict.PASS, **changes: Any) -> GateCell:
    file = f"scenarios/{name}.yaml"
    found = changes.get("findings", ())
    return GateCell(
        **{
            "key": f"{file} [broker=redis]",
            "file": file,
            "title": f"{name} [broker=redis]",
            "digest": "d1",
            "verdict": verdict,
            "exit_code": EXIT_CODES[verdict],
            "words": tuple(sorted({f.word.value for f in found})),
            "run_id": f"run-{name}",
            "replay": f"celery-harness run {file}",
            "took": 7.25,
            "measures": Measures(p50=0.05, p95=0.12, p99=0.2, throughput=48.7, samples=400),
        }
        | changes
    )


def gate(*cells: GateCell, **changes: Any) -> GateResult:
    outcomes = [c.outcome for one in cells for c in one.comparisons]
    verdicts = [c.verdict for c in cells]
    verdicts += [Verdict.FAIL] * ("regression" in outcomes) + [Verdict.INCONCLUSIVE] * ("suspected" in outcomes)
    verdict = changes.pop("verdict", combine(verdicts))
    return GateResult(
        **{
            "commit": "0123456789abcdef0123456789abcdef01234567",
            "runtime": "processes",
            "machine": "Example CPU, 2 cores, processes",
            "started": "2024-06-11T14:22:31Z",
            "took": 214.0,
            "budget": 300.0,
            "plan": tuple(sorted(c.key for c in cells)),
            "cells": cells,
            "baseline": "fedcba9876543210fedcba9876543210fedcba98",
            "verdict": verdict,
            "exit_code": EXIT_CODES[verdict],
        }
        | changes
    )


def regression(**changes: Any) -> Comparison:
    return Comparison(
        **{
            "measure": "p95",
            "outcome": "regression",
            "before": 0.21,
            "after": 0.34,
            "ratio": 1.62,
            "low": 1.48,
            "high": 1.77,
            "confidence": 0.99,
            "pairs": 8,
            "why": "p95 grew from 210 ms to 340 ms: 1.62 times, 99 % sure of 1.48 to 1.77",
        }
        | changes
    )


_LATE = LeftOut(key="k", file="scenarios/late.yaml", title="late", estimate=90.0, why="needs 1 min 30 s; 21 s of the budget were left")


def mixed() -> GateResult:
    """A cell of each kind."""
    suspected = regression(
        measure="throughput", outcome="suspected", ratio=None, low=None, high=None, pairs=0, why="the budget was used up"
    )
    return gate(
        cell("charge", Verdict.FAIL, findings=(finding(), finding(word=Word.LOST, headline="One order was lost.", line=None))),
        cell("refund", Verdict.FAIL, summary="threshold p(95) < 2s missed", before=Verdict.PASS),
        cell("slow", comparisons=(regression(),)),
        cell("drift", comparisons=(suspected,)),
        cell("quiet", Verdict.INCONCLUSIVE, summary="worker.kill did not bite: 0 running tasks died"),
        cell("down", Verdict.ENVIRONMENT, summary="redis-server did not answer within 5 s"),
        cell("typo", Verdict.INCONCLUSIVE, exit_code=2, summary="the app has no task orders.chrage; did you mean orders.charge?"),
        cell("fine", before=Verdict.FAIL, comparisons=(regression(outcome="same", ratio=0.99, low=0.96, high=1.02),)),
        cell("good"),
        left_out=(_LATE,),
        notes=("performance of 'good' was not compared: another machine",),
        shard=Shard(index=1, count=4),
    )


def hostile() -> GateResult:
    """Every text that a user's code, file names or tools can choose."""
    bad = {"headline": HOSTILE, "sentence": HOSTILE, "fix": HOSTILE, "task": HOSTILE, "cause": HOSTILE, "file": HOSTILE_FILE}
    texts = {"file": HOSTILE_FILE, "title": HOSTILE, "summary": HOSTILE, "replay": HOSTILE, "report": HOSTILE, "run_id": HOSTILE}
    return gate(
        cell("a", Verdict.FAIL, findings=(finding(**bad),), key=f"a {HOSTILE}", **texts),
        cell("b", Verdict.INCONCLUSIVE, key=f"b {HOSTILE}", comparisons=(regression(why=HOSTILE),), **texts),
        cell("c", Verdict.ENVIRONMENT, key=f"c {HOSTILE}", **texts),
        cell("d", key=f"d {HOSTILE}", **texts),
        left_out=(LeftOut(key=HOSTILE, file=HOSTILE_FILE, title=HOSTILE, estimate=1.0, why=HOSTILE),),
        notes=(HOSTILE,),
        commit=HOSTILE,
        baseline=HOSTILE,
        runtime=HOSTILE,
        machine=HOSTILE,
        started=HOSTILE,
    )


def huge(count: int = 10_000) -> GateResult:
    """So many findings of one cell, each on a line of its own."""
    findings = tuple(finding(headline=f"Order {n} was charged twice.", line=n + 1, file=f"shop/part{n % 7}.py") for n in range(count))
    return gate(cell("many", Verdict.FAIL, findings=findings))


ALL = {
    "mixed": mixed,
    "hostile": hostile,
    "huge": huge,
    "passing": lambda: gate(cell("one"), cell("two")),
    "nothing": lambda: gate(notes=("no cell fits into a budget of 1 s",), left_out=(_LATE,)),
    "empty": lambda: gate(),
}
