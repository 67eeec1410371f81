"""Runs of one scenario at a rate, in a system that is kept: what a search is made of."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ruamel.yaml import YAML

from harness.assembly import build_cell, default_writers
from harness.checks.thresholds import ThresholdParameters, Thresholds
from harness.cli.load_limits import Limits
from harness.errors import EnvironmentFault
from harness.load.search_backlog import Answered, growth
from harness.load.search_streams import constant_load
from harness.model.backlog import Backlog
from harness.model.fates import fates
from harness.model.finding import CheckResult
from harness.model.history import History
from harness.model.measuring import nearest_rank
from harness.model.quantities import format_rate
from harness.model.result import RunResult
from harness.model.sampling import Samples, answered
from harness.model.scenario import Drain, LoadItem
from harness.model.searching import Outcome, Trial
from harness.model.undeclared import undeclared_services
from harness.model.verdict import Verdict
from harness.ports.check import Check, Recorded
from harness.ports.clock import MonotonicClock
from harness.ports.observer import Observer
from harness.ports.reporter import Progress, Writer
from harness.ports.runtime import Runtime
from harness.reporting.json_file import JsonWriter
from harness.run.folders import new_run_folder, settle_folder
from harness.run.runner import run_cell
from harness.scenario import LoadedScenario
from harness.scenario.extent import longest_delay
from harness.scenario.loader import written_out

__all__ = ["Judged", "TrialRuns", "answered_calls", "doubts_of", "loaded_with"]

#: Seconds of a trial at most: rates that give too few calls in that are not tried.
LONGEST = 60.0
#: So long it may last where twice as many calls tell better.
_PATIENT = 15.0
#: Seconds that are waited after the load, beside twice the slowest answer that is still good: what is not there then came too late.
_DRAIN = 2.0


@dataclass(frozen=True)
class Judged:
    """What the check of a trial saw, of the calls due after the warm-up."""

    thresholds: CheckResult
    latencies: Sequence[float]
    served: float
    slope: float
    grows: bool


class _Steady:
    """The check of a trial: thresholds of the calls after the warm-up, and whether unfinished ones pile up."""

    name: ClassVar[str] = "thresholds"
    question: ClassVar[str] = "does the system keep up with this rate?"
    summary: ClassVar[str] = "a trial of a search"
    Parameters: ClassVar[type[Any]] = ThresholdParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, limits: Limits, rate: float, seconds: float, warm_up: float) -> None:
        self._limits, self._rate, self._seconds, self._warm_up = limits, rate, seconds, warm_up
        self.seen: Judged | None = None

    def judge(self, recorded: Recorded) -> CheckResult:
        """As `thresholds`, and failing where calls pile up."""
        history = recorded.history
        later = replace(history, calls={number: call for number, call in history.calls.items() if call.due >= self._warm_up})
        result = Thresholds(self._limits.parameters).judge(replace(recorded, history=later))
        backlog = Backlog(answered_calls(history, recorded.semantics))
        found = growth(backlog, self._warm_up, self._seconds, self._rate)
        served = backlog.ended(self._warm_up, self._seconds) / (self._seconds - self._warm_up)
        latencies = Samples(later, recorded.semantics).of("end_to_end_latency")
        self.seen = Judged(result, latencies, served, found.slope, found.grows)
        if not found.grows:
            return result
        told = f"unfinished calls pile up by {format_rate(found.slope)}"
        return result.model_copy(update={"verdict": Verdict.FAIL, "summary": f"{result.summary}; {told}"})


class TrialRuns:
    """Makes trials, below ``folder``, each with the seed after the one before.

    ``live``: what moves while one runs. ``observers``: see each run, one after the other.
    """

    def __init__(
        self,
        loaded: LoadedScenario,
        runtime: Runtime,
        folder: Path,
        limits: Limits,
        live: Callable[[str], None],
        *,
        seconds: float,
        warm_up: float,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.loaded, self.runtime, self.folder, self.limits = loaded, runtime, folder, limits
        self.seconds, self.warm_up = seconds, warm_up
        self.trials: list[Trial] = []
        self.environment: dict[str, str] = {}
        self.run_folder: Path | None = None  # of the newest run
        self._live = live
        self._observers = tuple(observers)

    @property
    def lowest(self) -> float:
        """The lowest rate of which a trial can be made."""
        return self.limits.calls / (LONGEST - self.warm_up)

    def lasts(self, rate: float) -> float:
        """Seconds of load at a rate: longer where calls would be too few."""
        enough, good = self.warm_up + self.limits.calls / rate, self.warm_up + 2 * self.limits.calls / rate
        return min(LONGEST, max(self.seconds, math.ceil(enough), min(_PATIENT, math.ceil(good))))

    def trial(self, rate: float) -> Trial:
        """One, kept in ``trials``. EnvironmentFault where the machine failed, ScenarioError for a load that cannot be made."""
        number, seconds = len(self.trials) + 1, self.lasts(rate)
        check = _Steady(self.limits, rate, seconds, self.warm_up)
        load = constant_load(self.loaded.scenario.load, rate, seconds)
        drain = _DRAIN + 2 * self.limits.slowest + max(map(longest_delay, load))
        seed = self.loaded.scenario.seed + number - 1
        loaded = loaded_with(self.loaded, load, drain=drain, seed=seed, thresholds=self.limits.thresholds)
        result, _ = self.run(loaded, [check], [JsonWriter()], f"trial {number} at {format_rate(rate)}", below="trials", slim=True)
        made = _trial(number, rate, seconds, result, check.seen)
        if number == 1 and made.outcome == "missed":
            made = made.model_copy(update={"outcome": "uncounted", "why": f"the first trial, so perhaps only cold: {made.why}"})
        self.trials.append(made)
        return made

    def run(
        self, loaded: LoadedScenario, checks: Sequence[Check], writers: Sequence[Writer], title: str, *, below: str = "", slim: bool = False
    ) -> tuple[RunResult, Path]:
        """One run, judged by ``checks`` alone. ``slim``: its journals are not kept. EnvironmentFault where the machine failed."""
        clock = MonotonicClock()
        reports = self.folder / below
        run_id, folder = new_run_folder(reports)
        self.run_folder = folder
        cell = replace(build_cell(loaded, Path.cwd(), clock), checks=checks, measured=True, observers=self._observers)
        try:
            result = run_cell(
                cell,
                self.runtime,
                run_id=run_id,
                folder=folder,
                clock=clock,
                listener=_Live(title, self._live),
                writers=writers or default_writers(),
            )
        finally:
            settle_folder(reports, folder)
            if slim:
                shutil.rmtree(folder / "journal", ignore_errors=True)
        if result.verdict is Verdict.ENVIRONMENT:
            raise EnvironmentFault(f"{title} could not be made: {result.error or 'the environment failed'}", where=str(folder))
        self.environment = self.environment or dict(result.environment)
        return result, folder


class _Live:
    """A run's listener that moves the live line alone."""

    def __init__(self, title: str, live: Callable[[str], None]) -> None:
        self._title, self._live = title, live

    def begun(self, title: str, environment: str) -> None:
        """Known already."""

    def progress(self, event: Progress) -> None:
        """Phase and text."""
        moment = f"  {event.at:.0f} s" if event.at is not None else ""
        self._live(f"{self._title}  {event.phase}{moment}  {event.text}")

    def finished(self, result: RunResult, folder: Path) -> None:
        """Comes back from the call."""


def _trial(number: int, rate: float, seconds: float, result: RunResult, seen: Judged | None) -> Trial:
    outcome, why = _outcome(result, seen)
    latencies = sorted(seen.latencies) if seen else []
    return Trial(
        number=number,
        rate=rate,
        seconds=seconds,
        seed=result.seed,
        run_id=result.run_id,
        outcome=outcome,
        why=why,
        calls=result.calls,
        p50=_finite(nearest_rank(latencies, 50)),
        p95=_finite(nearest_rank(latencies, 95)),
        p99=_finite(nearest_rank(latencies, 99)),
        served=round(seen.served, 3) if seen else 0.0,
        growth=round(seen.slope, 3) if seen else 0.0,
        took=round(result.took, 3),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _outcome(result: RunResult, seen: Judged | None) -> tuple[Outcome, str]:
    """A generator that was short decides nothing about the system, whatever the figures are."""
    if result.generator is not None and result.generator.bottleneck:
        return "generator", result.generator.bottleneck
    if doubts := doubts_of(result):
        return "uncounted", doubts[0]
    check = next(iter(result.checks), None)
    if check is None or seen is None:
        return "uncounted", check.summary if check else "nothing was judged"
    if check.verdict is Verdict.FAIL:
        missed = [finding.headline.rstrip(".") for finding in seen.thresholds.findings]
        return "missed", "; ".join([*missed, *([f"unfinished calls pile up by {format_rate(seen.slope)}"] if seen.grows else [])])
    return ("kept", "") if check.verdict is Verdict.PASS else ("uncounted", check.summary)


def doubts_of(result: RunResult) -> list[str]:
    """Why a run without faults shows less than its figures say, in words: what makes a pass of `run` inconclusive, too."""
    short = result.generator.bottleneck if result.generator is not None else ""
    return [
        *(f"worker {death}" for death in result.deaths),
        *([result.unmade] if result.unmade else []),
        *([f"the generator was the bottleneck: {short}"] if short else []),
        *undeclared_services(result.undeclared),
    ]


def answered_calls(history: History, semantics: Mapping[str, Any]) -> list[Answered]:
    """Every call for whose answer somebody waits."""
    found = fates(history, semantics)
    ended = ((call.due, answered(call, found)) for call in history.calls.values())
    return [Answered(due, due + seconds) for due, seconds in ended if seconds is not None]


def loaded_with(
    loaded: LoadedScenario, load: Sequence[LoadItem], *, drain: float, seed: int, thresholds: Mapping[str, tuple[str, ...]]
) -> LoadedScenario:
    """The scenario with another load, without faults and checks. Its text repeats that, with the drain that the file has."""
    scenario = loaded.scenario.model_copy(
        update={
            "load": tuple(load),
            "timeline": (),
            "checks": {},
            "thresholds": dict(thresholds),
            "drain": Drain.model_construct(timeout=drain),
            "seed": seed,
        }
    )
    return replace(loaded, scenario=scenario, faults=(), fault_kinds=(), checks={}, text=_text(loaded.text, load, thresholds, seed))


def _text(text: str, load: Sequence[LoadItem], thresholds: Mapping[str, tuple[str, ...]], seed: int) -> str:
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    for key in ("timeline", "checks", "tags"):
        document.pop(key, None)
    document["load"] = [_written(written, item) for written, item in zip(document["load"], load, strict=True)]
    document.update(thresholds={key: list(texts) for key, texts in thresholds.items()}, seed=seed)
    return written_out(document)


def _written(before: Mapping[str, Any], item: LoadItem) -> dict[str, Any]:
    """As a file has it."""
    kept = {key: value for key, value in before.items() if key not in ("rate", "for", "count", "at", "arrival", "rates")}
    if item.arrival != "constant":
        kept["arrival"] = item.arrival
    if item.rates:
        kept["rates"] = [f"{rate:.6f}/s" for rate in item.rates]
    else:
        kept["rate"] = f"{item.rate:.6f}/s"
    return {**kept, "for": f"{item.duration:g}s"}
