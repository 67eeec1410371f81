"""Runs in turn of the baseline's commit and of this tree, until it is decided whether what looked slower is slower."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cli.gate_cells import CellRunner, GateScenario
from harness.gate.compare import FEWEST_PAIRS, MOST_PAIRS, from_pairs, undecided
from harness.gate.repository import Checkout, CheckoutFailed, Repository
from harness.gate.results import REFUSED, CellRun
from harness.model.gate import Comparison, Measure
from harness.model.quantities import format_duration
from harness.model.verdict import Verdict
from harness.reporting.words import plural
from harness.scenario import LoadedScenario

__all__ = ["PairRuns", "Suspect", "elsewhere"]

#: The first run in a fresh checkout compiles the app, so it is not counted.
_UNCOUNTED = 1


@dataclass
class Suspect:
    """A cell that looked slower. ``took``: seconds of one run. ``comparisons`` become what pairs say; ``runs``: those made here."""

    cell: GateScenario
    comparisons: list[Comparison]
    took: float
    runs: list[CellRun] = field(default_factory=list)

    @property
    def open(self) -> list[Comparison]:
        """What is still only suspected."""
        return [one for one in self.comparisons if one.outcome == "suspected"]

    def settle(self, measure: Measure, found: Comparison) -> None:
        """One measure is decided."""
        self.comparisons = [found if one.measure == measure else one for one in self.comparisons]

    def leave(self, why: str) -> None:
        """The rest stays suspected, for this reason."""
        self.comparisons = [one.model_copy(update={"why": why}) if one.outcome == "suspected" else one for one in self.comparisons]


@dataclass
class PairRuns:
    """``left``: seconds of the budget. ``check`` raises Interrupted for a signal that came."""

    runner: CellRunner
    repository: Repository
    commit: str
    tolerance: float
    left: Callable[[], float]
    live: Callable[[str], None]
    check: Callable[[], None]

    def decide(self, suspects: Sequence[Suspect]) -> None:
        """Decides what the budget allows; the rest stays suspected, with what would help. The checkout is removed in any case."""
        if why := self._unavailable():
            for suspect in suspects:
                suspect.leave(why)
            return
        affordable = [suspect for suspect in suspects if self._affordable(suspect)]
        if not affordable:
            return
        try:
            with self.repository.checkout(self.commit) as checkout, contextlib.ExitStack() as ends:
                ends.callback(self.runner.leave)
                for suspect in affordable:
                    if self._affordable(suspect):
                        self._decide(suspect, checkout)
        except CheckoutFailed as exc:
            for suspect in affordable:
                suspect.leave(str(exc))

    def _unavailable(self) -> str:
        if not self.commit:
            return "the baseline was made without git, so its commit cannot be run beside this one"
        if self.commit.endswith("+"):
            return "the baseline was made of files that were not committed: accept one from a clean commit, then both can be run in turn"
        return self.repository.why

    def _affordable(self, suspect: Suspect) -> bool:
        needed = (2 * FEWEST_PAIRS + _UNCOUNTED) * suspect.took
        if needed <= self.left():
            return True
        suspect.leave(
            f"{FEWEST_PAIRS} runs in turn of both commits would take about {format_duration(needed)}, and "
            f"{format_duration(max(0.0, self.left()))} of the budget were left: give it that much more with --budget"
        )
        return False

    def _decide(self, suspect: Suspect, checkout: Checkout) -> None:
        tree, folder = checkout.project, checkout.beside
        if why := elsewhere(suspect.cell.loaded, tree):
            suspect.leave(why)
            return
        self.live(f"{suspect.cell.planned.title}  at the baseline's commit")
        first = self.runner.run_at(suspect.cell, tree, folder)
        if first.exit_code == REFUSED or first.verdict is Verdict.ENVIRONMENT:
            suspect.leave(f"the baseline's commit could not be run: {first.summary}")
            return
        pairs: dict[Measure, list[tuple[float, float]]] = {one.measure: [] for one in suspect.open}
        gone: Counter[Measure] = Counter()
        ended = self._run_pairs(suspect, tree, folder, pairs, gone)
        for one in suspect.open:
            more = gone[one.measure]
            why = f"{plural(more, 'run')} more of this tree than of the baseline's commit had too few tasks for it" if more > 0 else ended
            found = self._judged(one.measure, pairs[one.measure], more)
            suspect.settle(one.measure, found or undecided(one.measure, pairs[one.measure], why, one))

    def _run_pairs(
        self, suspect: Suspect, tree: Path, folder: Path, pairs: dict[Measure, list[tuple[float, float]]], gone: Counter[Measure]
    ) -> str:
        """Fills the pairs; why it ended, in words for a measure that is still open. ``gone``: how many more of this tree's runs lack it."""
        for number in range(1, MOST_PAIRS + 1):
            if 2 * suspect.took > self.left():
                return f"{number - 1} runs in turn did not decide it, and the budget was used up: give it more with --budget"
            self.check()
            self.live(f"{suspect.cell.planned.title}  runs in turn of both commits, {number} of at most {MOST_PAIRS}")
            before, after = self._pair(suspect.cell, tree, folder, swapped=number % 2 == 0)
            suspect.runs.append(after)
            if after.verdict is Verdict.FAIL:
                return "a repetition of it failed"
            for measure, values in pairs.items():
                one, other = getattr(before.measures, measure), getattr(after.measures, measure)
                gone[measure] += (other is None) - (one is None)
                if one is not None and other is not None:
                    values.append((one, other))
            if number == FEWEST_PAIRS:
                for one in suspect.open:
                    if found := self._judged(one.measure, pairs[one.measure], gone[one.measure]):
                        suspect.settle(one.measure, found)
                if not suspect.open:
                    return ""
        return f"{MOST_PAIRS} runs in turn did not decide it: its figures vary more than the tolerance; a longer or denser load would help"

    def _pair(self, cell: GateScenario, tree: Path, folder: Path, *, swapped: bool) -> tuple[CellRun, CellRun]:
        """(the baseline's commit, this tree), the first one first unless ``swapped``: A B, B A, A B, … so that a drift hits both alike."""
        if swapped:
            after = self.runner.run(cell, repetition=True)
            return self.runner.run_at(cell, tree, folder), after
        before = self.runner.run_at(cell, tree, folder)
        return before, self.runner.run(cell, repetition=True)

    def _judged(self, measure: Measure, pairs: Sequence[tuple[float, float]], gone: int) -> Comparison | None:
        """None where more of this tree's runs lack the figure: those that are left are the better ones, and what they say is no answer."""
        return from_pairs(measure, pairs, self.tolerance) if gone <= 0 else None


def elsewhere(loaded: LoadedScenario, tree: Path) -> str:
    """Why the app of the checkout would not be the one that is imported; '' where it is.

    The folder of the project comes first on the path of every child, before whatever is installed.
    """
    system = loaded.scenario.system
    if system.image:
        return f"its app is in the image {system.image}, which both commits would use"
    top = system.app.partition(":")[0].partition(".")[0]
    folders = dict.fromkeys((tree, (tree / system.path).resolve()))
    if any((folder / top).is_dir() or (folder / f"{top}.py").is_file() for folder in folders):
        return ""
    return (
        f"at the baseline's commit there is no {top} in the project's folder or in system.path, so an installed one would be run for both"
    )
