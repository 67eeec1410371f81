"""The figures of a run in its CSV files, its summary lines and on its page."""

from __future__ import annotations

import csv
import io
from typing import Any

from harness.model.history import Depth, Usage
from harness.model.measures import Little
from harness.model.result import RunResult
from harness.model.scenario import Scenario
from harness.reporting.csv_files import measures_text, per_second_text
from harness.reporting.latencies import latencies_text, latency_lines
from harness.reporting.markdown import markdown_text
from harness.reporting.used import latency_table, use_captions, uses
from harness.run.summary import summarise
from tests.unit.checks.histories import REDIS, Build


def result(build: Build, **changes: Any) -> RunResult:
    scenario = Scenario.model_validate({"version": 1, "system": {"app": "app:app"}, "load": [{"send": "app.pay", "count": 1}]})
    found = summarise(
        run_id="r", scenario=scenario, name="s", file="s.yaml", cell={}, plan="", seed=1, started="2026-01-01T00:00:00Z", took=1.0,
        runtime="processes", environment={}, overrides={}, timings=(), history=build.history, checks=(), semantics=REDIS,
    )  # fmt: skip
    return found.model_copy(update=changes)


def ran() -> Build:
    b = Build()
    for n in range(40):
        b.done(n * 1.0, took=0.1)
    b.fault("worker.pause", 10.0, 15.0)
    b.killed(b.call(12.0), 12.5, early=True)
    b.history.usage = [
        Usage(float(t), {"w-1": t * 0.25, "w-2": t * 0.5}, {"w-1": 50 << 20, "w-2": (60 + t) << 20}, 2 << 20, 9) for t in range(60)
    ]
    b.history.depths = [Depth(t / 5, 1, 1) for t in range(300)]
    return b


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_measures_as_csv() -> None:
    found = rows(measures_text(result(ran())))
    (whole,) = [r for r in found if r["metric"] == "end_to_end_latency" and not any(r[k] for k in ("task", "queue", "worker", "phase"))]
    assert (whole["count"], whole["never"], whole["max"], whole["p50"]) == ("41", "1", "", "0.21")
    assert {r["worker"] for r in found} == {"", "w-1"}


def test_seconds_as_csv() -> None:
    found = rows(per_second_text(result(ran())))
    assert [r["second"] for r in found[:3]] == ["0", "1", "2"]
    assert (found[3]["cpu:w-2"], found[3]["memory:w-1"], found[3]["broker_connections"]) == ("0.5", str(50 << 20), "9")
    assert found[2]["end_to_end_latency:p95"] == "0.21" and found[50]["end_to_end_latency:p95"] == ""


def test_csv_of_nothing_and_of_names_that_a_spreadsheet_would_run() -> None:
    empty = result(Build(), measures=(), per_second=None)
    assert rows(measures_text(empty)) == [] and per_second_text(empty) == "second\n"
    b = Build()
    b.done(0.0, task='=HYPERLINK("http://x")')
    found = rows(measures_text(result(b)))
    assert {r["task"] for r in found} == {"", '\'=HYPERLINK("http://x")'}


def test_the_four_latencies_in_one_line() -> None:
    found = result(ran())
    text = latencies_text(found)
    assert text == "p50 / p99: publish 10 ms / 10 ms, queue wait 110 ms / 510 ms, run 100 ms / 100 ms, end to end 210 ms / never"
    assert f"Latency, {text}." in markdown_text(found).replace("\\", "")
    lines = latency_lines(found)
    assert all(sum(len(part) for _, part in line) <= 80 for line in lines) and lines[0][0][1].startswith("  latencies")
    assert latency_lines(result(Build(), measures=())) == []


def test_broken_law_is_said_where_latencies_are_shown() -> None:
    found = result(ran(), little=Little(counted=5.0, computed=9.0, error=1.0, samples=99, holds=False))
    assert "Little's law" in markdown_text(found) and "in doubt" in latency_table(found)["doubt"]


def test_a_law_that_says_nothing_says_why() -> None:
    found = result(ran(), little=Little(counted=5.0, computed=9.0, error=8.0, samples=99, holds=None, silent="its samples are too few"))
    assert "Nothing confirms" in markdown_text(found) and "its samples are too few" in markdown_text(found)
    assert "in doubt" not in markdown_text(found)


def test_captions_answer() -> None:
    captions = use_captions(result(ran()))
    assert captions["cpu"].startswith("w-2 used most: 0.50 of a core")
    assert captions["memory"] == "w-2 grew from 60.0 MB to 119 MB, and had 119 MB at the end."
    assert captions["broker_memory"] == "It stayed at 2.0 MB." and captions["connections"] == "9 throughout."
    assert use_captions(result(Build(), per_second=None)) == {}


def test_lines_of_the_page_have_a_limit() -> None:
    b = ran()
    b.history.quiet_at = 5_000.0
    lines = uses(result(b))
    assert lines is not None and lines["step"] == 9 and len(lines["broker_memory"]) <= 600
    assert lines["broker_memory"][0] == 2.0 and lines["memory"]["w-1"][0] == 50.0
    assert uses(result(Build())) is None


def test_the_table_says_what_the_faults_cost() -> None:
    b = Build()
    for n in range(40):
        b.run(b.call(float(n)), took=2.0 if 10 <= n < 15 else 0.1)
    b.fault("worker.pause", 10.0, 15.0)
    table = latency_table(result(b))
    assert table["says"].startswith("p95 from due to done was 210 ms while all was healthy and 2.1 s under faults")
    assert {row["phase"] for row in table["rows"]} >= {"", "healthy", "faulty"} and all(not row.get("queue") for row in table["rows"])
