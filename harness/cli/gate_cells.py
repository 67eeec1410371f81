"""The cells of a gate: loaded, planned, and run one at a time in a system that stays warm."""

from __future__ import annotations

import contextlib
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from harness.assembly import RUNTIMES, build_cell, choose_runtime, default_writers, registry
from harness.cli.gate_certificates import CertificateRuns, Explored, planned_certificates
from harness.cli.gate_failures import failed_run
from harness.cli.look import scenario_files
from harness.errors import HarnessError, Interrupted, UsageError
from harness.gate.plan import PlannedCell, keys_of, plan_cell
from harness.gate.results import CellRun, run_of
from harness.gate.settings import GateSettings
from harness.model.gate import Baseline
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.ports.clock import MonotonicClock
from harness.ports.reporter import Progress, Writer
from harness.ports.runtime import Runtime
from harness.reporting.words import headline, sentence, shortened
from harness.run.folders import new_run_folder, settle_folder
from harness.run.runner import run_cell
from harness.scenario import LoadedScenario, check_abilities, load_scenarios

__all__ = ["CellRunner", "GateScenario", "load_plan", "placed", "replay_of", "warm_runner"]

#: Characters of a summary: an environment's failure may bring a whole log; all of it is in the run's own report.
_LONGEST = 400


@dataclass(frozen=True)
class GateScenario:
    """A cell of the plan, ready to run. ``index``: its number in its file's matrix, from 0; -1: there is only one.

    ``explored``: of one that is no run, but looks at a certificate.
    """

    planned: PlannedCell
    loaded: LoadedScenario
    index: int
    explored: Explored | None = None


def load_plan(root: Path, settings: GateSettings, baseline: Baseline | None) -> list[GateScenario]:
    """All cells with one of the tags (no tags: all), in the order of the files. Everything that is wrong is told; the first is raised.

    UsageError where no cell is left; ScenarioError for a cell that overrides the app's settings, unless that is allowed.
    """
    known = registry()
    found: list[tuple[LoadedScenario, int]] = []
    errors: list[HarnessError] = []
    for path in scenario_files(settings.files):
        try:
            cells = load_scenarios(path, known, seed=settings.seed)
        except HarnessError as exc:
            errors.append(exc)
            continue
        for index, loaded in enumerate(cells):
            if settings.tags and not set(settings.tags) & set(loaded.scenario.tags):
                continue
            try:
                check_abilities(loaded, known.runtimes[settings.runtime])
                _check_overrides(loaded, settings)
            except HarnessError as exc:
                errors.append(exc)
            found.append((loaded, index if len(cells) > 1 else -1))
    if errors:
        for extra in errors[1:]:
            click.echo(f"error: {extra}", err=True)
        raise errors[0]
    if not found:
        where = ", ".join(settings.files)
        raise UsageError(
            f"no scenario in {where} has the tag {' or '.join(settings.tags)}",
            hint="add `tags: [ci]` to a scenario, or name others with --tags",
        )
    run = [(loaded, index) for loaded, index in found if not loaded.scenario.only_explores]
    keys = keys_of([loaded for loaded, _ in run], root)
    planned = [
        GateScenario(
            plan_cell(key, loaded, root=root, runtime=settings.runtime, clean=_compares_worlds(loaded), baseline=baseline), loaded, index
        )
        for key, (loaded, index) in zip(keys, run, strict=True)
    ]
    explored = {loaded.path: loaded for loaded, _ in reversed(found) if loaded.scenario.explore}
    for path in sorted(explored):
        keys = [cell.planned.key for cell in planned]
        for cell, one in planned_certificates(explored[path], root, settings, keys):
            planned.append(GateScenario(cell, explored[path], -1, one))
    return planned


def _compares_worlds(loaded: LoadedScenario) -> bool:
    known = registry()
    return any(known.checks[name].needs_clean for name in loaded.checks)


def _check_overrides(loaded: LoadedScenario, settings: GateSettings) -> None:
    config = loaded.scenario.system.config
    if config and not settings.allow_overrides:
        names = f"setting{'s' if len(config) > 1 else ''} {', '.join(config)}"
        what = f"the scenario overrides the app's {names}: what it shows is not the app as it is"
        hint = "set it in the app, or allow it with --allow-overrides"
        raise loaded.error(what, "system", "config", next(iter(config)), hint=hint, key=True)


def replay_of(cell: GateScenario, settings: GateSettings) -> str:
    """The command that repeats it."""
    if cell.explored is not None:
        return cell.explored.replay()
    command = ["celery-harness", "run", cell.planned.file, "--runtime", settings.runtime]
    command += ["--cell", str(cell.index)] if cell.index >= 0 else []
    command += ["--seed", str(settings.seed)] if settings.seed is not None else []
    return shlex.join(command)


class _Watch:
    """A run's listener: moves the live line, and keeps the result, a partial one too."""

    def __init__(self, live: Callable[[str], None]) -> None:
        self._live = live
        self.key = self.title = ""
        self.result: RunResult | None = None
        self.folder: Path | None = None

    def begun(self, title: str, environment: str) -> None:
        """The title is known already."""

    def progress(self, event: Progress) -> None:
        """Phase and text."""
        self._live(f"{self.title}  {event.phase}  {event.text}")

    def finished(self, result: RunResult, folder: Path) -> None:
        """Kept."""
        self.result, self.folder = result, folder


class CellRunner:
    """Runs cells of this tree, and of another one. ``root``: the project's folder. What it keeps warm, `close` stops."""

    def __init__(self, runtime: str, root: Path, reports: Path, live: Callable[[str], None]) -> None:
        self._name, self._root, self._reports = runtime, root, reports
        self._here = choose_runtime(runtime)
        self._here.keep()
        self._there: Runtime | None = None
        self._watch = _Watch(live)
        self._certificates = CertificateRuns(reports, live)

    def run(self, cell: GateScenario, *, repetition: bool = False) -> CellRun:
        """Once. The report of a ``repetition`` that passed is not kept. Raises Interrupted; see `interrupted_run`."""
        if cell.explored is not None:
            return self._certificates.run(cell.explored)
        done = self._run(cell, cell.loaded, self._here, self._root, self._reports, default_writers(), repetition=repetition)
        if repetition and done.verdict is Verdict.PASS and done.folder is not None:
            shutil.rmtree(done.folder, ignore_errors=True)
            return replace(done, folder=None)
        return done

    def run_at(self, cell: GateScenario, root: Path, reports: Path) -> CellRun:
        """Once, with the app of another tree: no report. Until `leave` all such runs are of the same tree and reports.

        They have a runtime of their own, since what is kept warm (containers) has the folders of its tree.
        """
        if self._there is None:
            self._there = RUNTIMES[self._name][0]()
            self._there.keep()
        return self._run(cell, placed(cell.loaded, self._root), self._there, root, reports, [], repetition=True)

    def leave(self) -> None:
        """Stop what was kept for the other tree; also twice, never raises."""
        there, self._there = self._there, None
        if there is not None:
            there.close()

    def close(self) -> None:
        """Stop everything that was kept; also twice, never raises."""
        self.leave()
        self._here.close()

    def interrupted_run(self, cell: GateScenario) -> CellRun | None:
        """What the run of this cell that was interrupted had shown by then, if that was a failure."""
        result = self._watch.result
        if result is None or self._watch.key != cell.planned.key or result.verdict is not Verdict.FAIL:
            return None
        return run_of(result, self._watch.folder, headline(result))

    def _run(
        self,
        cell: GateScenario,
        loaded: LoadedScenario,
        runtime: Runtime,
        root: Path,
        reports: Path,
        writers: list[Writer],
        *,
        repetition: bool,
    ) -> CellRun:
        clock = MonotonicClock()
        begun = clock.now()
        run_id, folder = new_run_folder(reports)
        self._watch.key, self._watch.title, self._watch.result = cell.planned.key, cell.planned.title, None
        try:
            result = run_cell(
                build_cell(loaded, root, clock),
                runtime,
                run_id=run_id,
                folder=folder,
                clock=clock,
                listener=self._watch,
                writers=writers,
            )
        except Interrupted:
            raise
        except HarnessError as exc:
            return failed_run(exc, clock.now() - begun, _LONGEST)
        finally:
            if not repetition or not (folder / "result.json").exists():
                settle_folder(reports, folder)
        return run_of(result, folder, _summary(result))


def _summary(result: RunResult) -> str:
    """Why the verdict is what it is, in a line."""
    told = headline(result) if result.verdict in (Verdict.PASS, Verdict.FAIL) else f"{headline(result)} {sentence(result)}"
    return shortened(" ".join(told.split()), _LONGEST)


def placed(loaded: LoadedScenario, root: Path) -> LoadedScenario:
    """With its interpreter's path made absolute: a virtual environment lies in the working tree only."""
    system = loaded.scenario.system
    if "/" not in system.python or Path(system.python).is_absolute():
        return loaded
    system = system.model_copy(update={"python": str(root / system.python)})
    return replace(loaded, scenario=loaded.scenario.model_copy(update={"system": system}))


@contextlib.contextmanager
def warm_runner(runtime: str, root: Path, reports: Path, live: Callable[[str], None]) -> Iterator[CellRunner]:
    """A runner that keeps what it can between cells, until the end. EnvironmentFault where the runtime cannot be used here."""
    with contextlib.closing(CellRunner(runtime, root, reports, live)) as runner:
        yield runner
