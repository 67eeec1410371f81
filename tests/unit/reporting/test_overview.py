"""Rows of several runs, the exit code over all, and the closing line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.model.verdict import Verdict
from harness.reporting.ink import WIDTH, Line
from harness.reporting.overview import HEAD, Row, closing_lines, exit_code_of, row_lines, row_of
from tests.unit.reporting import sample

PASSED, FAILED, OPEN, BROKEN = (Row(v.value, v, 1.0) for v in Verdict)
REFUSED = Row("refused", None)


def plain(lines: Sequence[Line]) -> list[str]:
    return ["".join(text for _, text in line).rstrip() for line in lines]


def test_a_row_has_verdict_seconds_title_and_what_was_found_first() -> None:
    row = row_of(sample.failing(), "orders [broker=redis]")
    assert plain(row_lines(row)) == [
        "  ✕ FAIL         1 min 41 s  orders [broker=redis]",
        "      EFFECT Two orders were charged twice.",
    ]
    head = plain([HEAD])[0]
    first = plain(row_lines(row))[0]
    assert head.index("scenario") == first.index("orders") and head.index("took") + 4 == first.index("1 min 41 s") + 10


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("passing", ["  ✓ pass         1 min 41 s  x"]),
        ("inconclusive", ["  ? inconclusive 1 min 41 s  x", "      message.duplicate did not bite, so this is not a pass."]),
        ("environment", ["  ! environment       6.4 s  x", "      The environment failed, so nothing was judged."]),
    ],
)
def test_why_it_is_no_pass_stands_in_its_row(name: str, lines: list[str]) -> None:
    assert plain(row_lines(row_of(sample.ALL[name](), "x"))) == lines


def test_a_long_title_has_its_cell_below_and_every_line_fits() -> None:
    name, cell = "an-order-is-charged-once-although-workers-die", ", ".join(f"setting_{n}=value" for n in range(6))
    lines = plain(row_lines(Row(f"{name} [{cell}]", Verdict.FAIL, 3.0, "LOST " + "word " * 30)))
    assert lines[0].endswith(f"  {name}") and lines[1].strip().startswith("[setting_0=value, ")
    assert max(map(len, lines)) <= WIDTH
    wide = plain(row_lines(Row(f"{name} [a=b]", Verdict.FAIL, 3.0), 120))
    assert len(wide) == 1 and wide[0].endswith(f"{name} [a=b]")


def test_what_never_ran_has_no_seconds() -> None:
    assert plain(row_lines(Row("x", None, None, "no task is called `a`"))) == [
        "  ! refused                  x",
        "      no task is called `a`",
    ]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([PASSED, PASSED], 0),
        ([PASSED, FAILED, OPEN, BROKEN, REFUSED], 1),
        ([PASSED, OPEN, BROKEN, REFUSED], 2),
        ([PASSED, OPEN, BROKEN], 3),
        ([PASSED, OPEN], 4),
        ([], 4),
    ],
)
def test_the_exit_code_over_all(rows: list[Row], code: int) -> None:
    assert exit_code_of(rows) == code


@pytest.mark.parametrize(
    ("rows", "total", "code", "said"),
    [
        ([PASSED] * 20, 20, 0, "✓ PASS  20 runs: 20 passed   1 min 41 s   exit 0"),
        ([PASSED] * 17 + [FAILED] * 2 + [OPEN], 20, 1, "✕ FAIL  20 runs: 17 passed, 2 failed, 1 inconclusive   1 min 41 s   exit 1"),
        ([PASSED, BROKEN], 2, 3, "! ENVIRONMENT  2 runs: 1 passed, 1 not judged   1 min 41 s   exit 3"),
        ([PASSED, REFUSED], 2, 2, "! REFUSED  2 runs: 1 passed, 1 refused   1 min 41 s   exit 2"),
        ([PASSED], 3, 130, "? INTERRUPTED  3 runs: 1 passed, 2 not ended   1 min 41 s   exit 130"),
    ],
)
def test_the_closing_line_counts(rows: list[Row], total: int, code: int, said: str) -> None:
    assert plain(closing_lines(rows, total=total, took=101.0, exit_code=code)) == [said]
