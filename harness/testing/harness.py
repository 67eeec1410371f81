"""The object that a test steers: one system of brokers and workers, made for this test and judged at its end."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.assembly import registry
from harness.errors import EnvironmentFault, UsageError
from harness.model.exploration import Exploration
from harness.model.history import History
from harness.model.result import RunResult
from harness.ports.check import CleanPass
from harness.ports.clock import derived_random
from harness.run.live_run import LiveRun
from harness.scenario.names import known, nearest
from harness.testing import assertions
from harness.testing.configuration import Configuration
from harness.testing.drawn import DrawnPlans
from harness.testing.handles import CALL_SECONDS, Broker, Call, FaultHandle, WorkerHandle, as_text, given, plain
from harness.testing.outcomes import demand_pass
from harness.testing.workshop import Workshop

if TYPE_CHECKING:  # most tests explore nothing
    from harness.testing.exploring import Explored

__all__ = ["Broker", "Call", "FaultHandle", "Harness", "WorkerHandle", "default_checks"]

_TIMED = ("countdown", "eta", "expires")


class Harness:
    """See docs/pytest.md. The system starts with the first thing that is asked of it; `check` judges and ends it."""

    def __init__(self, workshop: Workshop, configuration: Configuration, name: str) -> None:
        self.workshop, self.configuration, self.name = workshop, configuration, name
        self.result: RunResult | None = None
        self._run: LiveRun | None = None
        self._checks: Mapping[str, Any] | None = None
        self._faults = 0
        self._clean: list[CleanPass] | None = None
        self._known: dict[str, Explored] = {}
        self.drawn = DrawnPlans(self)

    # --- what a test does ---------------------------------------------------------------------------------------

    def send(self, task: Any, /, *args: Any, **kwargs: Any) -> Call:
        """Publish a call, by the task's name or the task itself; returns once it is published (or a fault holds that up).

        UsageError for a task that is not registered, or arguments that Celery would refuse: then nothing was published.
        """
        return self.apply(task, args, kwargs)

    def apply(self, task: Any, args: Sequence[Any] | str = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Call:
        """As `apply_async`: queue, countdown, eta, expires (durations in seconds or as text), priority.

        ``args`` as text: 'module:name' of a callable of the app's that makes them, as in a scenario.
        """
        name = task_name(task)
        timed = {key: as_text(value) if key in _TIMED else value for key, value in options.items()}
        drawn = args if isinstance(args, str) else plain(list(args), f"an argument of {name}") or None
        call = {"send": name, **given(args=drawn, kwargs=plain(dict(kwargs or {}), f"an argument of {name}") or None), **given(**timed)}
        return Call(self, self.live.send(call), name)

    def worker(self, target: str) -> WorkerHandle:
        """A group of workers, or one of them."""
        return WorkerHandle(self, target)

    @property
    def broker(self) -> Broker:
        """The broker."""
        return Broker(self, "broker")

    @property
    def backend(self) -> Broker:
        """The result backend."""
        return Broker(self, "backend")

    def service(self, name: str) -> Broker:
        """A service with a server of its own."""
        return Broker(self, name)

    def crash(
        self, task: Any, reaches: str = "before_ack", *, nth: int = 1, call: int | None = None, restart_after: float | str = "100ms"
    ) -> FaultHandle:
        """Kill the worker that runs this task when it gets there: start, end, before_ack, after_ack, or a line (orders.py:41).

        ``nth``: at which time, over all workers; ``call``: in which call, by its number.
        """
        when = {"task": task_name(task), "reaches": reaches, **({"nth": nth} if nth != 1 else {}), **given(call=call)}
        return self.fault("task.crash", when=when, restart_after=as_text(restart_after))

    def partition(self, one: str, other: str, *, mode: str = "stall", direction: str = "both") -> FaultHandle:
        """Cut the connection between two parts, such as 'pay' and 'broker', until `heal`."""
        return self.fault("net.partition", between=[one, other], mode=mode, direction=direction)

    def duplicate(self, queue: str, *, count: int = 1, deliver: str = "sequential") -> FaultHandle:
        """Deliver copies of the next messages of a queue."""
        return self.fault("message.duplicate", queue=queue, count=count, deliver=deliver)

    def scale(self, group: str, replicas: int) -> FaultHandle:
        """More or fewer workers."""
        return self.worker(group).scale(replicas)

    def fault(self, name: str, **parameters: Any) -> FaultHandle:
        """Any fault by its name, with the keys that it has in a scenario (`when` arms it; `for` as ``for_``).

        UsageError for a line that no task reaches, with the nearest that one does: then nothing was armed.
        """
        faults = registry().faults
        if name not in faults:
            raise UsageError(f"no fault `{name}`{nearest(name, faults)}", hint=known(faults))
        planned = {key.rstrip("_"): value for key, value in parameters.items()}
        self.workshop.check_step(self._judging, self._parts(), {"fault": name, **planned})
        own = {key: value for key, value in planned.items() if key not in ("when", "for")}
        made = faults[name](faults[name].Parameters.model_validate(own), derived_random(self.configuration.seed, "fault", self._faults))
        handle = FaultHandle(self, self.live.fault({"fault": name, **planned}, made), name)
        self._faults += 1
        return handle

    def heal(self) -> None:
        """Every fault that is still on."""
        self.live.heal()

    def wait(self, seconds: float) -> None:
        """Let it go on for so long."""
        self.live.wait(seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float = CALL_SECONDS) -> bool:
        """Until it holds, asked whenever something was recorded; did it?"""
        return self.live.until(condition, seconds)

    def wait_until_quiet(self, seconds: float | None = None) -> bool:
        """Until every queue is empty and no worker holds anything; False where that took longer (None: than the drain may)."""
        return self.live.until_quiet(seconds)

    # --- what it knows ------------------------------------------------------------------------------------------

    @property
    def history(self) -> History:
        """All that is recorded so far."""
        return self.live.history()

    @property
    def live(self) -> LiveRun:
        """The run behind it, started."""
        if self._run is None:
            if self.result is not None:
                raise UsageError(
                    "this harness was judged, and its system is gone", hint="one test, one system; or the fixture harness_module"
                )
            self._run = self.workshop.opened(self._judging, name=self.name, parts=self._parts(), clean=self._clean)
        return self._run

    @property
    def used(self) -> bool:
        """Is its system up, and nothing judged?"""
        return self._run is not None

    @property
    def folder(self) -> Path | None:
        """Of the report; None where there is none."""
        if self._run is not None:
            return self._run.folder
        return self.workshop.report_folder(self.configuration, self.result) if self.result is not None else None

    # --- judging ------------------------------------------------------------------------------------------------

    def judge(self) -> RunResult:
        """Heal, drain, stop, compare with clean runs, report; the result, whatever its verdict."""
        if self.result is None:
            run = self.live
            try:
                self.result = run.finish(self._optional)
            finally:
                self.close()
        return self.result

    def check(self) -> RunResult:
        """`judge`, and nothing but a pass will do: Failed with the story, Inconclusive with the reason."""
        __tracebackhide__ = True
        return self.demand(self.judge())

    def expect(self, **checks: Mapping[str, Any]) -> Harness:
        """The checks of this test in place of the configuration's, before it begins: expect(no_loss={}, retry_policy={…})."""
        if self._run is not None:
            raise UsageError("`expect` comes before the first call: what is recorded depends on what is asked")
        names = registry().checks
        for name in checks:
            if name not in names:
                raise UsageError(f"no check `{name}`{nearest(name, names)}", hint=known(names))
        self._checks = checks
        return self

    def run(self, **parts: Any) -> RunResult:
        """A whole scenario on this configuration: load=[…] and timeline=[…], or schedule=[…]; checks={…}. Only a pass returns."""
        __tracebackhide__ = True
        configuration = self._with_checks(parts.pop("checks")) if "checks" in parts else self._judging
        return self.demand(self.workshop.run(configuration, parts, name=self.name))

    def run_plan(self, calls: Any, faults: Any = ()) -> RunResult | None:
        """One drawn plan, in a test of `@given`'s with a `@budget`: see `DrawnPlans.run`."""
        __tracebackhide__ = True
        return self.drawn.run(calls, faults)

    def assert_idempotent(self, task: Any, *args: Any, **options: Any) -> list[RunResult]:
        """See `assertions.assert_idempotent`."""
        __tracebackhide__ = True
        possible = list(inspect.signature(assertions.assert_idempotent).parameters)[3:]
        for name in options:
            if name not in possible:
                hint = f"those of the call go into kwargs={{'{name}': …}}; {known(possible)}"
                raise UsageError(f"assert_idempotent has no option `{name}`{nearest(name, possible)}", hint=hint)
        return assertions.assert_idempotent(self, task, args, **options)

    def assert_retry_policy(self, task: Any, *args: Any, **options: Any) -> RunResult:
        """See `assertions.assert_retry_policy`."""
        __tracebackhide__ = True
        return assertions.assert_retry_policy(self, task, args, **options)

    def explore(self, task: Any, *args: Any, **kwargs: Any) -> Exploration:
        """Crash this call before each of its effects, any number of times; only a certified task returns. See docs/explorer.md.

        `Breaks` with the story, `Undecided` with the reason. In a test of `@given`'s each drawn call is explored by itself.
        """
        __tracebackhide__ = True
        from harness.testing.exploring import demand_certified

        return demand_certified(self, self._explored(task, args, kwargs))

    def exploration(
        self,
        task: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        worlds: int | None = None,
        time: float | str | None = None,
        kills: int | None = None,
        semantics: str | None = None,
    ) -> Exploration:
        """As `explore`, within these bounds; the verdict, whatever it is."""
        return self._explored(task, args, kwargs or {}, worlds=worlds, time=as_text(time), kills=kills, semantics=semantics).found

    def _explored(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], **options: int | str | None) -> Explored:
        """A call has one answer in a test, so that what Hypothesis sees is never flaky."""
        from harness.testing.exploring import item_of

        name = task_name(task)
        item = item_of(name, plain(list(args), f"an argument of {name}"), plain(dict(kwargs), f"an argument of {name}"), **options)
        key = json.dumps(item, sort_keys=True)
        if key not in self._known:
            self._known[key] = self.workshop.explorations.explore(self.configuration, item, name=self.name)
        return self._known[key]

    def assert_no_loss(self) -> RunResult:
        """See `assertions.assert_no_loss`."""
        __tracebackhide__ = True
        return assertions.assert_no_loss(self)

    def demand(self, result: RunResult, note: str = "") -> RunResult:
        """`demand_pass` for a run of this configuration."""
        __tracebackhide__ = True
        folder = self.workshop.report_folder(self.configuration, result)
        return demand_pass(result, folder=folder, root=self.configuration.root, note=note)

    def another(self, suffix: str, changes: Mapping[str, Any] | None = None, *, clean: list[CleanPass] | None = None) -> Harness:
        """One more of the same configuration with some keys changed, for a run of its own. ``clean``: see `LiveRun`."""
        changed = self.configuration.with_changes(changes, self.name) if changes else self.configuration
        other = Harness(self.workshop, changed, f"{self.name}-{suffix}")
        other._clean = clean
        return other

    # --- the end ------------------------------------------------------------------------------------------------

    def abandon(self, why: BaseException) -> None:
        """Stop it without a verdict; what was recorded is in the report."""
        run = self._run
        if run is not None:
            text = f"{type(why).__name__}: {why}".partition("\n")[0]
            self.result = run.abandon(f"not judged: the test ended with {text}", why if isinstance(why, EnvironmentFault) else None)
        self.close()

    def close(self) -> None:
        """Everything stopped and removed; also twice."""
        run, self._run = self._run, None
        if run is not None:
            self.workshop.settle(self.configuration, run)

    @contextlib.contextmanager
    def closing(self) -> Iterator[Harness]:
        """Closed at the end of the block."""
        try:
            yield self
        finally:
            self.close()

    # --- what it is made of -------------------------------------------------------------------------------------

    def _parts(self) -> dict[str, Any]:
        """A live run's: proxies before every server, since nobody knows yet what will be cut."""
        system = self.configuration.document.get("system", {})
        servers = {name: _with_proxy(system[name]) for name in ("broker", "backend") if system.get(name)}
        return {"system": {"broker": _with_proxy("redis"), **servers}}

    @property
    def _judging(self) -> Configuration:
        """With the checks that count."""
        if self._checks is not None:
            return self._with_checks(self._checks)
        return self.configuration if self.configuration.document.get("checks") else self._with_checks(self._defaults)

    @property
    def _defaults(self) -> dict[str, Any]:
        return default_checks(self.configuration.document.get("system", {}))

    @property
    def _optional(self) -> frozenset[str]:
        """Checks that nobody asked for by name."""
        return frozenset() if self._checks is not None or self.configuration.document.get("checks") else frozenset(self._defaults)

    def _with_checks(self, checks: Mapping[str, Any]) -> Configuration:
        return replace(self.configuration, document={**self.configuration.document, "checks": dict(checks)})


def default_checks(system: Mapping[str, Any]) -> dict[str, Any]:
    """Where nobody says what must hold: nothing lost, nothing delivered twice without cause, and the world as after one clean run."""
    observed = list(system.get("services", {}))
    return {"no_loss": {}, "no_duplicates": {}, **({"idempotent": {"observe": observed}} if observed else {})}


def task_name(task: Any) -> str:
    """Of a task, or the name as it is."""
    name = task if isinstance(task, str) else getattr(task, "name", None)
    if not isinstance(name, str):
        raise UsageError(f"{task!r} is no task", hint="pass a task of your app, or its name as a text")
    return name


def _with_proxy(spec: Any) -> dict[str, Any]:
    return {"proxy": True, **(spec if isinstance(spec, Mapping) else {"kind": spec})}
