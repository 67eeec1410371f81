"""`load --find-capacity`: trials until the interval is narrow enough, or the budget is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.load.search import CapacitySearch, Goal, budget_text
from harness.load.search_streams import total_rate
from harness.model.quantities import format_rate
from harness.model.searching import Trial

if TYPE_CHECKING:
    from harness.cli.load_search import SearchRun

__all__ = ["find_capacity", "goal_of"]

_HIGHEST = 100_000.0


def goal_of(run: SearchRun) -> Goal:
    """What is searched. UsageError for a start below what a trial can tell."""
    asked = run.asked
    start = asked.start_rate or min(total_rate(run.loaded.scenario.load), asked.max_rate or _HIGHEST)
    lowest = run.trials.lowest
    if (asked.max_rate or _HIGHEST) < lowest:
        raise UsageError(f"--max-rate is below {format_rate(lowest)}, the least that a trial of a minute can tell")
    return Goal(
        start=max(start, lowest),
        lowest=lowest,
        highest=asked.max_rate or _HIGHEST,
        confidence=asked.confidence,
        precision=asked.precision,
        at_least=asked.at_least,
    )


def find_capacity(run: SearchRun) -> None:
    """Trial by trial; what is known is kept in ``run.found`` after each, so that a signal loses nothing."""
    search = CapacitySearch(goal_of(run))
    while (rate := search.next()) is not None:
        run.check()
        if run.trials.trials and run.spent() + _expected(run, rate) > run.asked.budget:
            search.stop("budget", budget_text(run.asked.budget))
            break
        trial = run.trials.trial(rate)
        search.add(rate, trial.outcome)
        run.found["capacity"] = search.capacity()
        run.telling.trial(trial)
    run.found["capacity"] = search.capacity()
    if search.stopped:
        run.notes.append(search.stopped)


def _expected(run: SearchRun, rate: float) -> float:
    """Seconds that the next trial takes: what the slowest of the last three took beside its load, and its own load."""
    last: list[Trial] = run.trials.trials[-3:]
    return max(trial.took - trial.seconds for trial in last) + run.trials.lasts(rate)
