from __future__ import annotations

from pathlib import Path

import pytest

from harness.assembly import registry
from harness.errors import UsageError
from harness.gate.plan import digest_of, keys_of, most_valuable_first, parse_shard, plan_cell, plan_certificate, shard_of
from harness.model.gate import Baseline, Shard
from harness.model.verdict import Verdict
from harness.scenario import LoadedScenario, load_scenarios
from tests.unit.gate.makers import baseline, expected, planned

_SCENARIO = """
version: 1
description: {description}
tags: [{tags}]
matrix: {{n: [1, 2]}}
system: {{app: "shop:app", broker: redis, redelivery: 2s}}
load: [{{send: shop.work, args: ["${{{{ matrix.n }}}}"], rate: 10/s, for: 4s}}]
timeline:
  - {{at: 1s, fault: worker.kill, target: worker, restart_after: 100ms}}
  - {{at: 2s, fault: worker.kill, target: worker, restart_after: 100ms}}
checks: {{no_loss: {{}}, no_duplicates: {{}}, recovery: {{within: 5s}}}}
"""


def _load(folder: Path, description: str = "one", tags: str = "ci") -> list[LoadedScenario]:
    (folder / "s.yaml").write_text(_SCENARIO.format(description=description, tags=tags))
    return load_scenarios(folder / "s.yaml", registry())


def test_what_is_new_changed_or_not_passed_comes_first_then_value_per_second() -> None:
    cells = [
        planned("cheap", value=4, estimate=2.0, first=False),
        planned("dear", value=6, estimate=6.0, first=False),
        planned("b", value=1, estimate=1.0, first=False),
        planned("failed", value=1, estimate=100.0, first=True),
    ]
    assert [c.key for c in most_valuable_first(cells)] == ["failed", "cheap", "b", "dear"]


def test_keys_are_file_and_cell_below_the_project(tmp_path: Path) -> None:
    cells = _load(tmp_path)
    assert keys_of(cells, tmp_path) == ["s.yaml [n=1]", "s.yaml [n=2]"]
    assert keys_of([cells[0], cells[0]], tmp_path) == ["s.yaml [n=1]", "s.yaml [n=1] #2"]


def test_the_digest_is_of_what_is_measured(tmp_path: Path) -> None:
    one, other = _load(tmp_path)
    assert digest_of(one.text) != digest_of(other.text)
    assert digest_of(_load(tmp_path, description="another", tags="ci, more")[0].text) == digest_of(one.text)


def test_value_is_faults_times_checks(tmp_path: Path) -> None:
    found = plan_cell("k", _load(tmp_path)[0], root=tmp_path, runtime="processes", clean=False, baseline=None)
    assert found.value == 2 * 3 and found.first and found.before is None


def test_estimates_grow_with_passes_and_runtime(tmp_path: Path) -> None:
    one = _load(tmp_path)[0]

    def estimate(runtime: str, *, clean: bool) -> float:
        return plan_cell("k", one, root=tmp_path, runtime=runtime, clean=clean, baseline=None).estimate

    assert estimate("processes", clean=False) == 3 + 4 + 2  # one pass, the load, the redelivery
    assert estimate("processes", clean=True) == 3 * 3 + 4 + 2 + 2 * 40 * 0.1
    assert estimate("containers", clean=False) == 5 + 4 + 2


def _planned_with(tmp_path: Path, known: Baseline) -> tuple[float, bool, Verdict | None]:
    found = plan_cell("k", _load(tmp_path)[0], root=tmp_path, runtime="processes", clean=False, baseline=known)
    return found.estimate, found.first, found.before


def test_the_baseline_knows_better_unless_it_is_of_something_else(tmp_path: Path) -> None:
    digest = digest_of(_load(tmp_path)[0].text)
    same = expected(digest=digest, took=1.5)
    assert _planned_with(tmp_path, baseline(cells={"k": same})) == (1.5, False, Verdict.PASS)
    assert _planned_with(tmp_path, baseline(cells={"k": expected(Verdict.FAIL, digest=digest, took=1.5)})) == (1.5, True, Verdict.FAIL)
    assert _planned_with(tmp_path, baseline(cells={"k": expected(took=1.5)})) == (9.0, True, Verdict.PASS), "the scenario has changed"
    assert _planned_with(tmp_path, baseline(cells={"k": same}, runtime="containers")) == (9.0, False, Verdict.PASS)
    assert _planned_with(tmp_path, baseline()) == (9.0, True, None)


def test_a_certificate_is_cheap_and_the_same_task_twice_has_two_keys(tmp_path: Path) -> None:
    loaded = _load(tmp_path)[0]
    one = plan_certificate(loaded, "shop.pay(7)", 12, root=tmp_path, beside=2, taken=[])
    two = plan_certificate(loaded, "shop.pay(7)", 13, root=tmp_path, beside=2, taken=[one.key])
    assert (one.key, two.key) == ("s.yaml certificate shop.pay(7)", "s.yaml certificate shop.pay(7) #2")
    assert (one.certificate, one.line, one.first, one.before, one.estimate) == (True, 12, False, None, 2.0)
    assert one.worth > plan_cell("k", loaded, root=tmp_path, runtime="processes", clean=False, baseline=None).worth


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_a_partition_that_is_balanced_and_always_the_same(count: int) -> None:
    cells = [planned(f"c{n}", estimate=float(n % 5 + 1)) for n in range(20)]
    parts = [shard_of(cells, Shard(index=index, count=count)) for index in range(1, count + 1)]
    assert sorted(c.key for part in parts for c in part) == sorted(c.key for c in cells)
    sums = [sum(c.estimate for c in part) for part in parts]
    assert max(sums) - min(sums) <= 5.0
    again = list(reversed(cells))
    assert {c.key for c in shard_of(again, Shard(index=1, count=count))} == {c.key for c in parts[0]}
    assert [c.key for c in parts[0]] == [c.key for c in cells if c in parts[0]], "in the order of the plan"


def test_without_a_shard_it_is_everything() -> None:
    assert len(shard_of([planned("a"), planned("b")], None)) == 2


def test_more_shards_than_cells_are_refused() -> None:
    with pytest.raises(UsageError, match="only 1 cells"):
        shard_of([planned("a")], Shard(index=2, count=2))


def test_shards_are_written_as_parts_of_a_whole() -> None:
    assert parse_shard("2/4") == Shard(index=2, count=4)
    for text in ("2", "a/4", "2/", "-1/4", "1.5/4"):
        with pytest.raises(UsageError, match="is not a part"):
            parse_shard(text)
    for text in ("0/4", "5/4", "0/0"):
        with pytest.raises(UsageError, match="no such part"):
            parse_shard(text)
