"""Runs from Python: live ones, and scenarios given as values. Servers and containers are kept from one to the next."""

from __future__ import annotations

import contextlib
import linecache
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.assembly import build_cell, choose_runtime, default_writers, registry, wanted_runtime
from harness.errors import EnvironmentFault, Interrupted, ScenarioError
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.ports.check import CleanPass
from harness.ports.clock import Clock, MonotonicClock
from harness.ports.reporter import Listener, Writer
from harness.ports.runtime import Runtime
from harness.run.course import Cell
from harness.run.folders import new_run_folder, settle_folder
from harness.run.live_run import LiveRun
from harness.run.runner import run_cell
from harness.run.signals import signals_wait
from harness.runtimes.shared.leftovers import claimed_folder
from harness.scenario import LoadedScenario, ScenarioErrors, check_abilities, load_scenarios
from harness.scenario.loader import written_out
from harness.scenario.references import parts_of
from harness.testing.configuration import Configuration, merged
from harness.testing.outcomes import Terminated

if TYPE_CHECKING:
    from harness.testing.exploring import Explorations

__all__ = ["Workshop", "loaded_plan"]

#: Stands where a scenario needs a load, until there is one.
_NO_LOAD = {"load": [{"send": "none", "count": 1}]}


class _UnlessPassed:
    """All writers as one that writes nothing that would be removed at once."""

    name: ClassVar[str] = "unless passed"
    filename: ClassVar[str] = "result.json"

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers

    def write(self, result: RunResult, folder: Path) -> Path:
        """Every file, but for a result that passed."""
        if result.verdict is not Verdict.PASS:
            for writer in self._writers:
                writer.write(result, folder)
        return folder / self.filename


class Workshop:
    """One for many tests. `close` stops all that was kept; also twice.

    ``listener``: makes one per run. ``keep_passed``: whether the reports of runs that passed stay.
    """

    def __init__(self, listener: Callable[[], Listener], *, keep_passed: bool = True) -> None:
        self._listener = listener
        self._keep_passed = keep_passed
        self._kept: list[Runtime] = []
        self._clock: Clock = MonotonicClock()
        self._explorations: Explorations | None = None

    def run(self, configuration: Configuration, parts: Mapping[str, Any], *, name: str, clean: list[CleanPass] | None = None) -> RunResult:
        """One scenario: the configuration with ``parts`` (load and timeline, or schedule; checks, …), run and judged as from a file.

        ``clean``: see `run_cell`.
        """
        run_id, folder = self._folder(configuration)
        file, result = _plan_file(folder, name), None
        try:
            with _placing(configuration, file):
                result = self._judged(_load(configuration, parts, file), configuration, run_id, folder, clean)
            return result
        finally:
            self._settle(configuration, folder, result)

    def run_loaded(self, loaded: LoadedScenario, configuration: Configuration) -> RunResult:
        """One cell of a file, with the configuration's runtime, project and reports."""
        run_id, folder = self._folder(configuration)
        result = None
        try:
            result = self._judged(loaded, configuration, run_id, folder)
            return result
        finally:
            self._settle(configuration, folder, result)

    def live(
        self,
        configuration: Configuration,
        *,
        name: str,
        parts: Mapping[str, Any] | None = None,
        clean: list[CleanPass] | None = None,
    ) -> LiveRun:
        """One that is steered, not open yet. ``parts``: further keys of a scenario. ``clean``: see `LiveRun`.

        Whatever becomes of it, `settle` its folder at the end.
        """
        run_id, folder = self._folder(configuration)
        file, given = _plan_file(folder, name), dict(parts or {})

        def settled(more: Mapping[str, Any]) -> Cell:
            return build_cell(_load(configuration, {**given, **more}, file), configuration.root, self._clock)

        try:
            with _placing(configuration, file):
                loaded = _load(configuration, {**given, **_NO_LOAD}, file)
                if links := _links(loaded):
                    loaded = _load(configuration, {**given, **_NO_LOAD, "timeline": links}, file)
                drawn = build_cell(loaded, configuration.root, self._clock)
                draft = replace(drawn, scenario=loaded.scenario.model_copy(update={"load": (), "timeline": ()}), calls=(), load_seconds=0.0)
                return LiveRun(
                    draft,
                    self._runtime(loaded, configuration),
                    settled,
                    run_id=run_id,
                    folder=folder,
                    clock=self._clock,
                    listener=self._listener(),
                    writers=self._writers(),
                    clean=clean,
                )
        except BaseException:
            self._settle(configuration, folder, None)
            raise

    def opened(
        self,
        configuration: Configuration,
        *,
        name: str,
        parts: Mapping[str, Any] | None = None,
        clean: list[CleanPass] | None = None,
    ) -> LiveRun:
        """As `live`, and ready for the first step. Where it does not get ready, nothing of it is left but a report of why."""
        run = self.live(configuration, name=name, parts=parts, clean=clean)
        try:
            with _placing(configuration, _plan_file(run.folder, name)):
                run.open()
        except BaseException as exc:
            if isinstance(exc, EnvironmentFault):
                run.abandon(error=exc)
            self.settle(configuration, run)
            raise
        return run

    def check_step(self, configuration: Configuration, parts: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        """ScenarioError for a fault that a schedule of this system could not hold: a target that is not there, a point that is none."""
        with claimed_folder("step") as folder:
            file = folder / "step.yaml"
            with _placing(configuration, file):
                loaded = _load(configuration, {**parts, "schedule": [dict(step), {"send": "none"}]}, file)
                check_abilities(loaded, registry().runtimes[wanted_runtime(loaded, configuration.runtime)])

    @property
    def explorations(self) -> Explorations:
        """On a system beside those of runs."""
        if self._explorations is None:
            from harness.testing.exploring import Explorations

            self._explorations = Explorations(self._clock, keep_passed=self._keep_passed)
        return self._explorations

    def settle(self, configuration: Configuration, run: LiveRun) -> None:
        """A live run is over: its folder stays where it has a result that somebody may want to read."""
        run.close()
        self._settle(configuration, run.folder, run.result)

    def report_folder(self, configuration: Configuration, result: RunResult) -> Path | None:
        """Of a run that is over; None where it was not kept."""
        folder = self._reports(configuration) / result.run_id
        return folder if folder.is_dir() else None

    def close(self) -> None:
        """Stop what was kept, whatever signal comes meanwhile; then it is what it would have been."""
        kept, self._kept = self._kept, []
        explorations, self._explorations = self._explorations, None
        with signals_wait():
            if explorations is not None:
                explorations.close()
            for runtime in kept:
                runtime.close()

    def _judged(
        self, loaded: LoadedScenario, configuration: Configuration, run_id: str, folder: Path, clean: list[CleanPass] | None = None
    ) -> RunResult:
        cell = build_cell(loaded, configuration.root, self._clock)
        try:
            return run_cell(
                cell,
                self._runtime(loaded, configuration),
                run_id=run_id,
                folder=folder,
                clock=self._clock,
                listener=self._listener(),
                writers=self._writers(),
                clean=clean,
            )
        except Interrupted as exc:
            raise (Terminated if exc.signal_number == signal.SIGTERM else KeyboardInterrupt)(str(exc)) from None

    def _writers(self) -> Sequence[Writer]:
        return default_writers() if self._keep_passed else [_UnlessPassed(default_writers())]

    @staticmethod
    def _reports(configuration: Configuration) -> Path:
        return configuration.root / configuration.reports

    def _folder(self, configuration: Configuration) -> tuple[str, Path]:
        return new_run_folder(self._reports(configuration))

    def _settle(self, configuration: Configuration, folder: Path, result: RunResult | None) -> None:
        if result is not None and result.verdict is Verdict.PASS and not self._keep_passed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            settle_folder(self._reports(configuration), folder)

    def _runtime(self, loaded: LoadedScenario, configuration: Configuration) -> Runtime:
        name = wanted_runtime(loaded, configuration.runtime)
        check_abilities(loaded, registry().runtimes[name])
        runtime = choose_runtime(name)
        if runtime not in self._kept:
            runtime.keep()
            self._kept.append(runtime)
        return runtime


@contextlib.contextmanager
def loaded_plan(configuration: Configuration, parts: Mapping[str, Any], file: Path) -> Iterator[LoadedScenario]:
    """The configuration with ``parts``, written to ``file`` and read from there. Errors in it name who configured it."""
    with _placing(configuration, file):
        yield _load(configuration, parts, file)


def _links(loaded: LoadedScenario) -> list[dict[str, Any]]:
    """A proxy stands where a fault of the timeline may want one: in a live run that is before every service with an address."""
    parts = parts_of(loaded.tree)
    reachable = [name for name, offered in parts.offers(registry()).items() if name in parts.services and "host" in offered]
    return [{"at": 0, "fault": "net.partition", "between": [group, name]} for group in parts.groups for name in reachable]


def _plan_file(folder: Path, name: str) -> Path:
    """Where the run saves its plan as well."""
    path = folder / "plans" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    return path


def _load(configuration: Configuration, parts: Mapping[str, Any], file: Path) -> LoadedScenario:
    """By way of a file, so that values are read and refused as they are everywhere."""
    pinned = {} if configuration.runtime == "auto" else {"runtime": configuration.runtime}  # whoever runs the plan again gets the same
    document = {"version": 1, **pinned, **merged(configuration.document, parts)}
    file.write_text(written_out(_plain(document)), encoding="utf-8")
    (loaded,) = load_scenarios(file, registry())
    return loaded


@contextlib.contextmanager
def _placing(configuration: Configuration, file: Path) -> Iterator[None]:
    """Errors in a plan name who configured it, with the line of the plan: its file means nothing to a reader, and is gone."""
    try:
        yield
    except ScenarioErrors as exc:
        raise ScenarioErrors([_placed(error, configuration.where, file) for error in exc.errors]) from None
    except ScenarioError as exc:
        raise _placed(exc, configuration.where, file) from None


def _placed(error: ScenarioError, where: str, file: Path) -> ScenarioError:
    line = error.where.removeprefix(f"{file}:").partition(":")[0]
    if not error.where.startswith(f"{file}:") or not line.isdigit():
        return error
    linecache.checkcache(str(file))
    text = linecache.getline(str(file), int(line)).strip()
    return ScenarioError(error.what, where=f"{where}, at `{text}`" if text else where, hint=error.hint)


def _plain(value: Any) -> Any:
    """Tuples as lists; what YAML cannot say is said by the dumper."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(inner) for inner in value]
    return value
