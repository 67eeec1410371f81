"""What `explore` does with its answers: load, start the system, explore task by task, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.explore_items import Wanted, items_of, loaded_scenario
from harness.cli.explore_saved import with_saved_flaws
from harness.cli.explore_system import explore_item, exploring_system
from harness.cli.explore_tell import show, shown, told_of, write
from harness.errors import Interrupted
from harness.model.scenario import ExploreItem

if TYPE_CHECKING:
    from harness.ports.runtime import LiveSystem
    from harness.reporting.exploration_files import Told
    from harness.run.signals import InterruptGuard
    from harness.scenario import LoadedScenario

__all__ = ["run_explorations"]

_EXITS = {"certified": 0, "fails": 1, "inconclusive": 4}
_WORST = (1, 4, 0)


def run_explorations(wanted: Wanted) -> int:
    """All tasks that are wanted; the exit code over all: 1, 4, 0 in this order."""
    from harness.run.folders import new_run_folder, settle_folder
    from harness.run.signals import InterruptGuard

    run_id, folder = new_run_folder(wanted.reports)
    found: list[Told] = []
    try:
        loaded = loaded_scenario(wanted, folder)
        items = items_of(wanted, loaded)
        with InterruptGuard() as guard, exploring_system(loaded, run_id, folder) as system:
            for number, item in enumerate(items):
                found.append(_one(wanted, loaded, item, system, guard, folder, first=number == 0))
                write(found, folder)
            system.came_to_its_end()
    except Interrupted as exc:
        if not found:
            exc.what = "interrupted: everything was stopped; nothing was concluded"
        raise
    finally:
        settle_folder(wanted.reports, folder)
    codes = {_EXITS[one.found.verdict] for one in found}
    return next(code for code in _WORST if code in codes)


def _one(
    wanted: Wanted, loaded: LoadedScenario, item: ExploreItem, system: LiveSystem, guard: InterruptGuard, folder: Path, *, first: bool
) -> Told:
    with shown(wanted, item, first=first) as say:
        found = explore_item(loaded, item, system, say=say, check=guard.check, points=wanted.points)
    told = told_of(with_saved_flaws(found, loaded, item, folder), wanted)
    show(told, wanted, folder)
    return told
