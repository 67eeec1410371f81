"""From what a run recorded to its result: verdict, faults, series and tasks. Pure: no clock, no file, no network."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.model.finding import CheckResult
from harness.model.generating import generator_of
from harness.model.history import History
from harness.model.locust_generating import locust_generator
from harness.model.measures import Generator
from harness.model.measuring import measures
from harness.model.per_second import per_second
from harness.model.readings import Readings
from harness.model.recovering import recoveries
from harness.model.result import FaultResult, LogTail, Reproduction, RunResult, TaskColumns, Timing
from harness.model.scenario import Scenario
from harness.model.verdict import EXIT_CODES, Verdict, combine
from harness.run.columns import storable, task_columns
from harness.run.over_time import lanes, series

__all__ = ["overall", "summarise"]

_FATES = ("succeeded", "failed", "lost", "stranded")
_SIGINT = 2
_MOST_ERRORS = 5  # kinds of errors of publishes that are told


def summarise(
    *,
    run_id: str,
    scenario: Scenario,
    name: str,
    file: str,
    cell: Mapping[str, Any],
    plan: str,
    seed: int,
    started: str,
    took: float,
    runtime: str,
    environment: Mapping[str, str],
    overrides: Mapping[str, Any],
    timings: Sequence[Timing],
    history: History | None,
    checks: Sequence[CheckResult],
    clean: Sequence[History] = (),
    semantics: Mapping[str, Any] | None = None,
    readings: Readings | None = None,
    logs: Sequence[LogTail] = (),
    undeclared: Sequence[str] = (),
    reproduce: Sequence[Reproduction] = (),
    ignored: Sequence[str] = (),
    interrupted: str = "",
    signal_number: int = _SIGINT,
    error: str = "",
    measured: bool = False,
    planned: int | None = None,
) -> RunResult:
    """The result of one cell. ``history`` None: the faults' pass never ran.

    ``semantics`` are the broker's (`BrokerKind.semantics`). ``readings``: of this history, where it
    was judged. ``started``: UTC, ISO 8601. ``took`` in seconds.
    ``interrupted`` and ``error`` say why, or are empty; ``signal_number`` counts only when interrupted.
    ``measured``: figures are what the run is for, also where no threshold says so.
    ``planned``: how many calls an open loop was to make that came to its end; None: nobody knows.
    """
    faults = _faults(history) if history else ()
    refused = tuple(dict.fromkeys(storable(text) for text in (*undeclared, *_undeclared((*clean, *([history] if history else []))))))
    deaths = _deaths(history) if history else ()
    generator = (locust_generator(history) if scenario.locust else generator_of(history)) if history else None
    if generator is not None:
        generator = generator.model_copy(update={"decides": measured or bool(scenario.thresholds or scenario.locust)})
    bottleneck = generator.undoes if generator else ""
    unmade = _unmade(history, planned) if history else ""
    verdict = overall(
        checks, faults, refused, interrupted=bool(interrupted), error=bool(error), deaths=deaths, bottleneck=bottleneck, unmade=unmade
    )
    if history and (readings is None or readings.history is not history):
        readings = Readings(history, semantics or {})
    found = readings.fates if readings else {}
    tasks = task_columns(history, found, checks) if history else None
    samples = readings.samples if history and readings else None
    rows, left_out = measures(samples) if samples else ((), "")
    seconds = per_second(samples) if samples else None
    return RunResult(
        run_id=run_id,
        scenario=name,
        file=storable(file),
        description=scenario.description,
        cell=dict(cell),
        seed=seed,
        verdict=verdict,
        exit_code=128 + signal_number if interrupted else EXIT_CODES[verdict],
        interrupted=interrupted,
        error=storable(error),
        started=started,
        took=took,
        runtime=runtime,
        environment={key: storable(value) for key, value in _environment(environment, generator).items()},
        overrides=dict(overrides),
        load_seconds=max(0.0, history.load_ended or 0.0) if history else 0.0,
        calls=len(history.calls) if history else 0,
        fates=_counted(tasks) if tasks else {},
        publishes=_publishes(history) if history else {},
        faults=faults,
        checks=tuple(checks),
        timings=tuple(timings),
        series=series(history, tasks) if history and tasks else None,
        measures=tuple(row.model_copy(update={key: storable(getattr(row, key)) for key in ("task", "queue", "worker")}) for row in rows),
        measures_left_out=storable(left_out),
        per_second=seconds,
        generator=generator,
        little=readings.little if history and readings else None,
        lanes=lanes(history) if history else (),
        tasks=tasks,
        logs=(*_refusals(history), *logs) if history else tuple(logs),
        deaths=deaths,
        unmade=unmade,
        undeclared=refused,
        plan=storable(plan),
        reproduce=tuple(reproduce) or _reproduction(file, cell, seed),
        ignored=tuple(ignored),
    )


def _environment(found: Mapping[str, str], generator: Generator | None) -> dict[str, str]:
    """With where the calls came from, if that was another machine."""
    return {**found, "Calls": generator.elsewhere} if generator and generator.elsewhere else dict(found)


def overall(
    checks: Sequence[CheckResult],
    faults: Sequence[FaultResult],
    undeclared: Sequence[str] = (),
    *,
    interrupted: bool = False,
    error: bool = False,
    deaths: Sequence[str] = (),
    bottleneck: str = "",
    unmade: str = "",
) -> Verdict:
    """Fail, then environment, then inconclusive, then pass.

    A fault without evidence that it bit or that did not heal, a worker that died of something else, a refused
    connection to an undeclared service, a generator that measured itself (``bottleneck`` says how), calls that were
    never made (``unmade`` says how many) and an interruption make a pass inconclusive: what was to be shown was not.
    None of them hides a failure.
    """
    verdicts = [check.verdict for check in checks]
    if error:
        verdicts.append(Verdict.ENVIRONMENT)
    doubtful = interrupted or undeclared or deaths or bottleneck or unmade
    if doubtful or any(fault.bit is not True or not fault.healed for fault in faults):
        verdicts.append(Verdict.INCONCLUSIVE)
    return combine(verdicts) if checks or error else Verdict.INCONCLUSIVE


def _unmade(history: History, planned: int | None) -> str:
    """An open loop makes every call of its plan, or says that it dropped it."""
    made, dropped = len(history.calls), history.dropped_arrivals
    if planned is None or made + dropped == planned:
        return ""
    return f"{planned:,} calls were to be made, and the producer recorded {made:,}, and {dropped:,} that it dropped: see logs/producer.log"


def _deaths(history: History) -> tuple[str, ...]:
    """Workers that ended although neither a fault nor the harness ended them."""
    found: dict[tuple[str, str], list[float]] = {}
    for life in history.processes:
        if life.kind == "worker" and life.unexpected and life.down is not None:
            found.setdefault((storable(life.name), life.how), []).append(life.down)
    return tuple(
        f"{name} ended by itself at {times[0]:.1f} s ({how})" + (f", and {len(times) - 1} times more" if len(times) > 1 else "")
        for (name, how), times in found.items()
    )


def _faults(history: History) -> tuple[FaultResult, ...]:
    recovered = {r.fault: r.seconds for r in recoveries(history)}
    call_of = {message.task_id: message.call for message in history.messages.values()} if any(f.task_id for f in history.faults) else {}
    return tuple(
        FaultResult(
            index=record.index,
            name=record.name,
            planned=record.planned,
            target=storable(record.target),
            begun=record.begun,
            ended=record.ended,
            bit=record.evidence.bit if record.begun is not None else False,
            evidence=storable(record.evidence.text),
            healed=record.healed,
            file=storable(record.file),
            line=record.line,
            task_id=storable(record.task_id),
            call=call_of.get(record.task_id, 0),
            recovery=recovered.get(record.index) if record.begun is not None else None,
            note=storable(record.note),
        )
        for record in history.faults
    )


def _undeclared(histories: Sequence[History]) -> list[str]:
    found = []
    for history in histories:
        for event in history.events:
            if event.kind == "undeclared":
                stack = event.detail.get("stack") or []
                where = stack[0] if isinstance(stack, (list, tuple)) and stack else stack  # the innermost frame comes first
                found.append(f"{event.text} ({where})" if where else event.text)
    return found


def _counted(tasks: TaskColumns) -> dict[str, int]:
    """Tasks by fate: the usual words first, the others as they come."""
    counts = Counter(tasks.fate)
    order = [*(word for word in _FATES if word in counts), *sorted(word for word in counts if word not in _FATES)]
    return {word: counts[word] for word in order}


def _publishes(history: History) -> dict[str, int]:
    counts: dict[str, int] = dict(Counter(call.publish for call in history.calls.values()))
    if history.late_arrivals:
        counts["late"] = history.late_arrivals
    if history.dropped_arrivals:
        counts["dropped"] = history.dropped_arrivals
    return counts


def _refusals(history: History) -> tuple[LogTail, ...]:
    """Why calls could not be published, as the producer's log has it; the commonest reasons."""
    errors = Counter(storable(call.error) for call in history.calls.values() if call.error)
    lines = [f"{count} of {len(history.calls)} calls could not be published: {error}" for error, count in errors.most_common(_MOST_ERRORS)]
    return (LogTail(process="producer", file="logs/producer.log", lines=tuple(lines)),) if lines else ()


def _reproduction(file: str, cell: Mapping[str, Any], seed: int) -> tuple[Reproduction, ...]:
    title = "The same run again" + (f", cell {', '.join(f'{k}={v}' for k, v in cell.items())}" if cell else "")
    return (Reproduction(title=title, command=f"celery-harness run {shlex.quote(storable(file))} --seed {seed}"),)
