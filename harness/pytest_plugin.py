"""The pytest plugin: fixtures, a marker, scenario files as tests. See docs/pytest.md.

Every pytest of an environment that has us installed imports this module, so it imports nothing but pytest and the standard library, and
what it registers is asked once per session or per file, never per test. The rest comes with the first use, from `harness.testing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.testing.harness import Harness

__all__ = [
    "harness",
    "harness_class",
    "harness_module",
    "harness_system",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
]

_SUFFIXES = (".yaml", ".yml")
_VERSION, _SYSTEM = re.compile(r"^version\s*:", re.MULTILINE), re.compile(r"^(system|extends)\s*:", re.MULTILINE)
_LONGEST = 1 << 20  # bytes: no scenario is longer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and the ini setting."""
    group = parser.getgroup("celery-harness", "Celery reliability tests")
    group.addoption(
        "--harness-runtime",
        choices=["auto", "containers", "processes"],
        help="where brokers and workers run, in place of what the tests say (where they say nothing: CELERY_HARNESS_RUNTIME)",
    )
    group.addoption("--harness-reports", metavar="DIR", help="keep the report of every run below DIR, also of those that passed")
    group.addoption("--harness-seed", type=int, metavar="N", help="in place of the tests' own seeds")
    parser.addini(
        "celery_harness_scenarios",
        "patterns of scenario files that are tests, from the root folder; empty: only those named on the command line",
        type="args",
        default=["scenarios/*", "*/scenarios/*"],
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", "harness(**keys): what differs for this test from the system of the `harness_system` fixture")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A scenario file where it was asked for; every other file, YAML or not, is left alone."""
    if file_path.suffix not in _SUFFIXES:
        return None
    named = parent.session.isinitpath(file_path)
    if not (named or _is_wanted(file_path, parent.config)) or not _looks_like_a_scenario(file_path, named=named):
        return None
    from harness.testing.pytest_items import ScenarioFile

    return ScenarioFile.from_parent(parent, path=file_path)


def _is_wanted(path: Path, config: pytest.Config) -> bool:
    if not path.is_relative_to(config.rootpath):
        return False
    name = path.relative_to(config.rootpath).as_posix()
    return any(fnmatchcase(name, pattern) for pattern in config.getini("celery_harness_scenarios"))


def _looks_like_a_scenario(path: Path, *, named: bool) -> bool:
    """By two keys at the margin; one will do in a file that was named, so that what it lacks is told."""
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= _LONGEST else ""
    except (OSError, UnicodeDecodeError):
        return False
    found = [bool(pattern.search(text)) for pattern in (_VERSION, _SYSTEM)]
    return any(found) if named else all(found)


@pytest.fixture(scope="session")
def harness_system(pytestconfig: pytest.Config) -> Mapping[str, Any]:
    """What the tests' system is made of: the keys of a scenario. Override it in conftest.py, or write `[tool.celery-harness]`."""
    from harness.testing.pytest_fixtures import system_of_project

    return system_of_project(pytestconfig)


@pytest.fixture
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """A system of brokers and workers of this test's own, judged when the test returns."""
    from harness.testing.pytest_fixtures import harness_of

    yield from harness_of(request)


@pytest.fixture(scope="class")
def harness_class(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """One system for all tests of a class: healed and quiet before each, judged after each and at the end."""
    from harness.testing.pytest_fixtures import shared_harness_of

    yield from shared_harness_of(request)


@pytest.fixture(scope="module")
def harness_module(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """One system for all tests of a module: healed and quiet before each, judged after each and at the end."""
    from harness.testing.pytest_fixtures import shared_harness_of

    yield from shared_harness_of(request)
