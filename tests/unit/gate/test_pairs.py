"""Runs in turn with a runner that only pretends to run: order, looks, budget, and every reason for leaving a suspicion as it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli.gate_pairs import PairRuns, Suspect
from harness.errors import Interrupted
from harness.gate.compare import FEWEST_PAIRS, MOST_PAIRS
from harness.gate.repository import Checkout, CheckoutFailed
from harness.gate.results import REFUSED, CellRun
from harness.model.gate import Comparison, Measures
from harness.model.verdict import Verdict
from tests.unit.gate.makers import planned


class _Runner:
    """``before`` and ``after``: the latencies of both trees, in turn."""

    def __init__(self, before: Sequence[float | None], after: Sequence[float | None]) -> None:
        self.order, self.left = "", 0
        self._before, self._after = itertools.cycle(before), itertools.cycle(after)
        self.first = CellRun(Verdict.PASS, 0, 1.0)
        self.fails_at = 0

    def run_at(self, cell: Any, root: Path, reports: Path) -> CellRun:
        self.order += "A"
        return self.first if self.order == "A" else _ran(next(self._before))

    def leave(self) -> None:
        self.left += 1

    def run(self, cell: Any, *, repetition: bool = False) -> CellRun:
        assert repetition
        self.order += "B"
        failed = self.order.count("B") == self.fails_at
        return CellRun(Verdict.FAIL, 1, 1.0, "it broke") if failed else _ran(next(self._after))


def _ran(p50: float | None) -> CellRun:
    return CellRun(Verdict.PASS, 0, 1.0, measures=Measures(p50=p50, samples=5))


class _Repository:
    def __init__(self, folder: Path, why: str = "", failure: str = "") -> None:
        self.why, self.folder, self.failure, self.opened = why, folder, failure, 0

    @contextmanager
    def checkout(self, commit: str) -> Iterator[Checkout]:
        if self.failure:
            raise CheckoutFailed(self.failure)
        self.opened += 1
        yield Checkout(self.folder, self.folder / "runs")


def _suspect(app: str = "shop:app", image: str | None = None) -> Suspect:
    system = SimpleNamespace(app=app, image=image, path=".")
    cell: Any = SimpleNamespace(planned=planned("a"), loaded=SimpleNamespace(scenario=SimpleNamespace(system=system)))
    return Suspect(cell, [Comparison(measure="p50", outcome="suspected"), Comparison(measure="p95", outcome="same")], took=1.0)


def _decide(tmp_path: Path, runner: _Runner, suspect: Suspect, *, budget: float = 1000.0, **changes: Any) -> Comparison:
    (tmp_path / "shop.py").write_text("")
    spent: Any = {"runs": lambda: float(len(runner.order))}
    fields: dict[str, Any] = {
        "runner": runner,
        "repository": _Repository(tmp_path),
        "commit": "abc",
        "tolerance": 0.10,
        "left": lambda: budget - spent["runs"](),
        "live": lambda text: None,
        "check": lambda: None,
    }
    PairRuns(**{**fields, **changes}).decide([suspect])
    return suspect.comparisons[0]


def test_what_is_slower_in_every_pair_is_a_regression_after_the_first_look(tmp_path: Path) -> None:
    runner, suspect = _Runner([1.0, 1.02], [1.5, 1.48, 1.52]), _suspect()
    found = _decide(tmp_path, runner, suspect)
    assert (found.outcome, found.pairs) == ("regression", FEWEST_PAIRS)
    assert runner.order == "A" + "ABBA" * (FEWEST_PAIRS // 2), "one run that is not counted, then in turn"
    assert runner.left == 1 and suspect.comparisons[1].outcome == "same" and len(suspect.runs) == FEWEST_PAIRS


def test_what_is_the_same_in_every_pair_was_noise(tmp_path: Path) -> None:
    assert _decide(tmp_path, _Runner([1.0, 1.02], [1.01, 1.0, 1.03]), _suspect()).outcome == "same"


def test_what_the_first_look_leaves_open_a_second_one_may_decide(tmp_path: Path) -> None:
    ratios = [1.05] + [1.5] * (MOST_PAIRS - 1)  # one pair too near for the first look
    found = _decide(tmp_path, _Runner([1.0], ratios), _suspect())
    assert (found.outcome, found.pairs) == ("regression", MOST_PAIRS)


def test_what_varies_more_than_the_tolerance_stays_suspected(tmp_path: Path) -> None:
    found = _decide(tmp_path, _Runner([1.0], [0.6, 2.0]), _suspect())
    assert (found.outcome, found.pairs) == ("suspected", MOST_PAIRS) and "vary more than the tolerance" in found.why


def test_runs_of_this_tree_that_lack_the_figure_are_not_left_out_of_the_answer(tmp_path: Path) -> None:
    """Those that have it are the quicker ones."""
    found = _decide(tmp_path, _Runner([1.0], [1.0, 1.0, None]), _suspect())
    assert found.outcome == "suspected" and "5 runs more of this tree" in found.why
    assert _decide(tmp_path, _Runner([1.0, None], [1.0, 1.01]), _suspect()).outcome == "same", "but those of the baseline's are"


def test_a_budget_too_small_for_the_first_look_is_not_spent(tmp_path: Path) -> None:
    runner, repository = _Runner([1.0], [2.0]), _Repository(tmp_path)
    found = _decide(tmp_path, runner, _suspect(), budget=2.0 * FEWEST_PAIRS, repository=repository)
    assert found.outcome == "suspected" and "--budget" in found.why and "17.0 s" in found.why
    assert (runner.order, repository.opened) == ("", 0)


def test_a_budget_that_ends_between_the_looks(tmp_path: Path) -> None:
    found = _decide(tmp_path, _Runner([1.0], [0.6, 2.0]), _suspect(), budget=2.0 * FEWEST_PAIRS + 5)
    assert found.outcome == "suspected" and found.pairs == FEWEST_PAIRS + 2 and "the budget was used up" in found.why


def test_a_repetition_that_fails_ends_it_and_is_kept(tmp_path: Path) -> None:
    runner, suspect = _Runner([1.0], [2.0]), _suspect()
    runner.fails_at = 3
    assert "a repetition of it failed" in _decide(tmp_path, runner, suspect).why
    assert [run.verdict for run in suspect.runs] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]


@pytest.mark.parametrize(
    ("commit", "words"), [("", "made without git"), ("abc+", "files that were not committed"), ("abc", "not a git repository")]
)
def test_a_commit_that_cannot_be_had(tmp_path: Path, commit: str, words: str) -> None:
    found = _decide(tmp_path, _Runner([1], [2]), _suspect(), commit=commit, repository=_Repository(tmp_path, why="not a git repository"))
    assert found.outcome == "suspected" and words in found.why


def test_a_checkout_that_fails(tmp_path: Path) -> None:
    found = _decide(tmp_path, _Runner([1], [2]), _suspect(), repository=_Repository(tmp_path, failure="fetch-depth: 0"))
    assert found.outcome == "suspected" and "fetch-depth: 0" in found.why


@pytest.mark.parametrize(
    ("suspect", "words"),
    [(_suspect(app="elsewhere.app:app"), "no elsewhere in the project's folder"), (_suspect(image="shop:1"), "in the image shop:1")],
)
def test_an_app_that_would_be_the_same_for_both_is_not_compared(tmp_path: Path, suspect: Suspect, words: str) -> None:
    runner = _Runner([1], [1])
    found = _decide(tmp_path, runner, suspect)
    assert found.outcome == "suspected" and words in found.why and runner.order == ""


@pytest.mark.parametrize(
    "first", [CellRun(Verdict.INCONCLUSIVE, REFUSED, 1.0, "no such task"), CellRun(Verdict.ENVIRONMENT, 3, 1.0, "no such task")]
)
def test_a_commit_that_cannot_be_run(tmp_path: Path, first: CellRun) -> None:
    runner = _Runner([1], [2])
    runner.first = first
    found = _decide(tmp_path, runner, _suspect())
    assert found.outcome == "suspected" and "could not be run: no such task" in found.why and runner.order == "A"


def test_a_signal_between_two_pairs_ends_it(tmp_path: Path) -> None:
    runner = _Runner([1], [2])

    def check() -> None:
        if len(runner.order) > 4:
            raise Interrupted(2)

    suspect = _suspect()
    with pytest.raises(Interrupted):
        _decide(tmp_path, runner, suspect, check=check)
    assert suspect.comparisons[0].outcome == "suspected" and runner.left == 1
