"""Scenario files: YAML to model, held against the registry, with errors at file:line:column."""

from __future__ import annotations

from harness.scenario.errors import ScenarioErrors
from harness.scenario.loader import LoadedScenario, check_abilities, load_scenarios
from harness.scenario.names import nearest
from harness.scenario.schema import build_schema, write_schema

__all__ = ["LoadedScenario", "ScenarioErrors", "build_schema", "check_abilities", "load_scenarios", "nearest", "write_schema"]
