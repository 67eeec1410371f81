"""What `explore` does with its answers: load, start systems, explore task by task or several at a time, report."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.explore_items import Wanted, items_of, loaded_scenario
from harness.cli.explore_saved import with_saved_flaws
from harness.cli.explore_system import exploring
from harness.cli.explore_tell import Teller, told_of, write
from harness.errors import Interrupted, TaskRefused
from harness.model.scenario import ExploreItem

if TYPE_CHECKING:
    from harness.model.exploration import Exploration
    from harness.reporting.exploration_files import Told
    from harness.run.signals import InterruptGuard
    from harness.scenario import LoadedScenario

__all__ = ["run_explorations"]

_EXITS = {"certified": 0, "fails": 1, "inconclusive": 4}
_REFUSED = 2
_WORST = (1, _REFUSED, 4, 0)
#: Seconds between two reports of what is known so far: each is written whole.
_REPORT_SECONDS = 10.0


def run_explorations(wanted: Wanted) -> int:
    """All tasks that are wanted; the exit code over all: 1, 2, 4, 0 in this order. TaskRefused where that is all there is to say."""
    from harness.cli.explore_lanes import processors
    from harness.run.folders import new_run_folder, settle_folder
    from harness.run.signals import InterruptGuard

    run_id, folder = new_run_folder(wanted.reports)
    report, refused = _Report(folder), False
    try:
        loaded = loaded_scenario(wanted, folder)
        items = items_of(wanted, loaded)
        lanes = min(wanted.jobs or processors(), len(items))
        with InterruptGuard() as guard, closing(Teller(wanted, folder)) as teller:
            asked = _Asked(loaded, items, wanted.points, run_id, folder, guard, teller)
            with closing(asked.side_by_side(lanes) if lanes > 1 else asked.one_by_one()) as explored:
                for item, found in zip(items, explored, strict=True):
                    if isinstance(found, TaskRefused):
                        if len(items) == 1:
                            raise found
                        teller.refuse(found)
                        refused = True
                        continue
                    told = told_of(with_saved_flaws(found, loaded, item, folder), wanted)
                    teller.end(told)
                    report.add(told)
    except Interrupted as exc:
        if not report.told:
            exc.what = "interrupted: everything was stopped; nothing was concluded"
        raise
    finally:
        report.close()
        settle_folder(wanted.reports, folder)
    codes = {_EXITS[one.found.verdict] for one in report.told} | ({_REFUSED} if refused else set())
    return next(code for code in _WORST if code in codes)


class _Report:
    """Of all that is known so far; not after each of many tasks, since it is written whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.told: list[Told] = []
        self._written = 0
        self._at = 0.0

    def add(self, told: Told) -> None:
        """One more."""
        self.told.append(told)
        if time.monotonic() - self._at > _REPORT_SECONDS:
            self.close()

    def close(self) -> None:
        """All of it is written; also twice."""
        if self._written < len(self.told):
            write(self.told, self._folder)
            self._written, self._at = len(self.told), time.monotonic()


@dataclass(frozen=True)
class _Asked:
    """What is explored, for which run, and who hears of it."""

    loaded: LoadedScenario
    items: Sequence[ExploreItem]
    points: str
    run_id: str
    folder: Path
    guard: InterruptGuard
    teller: Teller

    def one_by_one(self) -> Generator[Exploration | TaskRefused, None, None]:
        """In one system."""
        with exploring(self.loaded, self.items, self.run_id, self.folder, self.points) as explorer:
            for item in self.items:
                self.teller.begin(item)
                try:
                    yield explorer.explore(item, say=self.teller.say, check=self.guard.check, tell=self.teller.tell)
                except TaskRefused as exc:
                    yield exc

    def side_by_side(self, lanes: int) -> Generator[Exploration | TaskRefused, None, None]:
        """So many at a time, each in a system of its own; told in order."""
        from harness.cli.explore_lanes import Lanes

        running = Lanes(self.loaded, self.items, lanes, self.run_id, self.folder, self.points, says=self.teller.is_seen)
        with closing(running):
            for number, item in enumerate(self.items):
                found: Exploration | TaskRefused
                try:
                    found = running.result(number, say=self.teller.say, check=self.guard.check)
                except TaskRefused as exc:
                    found = exc
                self.teller.begin(item)
                yield found
