"""Runs of two sides in turn: pairs, in an order that the seed draws, so that a drift of the machine hits both alike."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cli.compare_inputs import Run, scenario_with
from harness.cli.gate_cells import placed
from harness.cli.gate_pairs import elsewhere
from harness.cli.run import Options, run_one
from harness.errors import EnvironmentFault, UsageError
from harness.gate.comparable import left_out
from harness.gate.repository import Checkout, CheckoutFailed, Repository
from harness.model.quantities import format_duration
from harness.model.result import RunResult
from harness.model.verdict import Verdict
from harness.ports.reporter import Progress
from harness.ports.runtime import Runtime
from harness.reporting.ink import Ink
from harness.reporting.live_line import LiveLine
from harness.reporting.words import printable
from harness.run.signals import InterruptGuard
from harness.runtimes.shared.leftovers import claim
from harness.scenario import LoadedScenario, check_abilities

__all__ = ["PairedRuns", "SidePlan"]


@dataclass
class SidePlan:
    """One side. ``settings``: KEY=VALUE on top of the scenario. ``commit``: '' for the working tree."""

    label: str
    settings: tuple[str, ...] = ()
    commit: str = ""
    runs: list[Run] = field(default_factory=list)

    @property
    def changes(self) -> tuple[str, ...]:
        """For people."""
        return (*self.settings, *([f"commit {self.commit}"] if self.commit else []))


class _Live:
    """A run's listener that moves the live line alone."""

    def __init__(self, live: Callable[[str], None]) -> None:
        self._live = live

    def begun(self, title: str, environment: str) -> None:
        """Known already."""

    def progress(self, event: Progress) -> None:
        """Phase and text."""
        self._live(f"{event.phase}  {event.text}")

    def finished(self, result: RunResult, folder: Path) -> None:
        """Comes back from the call."""


class PairedRuns:
    """Both sides of one scenario file. Runs write below ``folder``/a and ``folder``/b."""

    def __init__(self, path: Path, sides: tuple[SidePlan, SidePlan], options: Options, folder: Path, *, quiet: bool) -> None:
        self.path, self.sides, self.options, self.folder = path, sides, options, folder
        self._ink = Ink(sys.stdout)
        self._live = LiveLine(sys.stdout, self._ink)
        self._quiet = quiet
        self._root = Path.cwd()
        self.seed = self._loaded(sides[0], None).scenario.seed if options.seed is None else options.seed
        self.runtime = self._runtime()

    def go(self, number: int) -> None:
        """So many pairs, kept in the sides' ``runs``; those of which a run cannot count are kept as well.

        EnvironmentFault where a first run fails; Interrupted after a signal, with the pairs that were complete.
        """
        chance = random.Random(self.seed)
        with InterruptGuard() as guard, contextlib.ExitStack() as ends:
            try:
                places = [self._place(side, ends) for side in self.sides]
                for pair in range(number):
                    order = chance.sample((0, 1), 2)
                    made: dict[int, Run] = {}
                    for which in order:
                        guard.check()
                        made[which] = self._run(which, places[which], self.seed + pair, f"pair {pair + 1} of {number}")
                    for which, side in enumerate(self.sides):
                        side.runs.append(made[which])
                    self._tell(pair + 1, number, made)
            finally:
                self._live.stop()

    def _loaded(self, side: SidePlan, seed: int | None) -> LoadedScenario:
        return scenario_with(self.path, side.settings, f"--{side.label.lower()}", seed)

    def _runtime(self) -> str:
        """One for both, and each side is held against it before anything starts."""
        from harness.assembly import choose_runtime, registry, wanted_runtime

        loaded = [self._loaded(side, self.seed) for side in self.sides]
        names = {wanted_runtime(one, self.options.runtime) for one in loaded}
        if len(names) > 1:
            raise UsageError("the sides would have two runtimes", hint="name one with --runtime")
        (name,) = names
        for one in loaded:
            check_abilities(one, registry().runtimes[name])
        choose_runtime(name)
        return name

    def _place(self, side: SidePlan, ends: contextlib.ExitStack) -> tuple[Runtime, Path]:
        """The side's runtime, warm until the end, and its tree. What is kept warm has the folders of its tree, so each has its own."""
        from harness.assembly import RUNTIMES

        root = self._root
        if side.commit:
            root = self._checkout(side, ends).project
            if why := elsewhere(self._loaded(side, self.seed), root):
                raise UsageError(f"--{side.label.lower()}-commit {side.commit}: {why.replace('the baseline', 'that')}")
        runtime: Runtime = RUNTIMES[self.runtime][0]()
        runtime.keep()
        ends.callback(runtime.close)
        if side.commit:
            # The first run in a fresh checkout compiles the app, so it does not count.
            self._run(
                self.sides.index(side), (runtime, root), self.seed, f"{side.label} once, uncounted", reports=root.parent / "uncounted"
            )
        return runtime, root

    def _checkout(self, side: SidePlan, ends: contextlib.ExitStack) -> Checkout:
        repository = Repository(self._root, claim)
        if repository.why:
            raise UsageError(f"--{side.label.lower()}-commit needs a git repository: {repository.why}")
        try:
            return ends.enter_context(repository.checkout(side.commit))
        except CheckoutFailed as exc:
            raise UsageError(str(exc).replace("the baseline's commit", "the commit")) from exc

    def _run(self, which: int, place: tuple[Runtime, Path], seed: int, text: str, reports: Path | None = None) -> Run:
        side, (runtime, root) = self.sides[which], place
        loaded = self._loaded(side, seed)
        loaded = placed(loaded, self._root) if side.commit else loaded
        listener = _Live(lambda more: None if self._quiet else self._live.show(f"{text}, {side.label}  {more}"))
        options = replace(self.options, reports=reports or self.folder / side.label.lower())
        result, folder = run_one(loaded, runtime, options, listener, root)
        if result.verdict is Verdict.ENVIRONMENT and not side.runs:
            raise EnvironmentFault(
                f"a run of {side.label} could not be made: {result.error or 'the environment failed'}", where=str(folder)
            )
        return Run(result, folder)

    def _tell(self, pair: int, number: int, made: dict[int, Run]) -> None:
        self._live.stop()
        if self._quiet:
            return
        parts = []
        for which, run in sorted(made.items()):
            why = left_out(run.result)
            took = format_duration(run.result.took)
            parts.append(f"{self.sides[which].label} {run.result.verdict.value} {took}{', does not count' if why else ''}")
        self._ink.write([[("dim", f"  pair {pair} of {number}   "), ("", printable("   ".join(parts)))]])
