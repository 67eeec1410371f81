from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.model.gate import GateResult
from harness.model.verdict import Verdict
from harness.reporting.gate_markdown import gate_blocks, gate_markdown_text
from harness.reporting.gate_places import Places
from tests.unit.reporting import gate_sample
from tests.unit.reporting.gate_sample import cell, gate, regression

OURS = re.compile(r"<br>|</?details>|</?summary>")


def text_of(result: GateResult, blob: str = "") -> str:
    return gate_markdown_text(result, Places(Path("/project"), Path("/project"), blob))


def outside_code(text: str) -> str:
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)


@pytest.mark.parametrize("name", sorted(gate_sample.ALL))
def test_no_markup_but_our_own(name: str) -> None:
    text = OURS.sub("", outside_code(text_of(gate_sample.ALL[name]())))
    assert "<" not in text and "\x1b" not in text and "\u202e" not in text and "[l](" not in text


@pytest.mark.parametrize("name", sorted(gate_sample.ALL))
def test_rows_of_a_table_have_as_many_cells_as_its_head(name: str) -> None:
    for block in text_of(gate_sample.ALL[name]()).split("\n\n"):
        rows = [re.split(r"(?<!\\)\|", line) for line in block.splitlines() if line.startswith("|")]
        assert len({len(row) for row in rows}) <= 1


@pytest.mark.parametrize("name", sorted(gate_sample.ALL))
def test_each_block_is_whole_by_itself(name: str) -> None:
    for block in gate_blocks(gate_sample.ALL[name](), Places(Path("/project"), Path("/project"))):
        assert block.count("<details>") == block.count("</details>") and not block.endswith("\n")


def test_the_verdict_is_first_and_what_passed_is_last_and_folded() -> None:
    text = text_of(gate_sample.mixed())
    assert text.startswith("# FAIL: reliability gate (shard 1 of 4)\n\n`✕✕∅▼!?▽·✓✓`")
    order = [text.index(f"## {part}") for part in ("Failed", "Refused", "Slower", "The environment", "Inconclusive", "Perhaps", "Left out")]
    assert order == sorted(order) and text.index("exit 1") < text.index("<details>")
    assert text.endswith("</details>\n") and "good \\[broker=redis\\]" not in text.split("<details>")[0]


def test_a_failure_says_what_where_why_and_how_to_repeat_it() -> None:
    text = text_of(gate_sample.mixed(), "https://example.org/blob/abc/")
    (row,) = [line for line in text.splitlines() if "**EFFECT**" in line]
    assert "[`shop/orders.py:41`](https://example.org/blob/abc/shop/orders.py#L41)" in row
    assert (
        "A worker was killed after the card API had taken the money.<br>" in row
        and "**Fix** send a key" in row
        and "`celery-harness run scenarios/charge.yaml`" in row
    )
    assert "new: passed in the baseline" in text


@pytest.mark.parametrize(
    ("changes", "chart", "reach"),
    [
        ({}, "············│······├●─┤··", "0.5× … 1 … 2×"),
        ({"ratio": 0.5, "low": 0.4, "high": 0.6}, "··├─●─┤·····│············", "0.33× … 1 … 3×"),
        ({"low": None, "high": None}, "············│·······●····", "0.5× … 1 … 2×"),
        ({"ratio": 1e9, "low": 1e8, "high": 1e10}, "············│···········●", "0.01× … 1 … 100×"),
        ({"ratio": 0.0, "low": 0.0, "high": 0.0}, "", "0.8× … 1 … 1.25×"),
        ({"ratio": float("inf"), "low": 1.2, "high": float("inf")}, "", "0.8× … 1 … 1.25×"),
    ],
)
def test_a_regression_is_drawn_with_its_interval(changes: dict[str, float], chart: str, reach: str) -> None:
    text = text_of(gate(cell(comparisons=(regression(**changes),))))
    (row,) = [line for line in text.splitlines() if "| p95 |" in line]
    assert reach in text and (f"| `{chart}` |" in row if chart else "│" not in row)


def test_a_regression_is_told_in_figures() -> None:
    text = text_of(gate(cell(comparisons=(regression(), regression(measure="throughput", before=50.04, after=30.0)))))
    assert "| p95 | 210 ms | 340 ms | **1.62×** (99%: 1.48 to 1.77, 8 pairs) |" in text and "| throughput | 50/s | 30/s |" in text
    assert "2 measures are slower than the baseline" in text and "✓" not in text


def test_what_was_left_out_is_never_called_passed() -> None:
    text = text_of(gate(cell(), left_out=gate_sample.mixed().left_out))
    assert "The cell that ran passed. 1 cell was left out and has no verdict." in text and "✓ 1 passed" in text
    assert "needs 1 min 30 s" in text.split("<details>")[0]


@pytest.mark.parametrize(
    ("result", "head", "sentence"),
    [
        (gate(cell("a"), cell("b")), "# PASS", "All 2 cells that ran passed."),
        (gate(), "# INCONCLUSIVE", "Nothing ran, so there is no verdict."),
        (gate(cell(), exit_code=130, verdict=Verdict.INCONCLUSIVE), "# INTERRUPTED", "The gate was interrupted. The cell that ran passed."),
        (gate(cell(verdict=Verdict.INCONCLUSIVE, exit_code=2), exit_code=2), "# REFUSED", "The cell that ran was refused."),
        (gate(cell(verdict=Verdict.ENVIRONMENT)), "# ENVIRONMENT", "The cell that ran could not be judged."),
        (gate(cell(verdict=Verdict.INCONCLUSIVE)), "# INCONCLUSIVE", "The cell that ran could not be decided."),
        (
            gate(cell(), left_out=gate_sample.mixed().left_out, require_all=True, verdict=Verdict.INCONCLUSIVE),
            "# INCONCLUSIVE",
            "The cell that ran passed. 1 cell was left out and has no verdict, although all were required.",
        ),
    ],
)
def test_each_verdict_has_its_words(result: GateResult, head: str, sentence: str) -> None:
    text = text_of(result)
    assert text.startswith(f"{head}: reliability gate\n") and f"**{sentence}**" in text


def test_many_cells_are_drawn_as_shares_in_which_none_disappears() -> None:
    cells = [cell(f"c{n}") for n in range(500)] + [cell("bad", Verdict.FAIL)]
    strip = text_of(gate(*cells)).splitlines()[2]
    assert strip.startswith("`✕✓✓") and len(strip.split("`")[1]) <= 62 and "✓ 500 passed" in strip
