"""Scenario files as tests: a file is collected, each cell of its matrix is an item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import registry
from harness.errors import HarnessError
from harness.scenario import LoadedScenario, load_scenarios
from harness.testing.configuration import Configuration
from harness.testing.outcomes import demand_pass
from harness.testing.pytest_fixtures import overrides, workshop_of

__all__ = ["ScenarioFile", "ScenarioItem"]

#: Markers with a meaning of their own: a tag of this name is none of them.
_NOT_TAGS = {"skip", "skipif", "xfail", "parametrize", "usefixtures", "filterwarnings", "harness"}


class ScenarioFile(pytest.File):
    """One file."""

    def collect(self) -> Iterator[ScenarioItem]:
        """An item per cell that can be run; one that cannot be set up where the file does not load."""
        workshop_of(self.config)  # from here on verdicts are told as ours
        try:
            cells = load_scenarios(self.path, registry(), seed=self.config.getoption("harness_seed"))
        except HarnessError as exc:
            yield ScenarioItem.from_parent(self, name="cell", loaded=None, refused=exc)
            return
        for loaded in cells:
            if loaded.scenario.only_explores:
                continue  # it only says what to explore: `run` passes it over as well
            values = ", ".join(f"{name}={value}" for name, value in loaded.cell.items())
            yield ScenarioItem.from_parent(self, name=f"cell[{values}]" if values else "cell", loaded=loaded, refused=None)


class ScenarioItem(pytest.Item):
    """One cell."""

    def __init__(self, *, loaded: LoadedScenario | None, refused: HarnessError | None, **more: Any) -> None:
        super().__init__(**more)
        self.loaded, self.refused = loaded, refused
        self.funcargs: dict[str, Any] = {}  # plugins that know functions alone ask every item for it (pytest-docker-tools)
        for tag in loaded.scenario.tags if loaded is not None else ():
            self._mark(tag)

    def setup(self) -> None:
        """A file that does not load is an error, not a failure."""
        if self.refused is not None:
            raise self.refused

    def runtest(self) -> None:
        """Run and judge it, as `celery-harness run` would from the root folder."""
        assert self.loaded is not None
        workshop = workshop_of(self.config)
        plain = Configuration({}, self.config.rootpath, str(self.path))
        said = {key: value for key, value in overrides(self.config).items() if key != "seed"}
        configuration = plain.with_changes(said, "the command line")
        result = workshop.run_loaded(self.loaded, configuration)
        demand_pass(result, folder=workshop.report_folder(configuration, result), root=self.config.rootpath)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it is written, and what it is called."""
        return self.path, 0, f"{self.path.name}::{self.name}"

    def _mark(self, tag: str) -> None:
        """For `-m`. Also under --strict-markers: what tags there are is for the files to say."""
        if tag in _NOT_TAGS or tag.startswith("_"):
            return
        self.config.addinivalue_line("markers", f"{tag}: a tag of scenario files")
        self.add_marker(getattr(pytest.mark, tag))
