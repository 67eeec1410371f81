"""`celery-harness load --find-capacity`, `--stress`, `--soak`: what is asked for, what is refused, and how it ends."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.errors import HarnessError, Interrupted, UsageError
from harness.model.quantities import parse_duration, parse_rate, parse_share

if TYPE_CHECKING:
    from harness.cli.load_limits import Limits
    from harness.cli.load_trials import TrialRuns
    from harness.model.searching import SearchKind, SearchResult
    from harness.model.verdict import Verdict
    from harness.reporting.capacity_console import SearchTelling
    from harness.reporting.metrics_endpoint import MetricsEndpoint
    from harness.scenario import LoadedScenario

__all__ = ["Asked", "SearchRun", "asked_for", "positive", "run_search", "search_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_CONFIDENCES = {"90%": 0.90, "95%": 0.95, "99%": 0.99}
#: Option -> (what stands where it is left out, searches that know it).
_OF: dict[str, tuple[str, tuple[str, ...]]] = {
    "p95": ("", ("capacity", "stress", "soak")),
    "at_least": ("", ("capacity",)),
    "budget": ("5m", ("capacity",)),
    "precision": ("20%", ("capacity",)),
    "confidence": ("95%", ("capacity",)),
    "trial": ("6s", ("capacity", "stress")),
    "start_rate": ("", ("capacity", "stress")),
    "max_rate": ("", ("capacity", "stress")),
    "recover_within": ("30s", ("stress",)),
    "rate": ("", ("soak",)),
    "settings": ("", ("capacity", "stress", "soak")),
}
_OPTIONS = {"capacity": "--find-capacity", "stress": "--stress", "soak": "--soak"}
#: A trial is at least so long (seconds), and its first part is not counted.
_SHORTEST_TRIAL, _WARM_UP = 3.0, 0.25


def search_options(command: _Command) -> _Command:
    """Adds the options of searches to a command; it gets them as keywords, for `asked_for`."""
    options = (
        click.option("--find-capacity", is_flag=True, help="Search the highest rate that keeps the latency thresholds."),
        click.option("--stress", is_flag=True, help="Raise the rate until it breaks, lower it, and see whether the backlog goes away."),
        click.option("--soak", default="", metavar="TIME", help="One rate for so long, such as 10m: do memory and latency drift?"),
        click.option(
            "--p95", default="", metavar="TIME", help="End to end at most so long for 95 of 100 calls, beside the scenario's thresholds."
        ),
        click.option("--at-least", default="", metavar="RATE", help="Exit 1 if the capacity is below, such as 50/s."),
        click.option("--budget", default="", metavar="TIME", help="Of a capacity search.  [default: 5m]"),
        click.option("--precision", default="", metavar="SHARE", help="Narrow enough: each end of the interval so near.  [default: 20%]"),
        click.option("--confidence", type=click.Choice(list(_CONFIDENCES)), help="Of the capacity's interval.  [default: 95%]"),
        click.option("--trial", default="", metavar="TIME", help="Load of one trial; its first quarter is not counted.  [default: 6s]"),
        click.option("--start-rate", default="", metavar="RATE", help="Of the first trial.  [default: the scenario's own]"),
        click.option("--max-rate", default="", metavar="RATE", help="No trial above it."),
        click.option("--recover-within", default="", metavar="TIME", help="What --stress waits for.  [default: 30s]"),
        click.option("--rate", default="", metavar="RATE", help="What --soak holds.  [default: the scenario's own]"),
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="For a search: a setting of the app, or a key of the scenario."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True)
class Asked:
    """One search. Rates per second, durations in seconds; None: not said."""

    kind: SearchKind
    soak: float = 0.0
    p95: str = ""
    at_least: float | None = None
    budget: float = 300.0
    precision: float = 0.2
    confidence: float = 0.95
    trial: float = 6.0
    start_rate: float | None = None
    max_rate: float | None = None
    recover_within: float = 30.0
    rate: float | None = None
    settings: tuple[str, ...] = ()

    @property
    def warm_up(self) -> float:
        """Seconds of a trial that are not counted."""
        return self.trial * _WARM_UP


def asked_for(given: dict[str, Any], others: list[str]) -> Asked | None:
    """The search that the options ask for; None for none. ``others``: options of Locust that were given.

    UsageError for two searches at once, an option of another one, and a value without its unit.
    """
    chosen = [kind for kind, wanted in zip(_OPTIONS, (given["find_capacity"], given["stress"], given["soak"]), strict=True) if wanted]
    written = [name for name in _OF if given[name]]
    if not chosen:
        if written:
            raise UsageError(f"{_option(written[0])} belongs to a search", hint=f"add {', '.join(_OPTIONS[k] for k in _OF[written[0]][1])}")
        return None
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(_OPTIONS[kind] for kind in chosen)} are searches of their own", hint="name one")
    (kind,) = chosen
    if others:
        raise UsageError(f"{others[0]} is for Locust's users, who wait for answers: {_OPTIONS[kind]} needs the scenario's own open loop")
    if stray := next((name for name in written if kind not in _OF[name][1]), ""):
        raise UsageError(
            f"{_option(stray)} means nothing to {_OPTIONS[kind]}", hint=f"it belongs to {', '.join(_OPTIONS[k] for k in _OF[stray][1])}"
        )
    return _asked(kind, {name: given[name] or default for name, (default, _) in _OF.items()}, given["soak"])  # type: ignore[arg-type]


def _asked(kind: SearchKind, given: dict[str, Any], soak: str) -> Asked:
    made = Asked(
        kind=kind,
        soak=positive("--soak", soak, parse_duration) or 0.0,
        p95=given["p95"],
        at_least=positive("--at-least", given["at_least"], parse_rate),
        budget=positive("--budget", given["budget"], parse_duration) or 0.0,
        precision=positive("--precision", given["precision"], parse_share) or 0.0,
        confidence=_CONFIDENCES[given["confidence"]],
        trial=positive("--trial", given["trial"], parse_duration) or 0.0,
        start_rate=positive("--start-rate", given["start_rate"], parse_rate),
        max_rate=positive("--max-rate", given["max_rate"], parse_rate),
        recover_within=positive("--recover-within", given["recover_within"], parse_duration) or 0.0,
        rate=positive("--rate", given["rate"], parse_rate),
        settings=tuple(given["settings"]),
    )
    if made.trial < _SHORTEST_TRIAL:
        raise UsageError(f"--trial {given['trial']} is too short to tell anything", hint=f"{_SHORTEST_TRIAL:g}s is the least")
    if not 0.01 <= made.precision < 0.9:
        raise UsageError(f"--precision {given['precision']} cannot be reached", hint="such as 20%")
    if made.start_rate and made.max_rate and made.start_rate > made.max_rate:
        raise UsageError(f"--start-rate {given['start_rate']} is above --max-rate {given['max_rate']}")
    return made


def _option(name: str) -> str:
    return "--set" if name == "settings" else f"--{name.replace('_', '-')}"


def positive(option: str, text: str, parse: Callable[[str], float], *, nothing: str = "nothing") -> float | None:
    """An option's value; None: it was not given. UsageError where it cannot be read, or is no more than 0, which is ``nothing``."""
    if not text:
        return None
    try:
        value = parse(text)
    except ValueError as exc:
        raise UsageError(f"{option}: {exc}") from None
    if value <= 0:
        raise UsageError(f"{option} {text} is {nothing}")
    return value


def run_search(
    file: str,
    asked: Asked,
    *,
    runtime: str,
    reports: Path,
    seed: int | None,
    as_json: bool,
    metrics: MetricsEndpoint | None = None,
) -> int:
    """All of it; the exit code. Raises for bad input before anything starts; a signal ends it with what is known by then.

    ``metrics`` shows each run as it goes on.
    """
    from harness.assembly import RUNTIMES, choose_runtime, wanted_runtime
    from harness.cli.load_limits import limits_of
    from harness.cli.load_trials import TrialRuns
    from harness.reporting.capacity_console import SearchConsole, SearchJson
    from harness.run.signals import InterruptGuard

    loaded = _loaded(file, asked, seed)
    limits = limits_of(loaded.scenario.thresholds, asked.p95, needed=asked.kind != "soak")
    name = wanted_runtime(loaded, runtime)
    choose_runtime(name)
    telling: SearchTelling = SearchJson(sys.stdout) if as_json else SearchConsole(sys.stdout)
    folder = reports / asked.kind / time.strftime("%m%d-%H%M%S")
    kept = RUNTIMES[name][0]()
    with InterruptGuard() as guard, contextlib.ExitStack() as ends:
        ends.callback(telling.close)
        kept.keep()
        ends.callback(kept.close)
        seen_by = (metrics,) if metrics else ()
        trials = TrialRuns(loaded, kept, folder, limits, telling.live, seconds=asked.trial, warm_up=asked.warm_up, observers=seen_by)
        shown = metrics.shown_at if metrics else ""
        search = SearchRun(loaded, asked, limits, trials, telling, folder, name, guard.check, shown)
        code = search.go(_step(asked.kind))
        telling.live("stopping")
    if guard.received and code < 128:  # it came while all was taken down
        code = 128 + guard.received
    return code


def _step(kind: SearchKind) -> Callable[[SearchRun], None]:
    if kind == "capacity":
        from harness.cli.load_capacity import find_capacity

        return find_capacity
    if kind == "stress":
        from harness.cli.load_stress import stress

        return stress
    from harness.cli.load_soak import soak

    return soak


def _loaded(file: str, asked: Asked, seed: int | None) -> LoadedScenario:
    """The one cell, of which every stream has a rate. UsageError for what a search cannot be made of."""
    from harness.assembly import registry
    from harness.cli.compare_inputs import scenario_with
    from harness.cli.look import scenario_files
    from harness.load.search_streams import unfit
    from harness.scenario import load_scenarios

    (path, *others) = scenario_files((file,))
    if others:
        raise UsageError(f"{file} holds {len(others) + 1} scenarios", hint="load takes one scenario file")
    if not asked.settings and len(cells := load_scenarios(path, registry())) > 1:
        choice = " ".join(f"--set matrix.{name}={value}" for name, value in cells[0].cell.items())
        raise UsageError(f"{path} has {len(cells)} cells, and one is searched at a time", hint=f"choose it: {choice}")
    loaded = scenario_with(path, asked.settings, "--set", seed)
    scenario, option = loaded.scenario, _OPTIONS[asked.kind]
    if scenario.schedule:
        raise UsageError(f"{path} has a `schedule`: its calls are made one after another, and have no rate that {option} could set")
    if scenario.locust is not None:
        raise UsageError(f"{path} has Locust's users, who wait for answers: {option} needs an open loop", hint="write `load` with a `rate`")
    if not scenario.load:
        raise UsageError(f"{path} has no `load`", hint="write one with a `rate`")
    for number, item in enumerate(scenario.load):
        if why := unfit(item):
            raise UsageError(
                f"{option} sets one constant rate, and this stream has none: {why}",
                where=loaded.where("load", number),
                hint="write `rate: 10/s` and `for: 10s`; the rate is where the search begins",
            )
    return loaded


@dataclass
class SearchRun:
    """One search under way: what is known so far, and how it is told."""

    loaded: LoadedScenario
    asked: Asked
    limits: Limits
    trials: TrialRuns
    telling: SearchTelling
    folder: Path
    runtime: str
    check: Callable[[], None]
    shown: str = ""  # where its figures are while it goes on, for people; '': nowhere
    found: dict[str, Any] = field(default_factory=dict)  # fields of `SearchResult` that the search fills in
    notes: list[str] = field(default_factory=list)
    run_verdict: Verdict | None = None  # of a soak's own checks
    doubts: Sequence[str] = ()  # of the run that a stress or a soak comes down to
    begun: float = field(default_factory=time.monotonic)
    started: str = field(default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def go(self, step: Callable[[SearchRun], None]) -> int:
        """Search, write, tell; the exit code. What ends it early is raised again where there is nothing to write."""
        self.notes += [*self.limits.notes, *self._left_out()]
        self.telling.begun(self.loaded.title, self.runtime, self.asked.kind, self.wanted, [*self.notes, *filter(None, [self.shown])])
        stop: HarnessError | None = None
        try:
            step(self)
        except HarnessError as exc:
            if not self.trials.trials and not self.found:
                raise
            stop = exc
        result = self.result(stop)
        from harness.reporting.capacity_files import write_search

        self.telling.finished(result, write_search(result, self.folder))
        if stop is not None and not isinstance(stop, Interrupted):
            click.echo(f"error: {stop}", err=True)
        return result.exit_code

    @property
    def wanted(self) -> tuple[str, ...]:
        """What is to be kept, for people."""
        last = "memory and latencies do not grow" if self.asked.kind == "soak" else "unfinished calls do not pile up"
        return (*self.limits.words, last)

    def doubt(self, found: Sequence[str]) -> None:
        """Why the newest run shows less than it seems to. Each reason is noted once."""
        self.doubts = tuple(found)
        self.notes += [one for one in dict.fromkeys(found) if one not in self.notes]

    def spent(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.begun

    def _left_out(self) -> list[str]:
        scenario = self.loaded.scenario
        found = []
        if scenario.timeline:
            found.append("the timeline's faults are left out: what is searched is the system without them")
        if scenario.checks and self.asked.kind != "soak":
            found.append(f"checks are left out: {', '.join(scenario.checks)}; `celery-harness run` judges by them")
        return found

    def result(self, stop: HarnessError | None) -> SearchResult:
        """What is known by now. ``stop``: what ended it early."""
        from harness.cli.load_verdicts import concluded
        from harness.load.search_streams import share_texts
        from harness.model.searching import SearchResult

        verdict, headline, code = concluded(self.asked.kind, self.found, stop, self.run_verdict, self.doubts)
        return SearchResult(
            kind=self.asked.kind,
            scenario=self.loaded.title,
            file=str(self.loaded.path),
            runtime=self.runtime,
            environment=self.trials.environment,
            started=self.started,
            took=round(self.spent(), 3),
            seed=self.loaded.scenario.seed,
            wanted=self.wanted,
            streams=tuple(share_texts(self.loaded.scenario.load)),
            warm_up=self.asked.warm_up,
            trials=tuple(self.trials.trials),
            notes=tuple(self.notes),
            interrupted=isinstance(stop, Interrupted),
            verdict=verdict,
            headline=headline,
            exit_code=code,
            **self.found,
        )
