"""Explorations from a test: on a system of their own beside the test's, which is kept while the configuration stays the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.assembly import RUNTIMES, exploring_parts, system_plan
from harness.errors import EnvironmentFault, ScenarioError, UsageError
from harness.explore.ground import Ground
from harness.explore.rules import question_of
from harness.model.exploration import Exploration
from harness.ports.clock import Clock
from harness.ports.exploring import ExploresHere
from harness.run.examine import check_app
from harness.run.folders import new_run_folder
from harness.testing.configuration import Configuration
from harness.testing.outcomes import Breaks, Undecided
from harness.testing.wording import exploration_text

if TYPE_CHECKING:
    from harness.scenario import LoadedScenario
    from harness.testing.harness import Harness

__all__ = ["Explorations", "Explored", "demand_certified", "item_of"]

#: Of a configuration, what an exploration depends on.
_KEYS = ("system", "semantics", "seed")


class _Open:
    """A system that explores. ``folder``: of its logs, and of the plans of what was told of; else it goes with the system."""

    def __init__(self, loaded: LoadedScenario, root: Path, run_id: str, folder: Path, clock: Clock) -> None:
        self.folder, self.told = folder, False
        self._stack = ExitStack()
        system = RUNTIMES["processes"][0]().system(system_plan(loaded, root, run_id, folder, clock))
        self._system = system
        self._stack.callback(system.close)
        try:
            self.ground = self._opened(loaded, system)
        except BaseException:
            self._stack.close()
            raise

    def _opened(self, loaded: LoadedScenario, system: Any) -> Ground:
        asked = loaded.scenario.system
        check_app(loaded.scenario, system.examine({"app": asked.app, "objects": [asked.setup] if asked.setup else []}), loaded.where)
        system.open()
        if not isinstance(system, ExploresHere):
            raise EnvironmentFault("this system cannot be explored")
        return Ground(*self._stack.enter_context(exploring_parts(system, dict(getattr(system, "stores", {})))))

    def environment(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self._system.environment()
        return found

    def close(self, *, keep: bool) -> None:
        """``keep``: the folder of one in which nothing failed, too."""
        self._system.came_to_its_end()
        self._stack.close()
        if not (self.told or keep):
            shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Explored:
    """What was found, and the scenario that asks for the same. It is not written before somebody is told of it."""

    found: Exploration
    file: Path
    text: str
    opened: _Open

    def saved(self) -> Path:
        """Hypothesis explores others after the smallest that fails, all under the test's name: the last that is told stays."""
        self.opened.told = True
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(self.text, encoding="utf-8")
        return self.file


class Explorations:
    """Those of one workshop. ``keep_passed``: whether what was certified leaves a report, too."""

    def __init__(self, clock: Clock, *, keep_passed: bool) -> None:
        self._clock, self._keep_passed = clock, keep_passed
        self._open: _Open | None = None
        self._key = ""

    def explore(self, configuration: Configuration, item: Mapping[str, Any], *, name: str) -> Explored:
        """The verdict. ``item``: as a scenario's `explore` has it; ``name``: of the file that asks for the same.

        ScenarioError where the task cannot be explored; UsageError for a configuration that says containers.
        """
        from harness.testing.workshop import loaded_plan

        if configuration.runtime == "containers":
            raise UsageError(
                "explore needs the task under this machine's kernel, and this harness runs containers",
                hint='@pytest.mark.harness(runtime="processes") for this test, or --harness-runtime processes',
            )
        wanted = replace(configuration, document={key: value for key, value in configuration.document.items() if key in _KEYS})
        opened = self._opened(wanted, item, name)
        file = opened.folder / "plans" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        with loaded_plan(wanted, {"explore": [dict(item)]}, file) as loaded:
            question, text = question_of(loaded.scenario.explore[0], loaded.scenario.semantics), file.read_text(encoding="utf-8")
            file.unlink()
            try:
                found = opened.ground.explore(question, seed=loaded.scenario.seed)
            except ScenarioError:
                raise  # the task's own affair: the next one finds everything as it was
            except BaseException:
                self.close()
                raise
        found = replace(found, environment={**found.environment, **opened.environment(), "seed": str(loaded.scenario.seed)})
        explored = Explored(found, file, text, opened)
        if self._keep_passed:
            explored.saved()
        return explored

    def _opened(self, wanted: Configuration, item: Mapping[str, Any], name: str) -> _Open:
        from harness.testing.workshop import loaded_plan

        key = json.dumps([str(wanted.root), str(wanted.reports), wanted.runtime, wanted.document], sort_keys=True, default=str)
        if self._open is not None and key == self._key:
            return self._open
        self.close()
        run_id, folder = new_run_folder(wanted.root / wanted.reports)
        try:
            file = folder / "plans" / f"{name}.yaml"
            file.parent.mkdir()
            with loaded_plan(wanted, {"explore": [dict(item)]}, file) as loaded:
                self._open, self._key = _Open(loaded, wanted.root, run_id, folder, self._clock), key
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self._open

    def close(self) -> None:
        """Also twice."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.close(keep=self._keep_passed)


def demand_certified(harness: Harness, explored: Explored) -> Exploration:
    """The exploration, where it is certified. Else `Breaks` with the story, or `Undecided` with the reason."""
    __tracebackhide__ = True
    found = explored.found
    if found.verdict == "certified":
        return found
    text = exploration_text(found, explored.saved(), harness.configuration.root)
    raise (Breaks if found.verdict == "fails" else Undecided)(found, text)


def item_of(task: str, args: Sequence[Any], kwargs: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """As a scenario's `explore` has it."""
    limit = {key: options[key] for key in ("worlds", "time", "kills") if options.get(key) is not None}
    semantics = options.get("semantics")
    return {
        "task": task,
        "args": list(args),
        "kwargs": dict(kwargs),
        **({"limit": limit} if limit else {}),
        **({"semantics": semantics} if semantics else {}),
    }
