"""Shards that belong together make the whole; all others are refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.gate.merging import merge
from harness.gate.results import decide
from harness.model.gate import GateCell, GateResult, Shard
from harness.model.verdict import Verdict
from tests.unit.gate.makers import cell, gate, left_out

_PLAN = ("a", "b", "c")


def _shard(index: int, *cells: GateCell, **changes: Any) -> tuple[Path, GateResult]:
    verdict, exit_code = decide(cells, changes.get("left_out", ()))
    fields = {"plan": _PLAN, "shard": Shard(index=index, count=2), "verdict": verdict, "exit_code": exit_code, **changes}
    return Path(f"s{index}/gate/gate.json"), gate(*cells, **fields)


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ENVIRONMENT])
def test_the_merged_result_is_that_of_the_whole(verdict: Verdict) -> None:
    a, b, c = cell("a"), cell("b", verdict), cell("c", before=Verdict.PASS)
    merged = merge([_shard(2, c, b), _shard(1, a)], Path("out/gate"))
    assert merged.cells == (a, b, c) and merged.plan == _PLAN and merged.shard is None
    assert (merged.verdict, merged.exit_code) == decide([a, b, c])


def test_left_out_cells_notes_and_times() -> None:
    merged = merge(
        [_shard(1, cell("b"), left_out=(left_out("a"),), notes=("n", "m"), took=5.0), _shard(2, left_out=(left_out("c"),), notes=("n",))],
        Path("out"),
    )
    assert [one.key for one in merged.left_out] == ["a", "c"] and merged.notes == ("n", "m") and merged.took == 5.0
    assert (merged.verdict, merged.exit_code) == (Verdict.PASS, 0), "a shard in which nothing ran does not make the whole inconclusive"


def test_require_all_and_an_interruption_reach_the_whole() -> None:
    parts = [_shard(1, cell("a"), cell("b"), require_all=True), _shard(2, left_out=(left_out("c"),), require_all=True)]
    assert merge(parts, Path("out")).exit_code == 4
    assert merge([_shard(1, cell("a"), cell("b")), _shard(2, left_out=(left_out("c"),), exit_code=143)], Path("out")).exit_code == 143


def test_different_machines_are_named() -> None:
    merged = merge([_shard(1, cell("a"), cell("b"), machine="m2"), _shard(2, cell("c"), machine="m1")], Path("out"))
    assert merged.machine == "m1 / m2"


def test_reports_are_found_from_where_the_merged_result_lies() -> None:
    merged = merge([_shard(1, cell("a", report="../r1"), cell("b")), _shard(2, cell("c"))], Path("out/gate"))
    assert merged.cells[0].report == "../../s1/r1" and merged.cells[1].report == ""


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], "nothing to merge"),
        ([_shard(1, cell("a"), cell("b"))], "missing: shard 2/2"),
        ([_shard(1, cell("a"), cell("b")), _shard(1, cell("c"))], "shard 1 is there twice"),
        ([_shard(1, cell("a"), cell("b")), _shard(2, cell("b"), cell("c"))], "overlap: b is in both"),
        ([_shard(1, cell("a")), _shard(2, cell("b"))], "no shard has c"),
        ([_shard(1, cell("a"), cell("b")), _shard(2, cell("c"), cell("d"))], "not in the plan: d"),
        ([_shard(1, cell("a"), cell("b")), _shard(2, cell("c"), commit="other")], "different commits: abc and other"),
        ([_shard(1, cell("a"), cell("b")), _shard(2, cell("c"), runtime="containers")], "different runtimes"),
        ([_shard(1, cell("a"), cell("b")), _shard(2, cell("c"), plan=("c",))], "different plans"),
        ([_shard(1, cell("a"), cell("b")), _shard(2, cell("c"), baseline="x")], "different baselines: none and x"),
        ([_shard(1, cell("a"), cell("b")), _shard(2, cell("c"), seed=5)], "different seeds: none and 5"),
        ([_shard(1, cell("a"), cell("b")), _shard(2, cell("c"), shard=None)], "a whole gate, not of a shard"),
        ([_shard(1, cell("a"), cell("b")), _shard(2, cell("c"), shard=Shard(index=2, count=3))], "different cuts: 2 parts and 3 parts"),
    ],
)
def test_what_does_not_belong_together_is_refused(parts: list[tuple[Path, GateResult]], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        merge(parts, Path("out"))
    assert words in str(caught.value) and caught.value.exit_code == 2
