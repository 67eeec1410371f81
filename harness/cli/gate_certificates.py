"""Cells of a gate that run nothing: does the certificate of each task that a scenario explores still hold?"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cli.certify_check import Checked, check_target
from harness.cli.certify_subjects import Asked, Target, targets_of
from harness.cli.certify_tell import call_of
from harness.cli.gate_failures import failed_run
from harness.errors import HarnessError, Interrupted
from harness.explore.certificates import certificate_settings
from harness.gate.plan import PlannedCell, plan_certificate
from harness.gate.results import CellRun
from harness.gate.settings import GateSettings
from harness.model.verdict import EXIT_CODES, Verdict
from harness.ports.clock import MonotonicClock
from harness.reporting.words import shortened
from harness.run.folders import new_run_folder, settle_folder
from harness.scenario import LoadedScenario

__all__ = ["CertificateRuns", "Explored", "planned_certificates"]

#: Characters of a summary.
_LONGEST = 600


@dataclass(frozen=True, slots=True)
class Explored:
    """One task that a scenario explores. ``number``: of the item in its scenario, from 0."""

    asked: Asked
    target: Target
    number: int

    def replay(self) -> str:
        """The command that looks again."""
        file, task = self.target.name, self.target.items[self.number].subject.task
        return shlex.join(["celery-harness", "certify", "--check", file, "--task", task])


def planned_certificates(
    loaded: LoadedScenario, root: Path, settings: GateSettings, taken: Sequence[str]
) -> list[tuple[PlannedCell, Explored]]:
    """One for each task that the file explores. ``taken``: keys of other cells. ScenarioError where they cannot be explored."""
    asked = Asked(
        targets=(),
        task="",
        args=None,
        kwargs=None,
        limit={},
        folder=certificate_settings(root).folder,
        own_folder=False,
        reports=root / settings.reports,
        seed=settings.seed,
        as_json=False,
        root=root,
    )
    (target,) = targets_of(asked, [str(loaded.path)], root)
    found: list[tuple[PlannedCell, Explored]] = []
    for number, item in enumerate(target.items):
        subject, line = item.subject, item.where.rsplit(":", 2)[1:2]
        keys = [*taken, *(cell.key for cell, _ in found)]
        at = int(line[0]) if line and line[0].isdecimal() else None
        planned = plan_certificate(target.loaded, call_of(subject), at, root=root, beside=len(target.items), taken=keys)
        found.append((planned, Explored(asked, target, number)))
    return found


class CertificateRuns:
    """Looks at all certificates of a file with the first of its cells; the others have their answers then."""

    def __init__(self, reports: Path, live: Callable[[str], None]) -> None:
        self._reports, self._live = reports, live
        self._known: dict[str, Sequence[Checked] | CellRun] = {}

    def run(self, explored: Explored) -> CellRun:
        """What the cell shows. Raises Interrupted."""
        clock = MonotonicClock()
        begun = clock.now()
        file = str(explored.target.loaded.path)
        if file not in self._known:
            self._known[file] = self._look(explored)
        known, took = self._known[file], clock.now() - begun
        return known if isinstance(known, CellRun) else _judged(known[explored.number], took)

    def _look(self, explored: Explored) -> Sequence[Checked] | CellRun:
        clock = MonotonicClock()
        begun = clock.now()
        run_id, folder = new_run_folder(self._reports)
        try:
            return check_target(explored.asked, explored.target, run_id, folder, self._live)
        except Interrupted:
            raise
        except HarnessError as exc:
            return failed_run(exc, clock.now() - begun, _LONGEST)
        finally:
            settle_folder(self._reports, folder)


def _judged(checked: Checked, took: float) -> CellRun:
    if checked.state == "holds":
        return CellRun(Verdict.PASS, 0, took, f"The certificate holds.{f' {checked.note}.' if checked.note else ''}")
    told = shortened(f"The certificate is {checked.reason}. Renew it: {checked.remedy}", _LONGEST)
    return CellRun(Verdict.FAIL, EXIT_CODES[Verdict.FAIL], took, told)
