from __future__ import annotations

import io
import json
from pathlib import Path

from harness.cli.gate_console import GateConsole, GateJson, verdict_words
from harness.model.finding import Finding, Word
from harness.model.gate import Comparison
from harness.model.verdict import Verdict
from tests.unit.gate.makers import cell, gate, left_out

_FAILED = cell(
    "b",
    Verdict.FAIL,
    summary="Two orders were charged twice.",
    words=("EFFECT",),
    findings=(Finding(word=Word.EFFECT, headline="…", file="orders.py", line=53),),
    replay="celery-harness run b.yaml",
    before=Verdict.PASS,
    took=6.2,
)
_SLOW = Comparison(
    measure="p95", outcome="regression", before=0.1, after=0.2, ratio=2.0, low=1.8, high=2.2, confidence=0.99, pairs=8, why="so"
)
_PERHAPS = Comparison(measure="p50", outcome="suspected", before=0.1, after=0.2, ratio=2.0, why="no time")


def _terminal(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def _read(out: io.TextIOWrapper) -> str:
    out.seek(0)
    return out.read()


def _told() -> str:
    out = _terminal()
    console = GateConsole(out)
    console.begun("2 cells")
    console.cell(cell("a", took=1.0))
    console.cell(_FAILED)
    console.note("no baseline")
    too = _PERHAPS.model_copy(update={"measure": "throughput", "before": 9.0, "after": 5.0, "ratio": 0.6})
    compared = cell("a", comparisons=(_SLOW, _PERHAPS, too, Comparison(measure="p99", outcome="same")))
    console.live("never on a pipe")
    console.finished(
        gate(compared, _FAILED, left_out=(left_out("c"),), verdict=Verdict.FAIL, exit_code=1, took=7.0), [Path("reports/gate/gate.json")]
    )
    console.close()
    return _read(out)


def test_a_gate_is_told_line_by_line() -> None:
    said = _told()
    assert "  ✓ pass              1.0 s  a\n" in said
    assert "  ✕ FAIL              6.2 s  b\n" in said
    assert "Two orders were charged twice. (the baseline has: pass)" in said and "EFFECT  orders.py:53" in said
    assert "Reproduce  celery-harness run b.yaml" in said
    assert "Left out, so not judged: 1 cell\n  - c: the budget was used up" in said
    assert "regression    a\n                p95 100 ms → 200 ms, ×2.00 (1.80 to 2.20 with 99%, 8 pairs)\n" in said
    assert "suspected     a\n" in said and said.count("no time") == 1 and "9.0/s → 5.0/s, ×0.60" in said and "p99" not in said
    assert said.endswith("✕ FAIL  1 passed, 1 failed, 1 left out, 1 regression, 2 suspected   7.0 s   exit 1\n")
    assert "\x1b" not in said and "never on a pipe" not in said


def test_what_a_scenario_says_never_controls_the_terminal() -> None:
    out = io.StringIO()
    GateConsole(out).cell(cell("a\x1b[2J", Verdict.INCONCLUSIVE, summary="x\x1b]0;y\x07"))
    assert "\x1b" not in out.getvalue() and "\x07" not in out.getvalue()


def test_in_ascii_where_the_terminal_has_no_more() -> None:
    out = _terminal("ascii")
    GateConsole(out).cell(_FAILED)
    assert "  x FAIL" in _read(out)


def test_states_in_words() -> None:
    def last(**changes: object) -> str:
        out = _terminal()
        GateConsole(out).finished(gate(verdict=Verdict.INCONCLUSIVE, **changes), [])
        return _read(out).splitlines()[-1]

    assert last(exit_code=4).startswith("? INCONCLUSIVE  nothing ran")
    assert last(exit_code=130).startswith("? INTERRUPTED")
    assert last(exit_code=2).startswith("? REFUSED")
    assert verdict_words(gate(cell("a"), cell("b", Verdict.ENVIRONMENT))) == "1 passed, 1 not judged"


def test_json_lines() -> None:
    out = io.StringIO()
    told = GateJson(out)
    told.begun("1 cell")
    told.live("nothing")
    told.cell(cell("a"))
    told.note("n")
    told.finished(gate(cell("a")), [Path("gate.json")])
    told.close()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["begun", "cell", "note", "result"]
    assert events[-1]["result"] == json.loads(gate(cell("a")).model_dump_json()) and events[-1]["files"] == ["gate.json"]
