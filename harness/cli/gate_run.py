"""One gate from plan to reports: cells within the budget, samples, comparison with the baseline, verdict."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from harness.cli.gate_cells import CellRunner, GateScenario, load_plan, replay_of, warm_runner
from harness.cli.gate_console import GateConsole, GateJson, Telling
from harness.cli.gate_failures import failed_run
from harness.cli.gate_pairs import PairRuns, Suspect
from harness.errors import EnvironmentFault, Interrupted
from harness.gate.compare import against_samples, not_compared
from harness.gate.files import read_baseline
from harness.gate.plan import PlannedCell, most_valuable_first, shard_of
from harness.gate.repository import Repository
from harness.gate.results import CellRun, decide, gate_cell
from harness.gate.settings import GateSettings
from harness.model.gate import Baseline, Comparison, GateCell, GateResult, LeftOut, Shard
from harness.model.quantities import format_duration
from harness.model.verdict import Verdict, combine
from harness.ports.clock import Clock, MonotonicClock
from harness.ports.machine import processor
from harness.reporting.gate_files import remove_gate_reports, write_gate_reports
from harness.reporting.words import plural
from harness.run.signals import InterruptGuard
from harness.runtimes.shared.leftovers import claim

__all__ = ["gate_folder", "machine", "run_gate"]

#: A run that took this much longer than estimated is told of.
_LONGER = 1.5
#: Letters of what kept a cell from a verdict.
_LONGEST = 300


def gate_folder(reports: Path) -> Path:
    """Where a gate writes, beside the runs."""
    return reports / "gate"


def machine() -> str:
    """What timings depend on: ``Intel(R) Xeon(R) CPU @ 2.20GHz, 2 cores, Linux x86_64``."""
    return f"{processor()}, {platform.system()} {platform.machine()}"


def run_gate(root: Path, settings: GateSettings, shard: Shard | None, *, as_json: bool = False) -> GateResult:
    """All of it; the result is written, and told on standard output.

    UsageError or ScenarioError for bad input, before anything starts. A signal ends it with a partial result that says so.
    """
    remove_gate_reports(gate_folder(root / settings.reports))
    baseline_file = root / settings.baseline
    baseline = read_baseline(baseline_file)
    cells = load_plan(root, settings, baseline)
    ordered = most_valuable_first(cell.planned for cell in cells)
    mine = shard_of(ordered, shard)
    repository = Repository(root, claim)
    commit = repository.state(ignoring=[baseline_file, root / settings.reports])
    telling: Telling = GateJson() if as_json else GateConsole()
    gate = _Gate(root, settings, shard, ordered, {c.planned.key: c for c in cells}, baseline, repository, telling)
    try:
        telling.begun(_head(len(mine), len(ordered), settings, shard, baseline, commit))
        result = gate.go(mine, commit)
        files = write_gate_reports(result, gate.folder, os.environ, out=sys.stderr if as_json else sys.stdout)
        telling.finished(result, files)
    finally:
        telling.close()
    return result


def _head(mine: int, all_cells: int, settings: GateSettings, shard: Shard | None, baseline: Baseline | None, commit: str) -> str:
    part = f", shard {shard.index} of {shard.count} of {plural(all_cells, 'cell')}" if shard else ""
    against = f"baseline {_short(baseline.commit)}" if baseline else "no baseline"
    return (
        f"{plural(mine, 'cell')}{part}, budget {format_duration(settings.budget)}, {settings.runtime}, commit {_short(commit)}, {against}"
    )


def _short(commit: str) -> str:
    return commit[:9] + ("+" if commit.endswith("+") else "") if commit else "unknown"


class _Gate:
    """What was learnt so far, and the steps in order."""

    def __init__(
        self,
        root: Path,
        settings: GateSettings,
        shard: Shard | None,
        plan: Sequence[PlannedCell],
        cells: dict[str, GateScenario],
        baseline: Baseline | None,
        repository: Repository,
        telling: Telling,
    ) -> None:
        self.root, self.settings, self.shard, self.plan = root, settings, shard, plan
        self.cells, self.baseline, self.repository, self.telling = cells, baseline, repository, telling
        self.reports = root / settings.reports
        self.folder = gate_folder(self.reports)
        self.machine = machine()
        self.clock: Clock = MonotonicClock()
        self.begun = self.clock.now()
        self.runs: dict[str, list[CellRun]] = {}
        self.left_out: dict[str, LeftOut] = {}
        self.comparisons: dict[str, Sequence[Comparison]] = {}
        self.repeated: dict[str, list[CellRun]] = {}
        self.notes: list[str] = []
        self.interrupted = 0

    def left(self) -> float:
        """Seconds of the budget."""
        return self.settings.budget - (self.clock.now() - self.begun)

    def go(self, mine: Sequence[PlannedCell], commit: str) -> GateResult:
        """Run, compare, decide."""
        started = datetime.fromtimestamp(self.clock.wall(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._say_what_is_missing()
        with InterruptGuard() as guard:
            try:
                with warm_runner(self.settings.runtime, self.root, self.reports, self.telling.live) as runner:
                    self._run(runner, mine, guard)
            except EnvironmentFault as exc:
                self._nothing_runs(mine, exc)
        if guard.received and not self.interrupted:  # it came while all was taken down
            self.interrupted = guard.received
        self._note_overruns()
        return self._result(started, commit)

    def _run(self, runner: CellRunner, mine: Sequence[PlannedCell], guard: InterruptGuard) -> None:
        try:
            for cell in mine:
                guard.check()
                self._first_run(runner, cell)
            self._more_samples(runner, mine, guard)
            self._compare(runner, guard)
            guard.check()
        except Interrupted as exc:
            self._stopped(runner, mine, exc)

    def _nothing_runs(self, mine: Sequence[PlannedCell], exc: EnvironmentFault) -> None:
        """The environment lets no cell run, not this one or that: all that have not run show it. Raises where all had."""
        spared = [cell for cell in mine if cell.key not in self.runs and cell.key not in self.left_out]
        if not spared:
            raise exc
        for cell in spared:
            self.runs[cell.key] = [failed_run(exc, 0.0, _LONGEST)]
            self.telling.cell(self._cell(cell))

    def _first_run(self, runner: CellRunner, cell: PlannedCell) -> None:
        left = self.left()
        if cell.estimate > left:
            why = f"it takes about {format_duration(cell.estimate)}, and {format_duration(max(0.0, left))} of the budget were left"
            self.left_out[cell.key] = _left_out(cell, why)
            return
        self.runs[cell.key] = [runner.run(self.cells[cell.key])]
        self.telling.cell(self._cell(cell))

    def _more_samples(self, runner: CellRunner, mine: Sequence[PlannedCell], guard: InterruptGuard) -> None:
        """Round by round, so that every cell has its second sample before any has its third."""
        short = set()
        for _ in range(1, self.settings.samples):
            for cell in mine:
                runs = self.runs.get(cell.key, [])
                if cell.certificate or not runs or combine(run.verdict for run in runs) is not Verdict.PASS:
                    continue
                guard.check()
                if runs[-1].took > self.left():
                    short.add(cell.key)
                    continue
                runs.append(runner.run(self.cells[cell.key], repetition=True))
                if runs[-1].verdict is not Verdict.PASS:
                    self.telling.cell(self._cell(cell))
        if short:
            self._note(f"the budget did not suffice for {self.settings.samples} samples of {plural(len(short), 'cell')}")

    def _compare(self, runner: CellRunner, guard: InterruptGuard) -> None:
        if self.baseline is None:
            return
        reasons: Counter[str] = Counter()
        one_sided: Counter[str] = Counter()
        suspects: list[Suspect] = []
        for planned in self.plan:
            key = planned.key
            expected = self.baseline.cells.get(key)
            if key not in self.runs or expected is None:
                continue
            cell = self._cell(planned)
            why = not_compared(
                self.baseline, expected, runtime=self.settings.runtime, machine=self.machine, digest=cell.digest, verdict=cell.verdict
            )
            if why:
                reasons[why] += cell.verdict is Verdict.PASS
                continue
            self.comparisons[key] = against_samples(cell.measures, expected.samples, self.settings.tolerance)
            one_sided.update(_one_sided(self.comparisons[key]))
            suspect = Suspect(self.cells[key], list(self.comparisons[key]), cell.took)
            suspects += [suspect] if suspect.open else []
        for why, count in sorted(reasons.items()):
            if count:
                self._note(f"performance of {plural(count, 'cell')} was not compared: {why}")
        for what, count in sorted(one_sided.items()):
            self._note(f"{what} ({plural(count, 'cell')})")
        self._decide(suspects, runner, guard)

    def _decide(self, suspects: Sequence[Suspect], runner: CellRunner, guard: InterruptGuard) -> None:
        """Runs in turn of both commits, where they are wanted; what they showed counts even when a signal ends them."""
        assert self.baseline is not None
        for suspect in suspects:
            self.repeated[suspect.cell.planned.key] = suspect.runs
        pairs = PairRuns(runner, self.repository, self.baseline.commit, self.settings.tolerance, self.left, self.telling.live, guard.check)
        try:
            if self.settings.confirm:
                pairs.decide(suspects)
            else:
                for suspect in suspects:
                    suspect.leave("runs in turn of both commits would decide it: leave out --no-confirm")
        finally:
            for suspect in suspects:
                self.comparisons[suspect.cell.planned.key] = suspect.comparisons
        for suspect in suspects:
            if any(run.verdict is Verdict.FAIL for run in suspect.runs):
                self.telling.cell(self._cell(suspect.cell.planned))

    def _stopped(self, runner: CellRunner, mine: Sequence[PlannedCell], exc: Interrupted) -> None:
        """Whatever did not run is left out; a cell that had failed before the signal came has failed."""
        self.interrupted = exc.signal_number
        for cell in mine:
            if cell.key in self.runs or cell.key in self.left_out:
                continue
            known = runner.interrupted_run(self.cells[cell.key])
            if known is not None:
                self.runs[cell.key] = [known]
            else:
                self.left_out[cell.key] = _left_out(cell, "the gate was interrupted")
        self._note("the gate was interrupted: this result is partial")

    def _say_what_is_missing(self) -> None:
        if all(cell.certificate for cell in self.plan):
            return  # nothing is measured
        if self.baseline is None:
            self._note(f"no baseline: {self.settings.baseline} is not there; `celery-harness baseline accept` makes it from this gate")
        if self.repository.why:
            self._note(f"{self.repository.why}: what looks slower cannot be decided by runs in turn of both commits")

    def _note_overruns(self) -> None:
        runs = [c for c in self.plan if c.key in self.runs and not c.certificate]
        late = [c.key for c in runs if self.runs[c.key][0].took > max(_LONGER * c.estimate, c.estimate + 1)]
        if late:
            self._note(f"took much longer than estimated, and counted as they were: {', '.join(sorted(late))}")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.telling.note(text)

    def _cell(self, cell: PlannedCell) -> GateCell:
        return gate_cell(
            cell,
            self.runs[cell.key],
            folder=self.folder,
            replay=replay_of(self.cells[cell.key], self.settings),
            comparisons=self.comparisons.get(cell.key, ()),
            repetitions=self.repeated.get(cell.key, ()),
        )

    def _result(self, started: str, commit: str) -> GateResult:
        cells = sorted((self._cell(cell) for cell in self.plan if cell.key in self.runs), key=lambda cell: cell.key)
        left_out = sorted(self.left_out.values(), key=lambda one: one.key)
        verdict, exit_code = decide(cells, left_out, require_all=self.settings.require_all, interrupted=self.interrupted)
        return GateResult(
            commit=commit,
            runtime=self.settings.runtime,
            machine=self.machine,
            started=started,
            took=round(self.clock.now() - self.begun, 3),
            budget=self.settings.budget,
            seed=self.settings.seed,
            shard=self.shard,
            require_all=self.settings.require_all,
            plan=tuple(sorted(cell.key for cell in self.plan)),
            cells=tuple(cells),
            left_out=tuple(left_out),
            notes=tuple(self.notes),
            baseline=self.baseline.commit if self.baseline else "",
            verdict=verdict,
            exit_code=exit_code,
        )


def _one_sided(comparisons: Sequence[Comparison]) -> list[str]:
    """In words: figures that only one side has. What neither has was never to be compared."""
    lacking = [one for one in comparisons if one.outcome == "not compared" and (one.before is not None or one.after is not None)]
    return [f"{one.measure} was not compared: {one.why}" for one in lacking]


def _left_out(cell: PlannedCell, why: str) -> LeftOut:
    return LeftOut(key=cell.key, file=cell.file, title=cell.title, estimate=cell.estimate, why=why)
