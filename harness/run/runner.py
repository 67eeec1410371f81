"""One scenario cell from start to report: system, clean passes, load and timeline, drain, checks, result."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from harness.errors import EnvironmentFault, HarnessError, Interrupted, ScenarioError
from harness.model.result import LogTail, Reproduction, RunResult
from harness.passwords import masked, masked_in
from harness.ports.check import CleanPass
from harness.ports.clock import Clock
from harness.ports.reporter import Listener, Progress, Writer
from harness.ports.runtime import LiveSystem, Runtime
from harness.ports.system import LeavesBehind
from harness.run.course import Cell, Course, Notes
from harness.run.signals import InterruptGuard
from harness.run.summary import summarise

__all__ = ["close_system", "report", "run_cell"]


def run_cell(
    cell: Cell,
    runtime: Runtime,
    *,
    run_id: str,
    folder: Path,
    clock: Clock,
    listener: Listener,
    writers: Sequence[Writer],
    keep: bool = False,
    clean: list[CleanPass] | None = None,
) -> RunResult:
    """Run it, judge it, write its report into ``folder``. ``clean``: passes for reference of the very same calls; [] takes them in.

    Bad input is raised as ScenarioError (there is nothing to report on); everything else ends in a result: a failing
    environment with verdict ``environment``, an interruption with a partial report, then raised as `Interrupted`.
    """
    begun, wall = clock.now(), clock.wall()
    plan = replace(cell.system(run_id, folder), say=lambda text: listener.progress(Progress(phase="ready", text=text)))
    notes = Notes(semantics=plan.broker.semantics, clean=[] if clean is None else clean)
    system = runtime.system(plan)
    with InterruptGuard() as guard:
        try:
            Course(cell, system, plan, clock, listener, guard, notes, runtime.name).go()
        except Interrupted as exc:
            notes.stop = exc
        except ScenarioError:
            raise
        except HarnessError as exc:
            notes.error = exc
        finally:
            close_system(system, notes)
        if guard.received and notes.stop is None:  # it came while nothing was asking
            notes.stop = Interrupted(guard.received)
        result = report(system, cell, notes, run_id, folder, wall, clock.now() - begun, runtime.name, writers, keep=keep)
        if guard.received and notes.stop is None:
            notes.stop = Interrupted(guard.received)
    listener.finished(result, Path(_shown(folder)))
    if notes.stop is not None:
        raise notes.stop
    return result


def close_system(system: LiveSystem, notes: Notes) -> None:
    """Stop all of it, and keep what is known of it for the report. Never raises."""
    notes.environment.update(_environment_of(system))
    notes.logs.extend(_tracebacks(system))
    system.close()
    if isinstance(system, LeavesBehind) and system.left and notes.error is None and notes.stop is None:
        why = "; ".join(dict.fromkeys(system.left))
        notes.error = EnvironmentFault(f"not everything could be removed: {why}", hint="`celery-harness clean` removes what is left")


def report(
    system: LiveSystem,
    cell: Cell,
    notes: Notes,
    run_id: str,
    folder: Path,
    wall: float,
    took: float,
    runtime: str,
    writers: Sequence[Writer],
    *,
    keep: bool,
) -> RunResult:
    """The result, and every file of the report. ``wall``: when it began, as time.time() has it; ``took``: seconds."""
    result = _without_passwords(_result(system, cell, notes, run_id, wall, took, runtime, _save_plan(cell, folder, runtime)))
    _write_all(writers, result, folder)
    if not keep:
        _drop_clean_journals(folder)
    return result


def _without_passwords(result: RunResult) -> RunResult:
    """The journals and errors it was made of have none any more; logs and worlds may."""
    text = result.model_dump_json()
    return result if masked(text) is text else masked_in(result)


def _write_all(writers: Sequence[Writer], result: RunResult, folder: Path) -> None:
    try:
        for writer in writers:
            writer.write(result, folder)
    except OSError as exc:
        raise EnvironmentFault(f"the report cannot be written: {exc}", hint="is the disk full?") from exc


def _save_plan(cell: Cell, folder: Path, runtime: str) -> Reproduction:
    """The scenario as it was run, matrix, seed and runtime filled in: one command repeats it from the same working folder."""
    path = folder / "plans" / f"{cell.name}.yaml"
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(_on(runtime, cell.text))
    except OSError as exc:
        raise EnvironmentFault(f"the report cannot be written: {exc}", hint="is the disk full?") from exc
    return Reproduction(title="This run again", command=f"celery-harness run {_shown(path)}")


def _on(runtime: str, text: str) -> str:
    """A plan with its runtime, in the place of what it says of that. Its keys stand at the start of a line (`written_out`)."""
    others = re.sub(r"(?m)^runtime:.*\n", "", text)
    return re.sub(r"(?m)^(version:.*\n)", rf"\1runtime: {runtime}\n", others, count=1)


def _shown(path: Path) -> str:
    """Relative to the working folder where it lies below it."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


def _result(
    system: LiveSystem, cell: Cell, notes: Notes, run_id: str, wall: float, took: float, runtime: str, replay: Reproduction
) -> RunResult:
    return summarise(
        run_id=run_id,
        scenario=cell.scenario,
        name=cell.name,
        file=_shown(cell.file),
        cell=dict(cell.values),
        plan=cell.text,
        seed=cell.seed,
        started=datetime.fromtimestamp(wall, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        took=took,
        runtime=runtime,
        environment=notes.environment,
        overrides=dict(cell.scenario.system.config),
        timings=notes.timings,
        history=notes.history,
        checks=notes.results,
        clean=[c.history for c in notes.clean],
        readings=notes.readings,
        semantics=notes.semantics,
        logs=notes.logs,
        undeclared=system.undeclared(),
        reproduce=(replay, Reproduction(title="These reports again", command=f"celery-harness report {run_id}")),
        ignored=sorted({column for check in notes.results for column in check.ignored}),
        interrupted=notes.stop.what if notes.stop else "",
        signal_number=notes.stop.signal_number if notes.stop else 0,
        error=str(notes.error) if notes.error else "",
        measured=cell.measured,
        planned=notes.planned,
    )


def _environment_of(system: LiveSystem) -> dict[str, str]:
    try:
        return system.environment()
    except (HarnessError, AttributeError):
        return {}


def _tracebacks(system: LiveSystem) -> list[LogTail]:
    """Each worker's last traceback, else nothing: logs stay beside the report."""
    found = []
    for name, path in system.logs().items():
        with contextlib.suppress(OSError):
            lines = path.read_text(errors="replace").splitlines()
            last = max((i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")), default=None)
            if last is not None:
                found.append(LogTail(process=name, file=f"logs/{path.name}", lines=tuple(lines[last : last + 40])))
    return found


def _drop_clean_journals(folder: Path) -> None:
    for name in ("clean1", "clean2"):
        shutil.rmtree(folder / "journal" / name, ignore_errors=True)
