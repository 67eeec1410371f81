from __future__ import annotations

import re

import pytest

from harness.reporting.markdown import markdown_text
from tests.unit.reporting import sample


def outside_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```text\n.*?\n```", "", text, flags=re.S))


@pytest.mark.parametrize("name", sorted(sample.ALL))
def test_no_markup_of_the_run_survives(name: str) -> None:
    text = outside_code(markdown_text(sample.ALL[name]()))
    assert "<" not in text and "\x1b" not in text and "\u202e" not in text


def test_a_failure_tells_its_story() -> None:
    text = markdown_text(sample.failing())
    assert text.startswith("# FAIL: charge-survives-worker-kill")
    for part in (
        "Two orders were charged twice.",
        "✕ **FAIL**",
        "`sample_tasks/orders.py:41`",
        "② card charged a second time",
        "✕ 2",
        "exit 1",
        "celery-harness run",
    ):
        assert part in text


def test_rows_of_a_table_have_as_many_cells_as_its_head() -> None:
    for block in markdown_text(sample.hostile()).split("\n\n"):
        rows = [re.split(r"(?<!\\)\|", line) for line in block.splitlines() if line.startswith("|")]
        assert len({len(row) for row in rows}) <= 1


def test_a_fault_that_did_not_bite_is_named() -> None:
    text = markdown_text(sample.inconclusive())
    assert text.startswith("# INCONCLUSIVE") and "**no**" in text and "undeclared service" in text


def test_a_pass_is_short() -> None:
    text = markdown_text(sample.passing())
    assert "All 6 checks passed." in text and "## " not in text
