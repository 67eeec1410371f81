"""The scenarios in the repository load, say what they expect, and aim at lines that exist."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from harness.assembly import registry
from harness.model.finding import Word
from harness.scenario import load_scenarios
from tests.tidy.repository import ROOT, relative

_FILES = sorted((ROOT / "scenarios").rglob("*.yaml"))
_PAIRS = [
    ("orders", "orders_broken"),
    ("orders", "orders_early"),
    ("reports", "reports_broken"),
    ("importer", "importer_broken"),
    ("importer", "importer_storm_broken"),
    ("importer", "importer_budget_broken"),
    ("shipments", "shipments_broken"),
    ("albums", "albums_broken"),
    ("deadletters", "deadletters_broken"),
    ("accounts", "accounts_broken"),
    ("quotes", "quotes_broken"),
]


def test_there_are_enough() -> None:
    assert len(_FILES) >= 12


@pytest.mark.parametrize("path", _FILES, ids=relative)
def test_it_loads_and_says_what_it_expects(path: Path) -> None:
    for loaded in load_scenarios(path, registry()):
        scenario = loaded.scenario
        assert scenario.description
        assert ("broken" in scenario.tags) != ("right" in scenario.tags), "tag it either right or broken"
        assert ("broken" in scenario.tags) == path.stem.endswith("-broken")
        named = [w for w in re.findall(r"\b[A-Z]{4,}\b", scenario.description) if w in Word.__members__]
        assert bool(named) == ("broken" in scenario.tags), "a broken one's description holds the word that it must fail with"
        assert scenario.checks or scenario.thresholds


@pytest.mark.parametrize("path", _FILES, ids=relative)
def test_line_triggers_aim_at_a_statement_of_the_task(path: Path) -> None:
    for loaded in load_scenarios(path, registry()):
        for item in loaded.scenario.timeline:
            if item.when is None or ":" not in item.when.reaches:
                continue
            name, _, line = item.when.reaches.partition("#")[0].rpartition(":")
            source = ROOT / "sample_tasks" / name
            statements = {node.lineno for node in ast.walk(_task(source, item.when.task)) if isinstance(node, ast.stmt)}
            assert int(line) in statements, f"{relative(path)} aims at {item.when.reaches}, which is no statement of {item.when.task}"


def _task(source: Path, name: str) -> ast.FunctionDef:
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            keywords = [k for d in node.decorator_list if isinstance(d, ast.Call) for k in d.keywords]
            if any(k.arg == "name" and ast.literal_eval(k.value) == name for k in keywords):
                return node
    raise AssertionError(f"{relative(source)} has no task {name}")


@pytest.mark.parametrize(("right", "twin"), _PAIRS)
def test_twins_differ_in_few_lines(right: str, twin: str) -> None:
    """Compared as code: comments and docstrings may say different things."""
    one, other = (_statements(ROOT / "sample_tasks" / f"{name}.py") for name in (right, twin))
    assert 1 <= len(one ^ other) <= 16


def _statements(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return set(ast.unparse(tree).splitlines())


@pytest.mark.parametrize("path", sorted((ROOT / "sample_tasks").glob("*.py")), ids=relative)
def test_samples_need_celery_and_nothing_of_ours(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.Import, ast.ImportFrom))]
    modules = [m for node in imports for m in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])]
    for module in modules:
        top = (module or "").partition(".")[0]
        assert top in sys.stdlib_module_names or top in ("celery", "kombu", "psycopg"), f"{relative(path)} imports {module}"
