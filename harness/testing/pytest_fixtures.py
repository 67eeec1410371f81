"""What the fixtures do once they are asked for."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.model.result import RunResult
from harness.ports.reporter import Progress
from harness.testing.configuration import EXAMPLE, Configuration, find_configuration, merged, nested
from harness.testing.drawn import DrawnPlans
from harness.testing.harness import Harness
from harness.testing.pytest_reports import Judge, attach, detach
from harness.testing.pytest_signals import terminate_like_an_interrupt
from harness.testing.shared import SharedHarness
from harness.testing.workshop import Workshop

__all__ = ["harness_of", "overrides", "shared_harness_of", "system_of_project", "workshop_of"]

_WORKSHOP = pytest.StashKey[Workshop]()
_LOG = logging.getLogger("celery_harness")
_LONGEST_NAME = 80


class _ProjectTable(dict[str, Any]):
    """`[tool.celery-harness]` as the fixture `harness_system` gives it where nobody overrides it. ``root``: its project."""

    root: Path | None = None


class _LogListener:
    """Progress as log lines: `--log-cli-level=INFO` shows what takes long."""

    def begun(self, title: str, environment: str) -> None:
        """As the console has it."""
        _LOG.info("%s: %s", title, environment)

    def progress(self, event: Progress) -> None:
        """What is said in words."""
        if event.text:
            _LOG.info("%s: %s", event.phase, event.text)

    def finished(self, result: RunResult, folder: Path) -> None:
        """The verdict."""
        _LOG.info("%s: %s", result.scenario, result.verdict)


def workshop_of(config: pytest.Config) -> Workshop:
    """The session's; what it keeps is stopped at the session's end. From the first one on, `Judge` listens."""
    found = config.stash.get(_WORKSHOP, None)
    if found is None:
        found = config.stash[_WORKSHOP] = Workshop(_LogListener, keep_passed=config.getoption("harness_reports") is not None)
        config.pluginmanager.register(Judge(found), "celery-harness-judge")
        config.add_cleanup(terminate_like_an_interrupt())
        config.add_cleanup(found.close)  # should the session not come to its end
    return found


def overrides(config: pytest.Config) -> dict[str, Any]:
    """What the command line says, in place of everything else."""
    runtime = config.getoption("harness_runtime")
    reports, seed = config.getoption("harness_reports"), config.getoption("harness_seed")
    said = {"runtime": runtime or None, "seed": seed, "reports": str(config.invocation_params.dir / reports) if reports else None}
    return {key: value for key, value in said.items() if value is not None}


def system_of_project(config: pytest.Config) -> Mapping[str, Any]:
    """`[tool.celery-harness]` of the root folder's pyproject.toml, or the nearest one above the files that were named; {} without any."""
    top = config.rootpath
    named = [Path(config.invocation_params.dir, arg.partition("::")[0]) for arg in config.args]
    for start in (top, *(path if path.is_dir() else path.parent for path in named)):
        if (found := find_configuration(start, top)) is not None:
            return _table(found)
    return _ProjectTable()


def harness_of(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """The fixture `harness`."""
    node = request.node
    harness = Harness(workshop_of(request.config), _configuration(request), _file_name(node.name))
    harness.drawn = DrawnPlans(harness, request.function)
    attach(node, harness)
    try:
        yield harness
    finally:
        detach(node, harness)
        harness.close()


def shared_harness_of(request: pytest.FixtureRequest) -> Iterator[SharedHarness]:
    """The fixtures `harness_class` and `harness_module`."""
    node = request.node
    harness = SharedHarness(workshop_of(request.config), _configuration(request), _file_name(Path(node.name).stem))
    attach(node, harness)
    try:
        yield harness
        detach(node, harness)
        harness.finish()
    finally:
        harness.close()


def _configuration(request: pytest.FixtureRequest) -> Configuration:
    """The fixture `harness_system`, the markers on top, the command line on top of these. UsageError where there is none."""
    given = request.getfixturevalue("harness_system")
    node, top = request.node, request.config.rootpath
    where, root = "the fixture harness_system", top
    if isinstance(given, _ProjectTable):
        nearest = find_configuration(node.path if node.path.is_dir() else node.path.parent, top)
        given = _table(nearest) if nearest is not None else given
        root = given.root or top
        where = f"[tool.celery-harness] in {root / 'pyproject.toml'}"
    if not isinstance(given, Mapping):
        raise UsageError(f"the fixture harness_system returned {type(given).__name__}, not a mapping", hint=_HINT)
    base = Configuration({}, root, "").with_changes(nested(given, where), where)
    for marker in reversed(list(node.iter_markers("harness"))):
        if marker.args:
            raise UsageError(
                f"{node.name}: the marker `harness` takes keys alone", hint='such as @pytest.mark.harness(checks={"no_loss": {}})'
            )
        at = f"the marker of {node.name}"
        base = base.with_changes(nested(marker.kwargs, at), at)
    if "app" not in base.document.get("system", {}):
        raise UsageError(f"{node.name} uses a harness, and nothing says what its system is", hint=_HINT)
    said = overrides(request.config)
    return base.with_changes(said, "the command line") if said else base


_HINT = (
    "write into the pyproject.toml of your project:\n\n"
    + "".join(f"      {line}\n" if line else "\n" for line in EXAMPLE.splitlines())
    + "\n  or override the fixture harness_system in conftest.py: it returns such a mapping"
)


def _table(found: Configuration) -> _ProjectTable:
    table = _ProjectTable(merged(found.document, {"runtime": found.runtime, "reports": str(found.reports)}))
    table.root = found.root
    return table


def _file_name(name: str) -> str:
    """Of a test, fit for a file."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:_LONGEST_NAME] or "test"
