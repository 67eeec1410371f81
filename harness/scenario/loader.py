"""A scenario file, read, merged, multiplied by its matrix and held against the registry."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML

from harness.errors import ScenarioError, UsageError
from harness.model.scenario import Scenario
from harness.ports.fault import Fault
from harness.ports.registry import Registry, RuntimeAbilities
from harness.scenario.abilities import check_faults_fit
from harness.scenario.errors import Problems
from harness.scenario.extends import read_extended
from harness.scenario.hosts import check_hosts
from harness.scenario.locust import check_generator
from harness.scenario.names import known
from harness.scenario.phrases import validated
from harness.scenario.placeholders import cell_title, cells, check_env, check_strays, substitute
from harness.scenario.references import check_brokers, check_checks, check_services, check_timeline, parts_of
from harness.scenario.rules import check_names, check_rules
from harness.scenario.schedule import unrolled
from harness.scenario.stand_ins import check_stand_ins
from harness.scenario.traces import placed_traces, played
from harness.scenario.tree import Entry, Fields, Scalar, Tree, describe, place_of, plain, planted

__all__ = ["LoadedScenario", "check_abilities", "load_scenarios", "written_out"]

_VERSION = 1
_MAX_SEED = 2**63


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """One cell of a scenario file, ready to run."""

    scenario: Scenario
    name: str  #: the file's stem
    path: Path
    cell: Mapping[str, Any]  #: matrix values of this cell, {} without a matrix
    text: str  #: the file as run, in YAML: `extends` merged, matrix and seed filled in
    faults: tuple[BaseModel, ...]  #: validated parameters, one per timeline item
    fault_kinds: tuple[type[Fault], ...]  #: the faults themselves, one per timeline item
    checks: Mapping[str, BaseModel]  #: check name -> validated parameters, `thresholds` among them
    stores: Mapping[str, tuple[str, BaseModel]]  #: service name -> (kind, validated parameters)
    tree: Fields = field(repr=False, compare=False)

    @property
    def title(self) -> str:
        """``'orders [broker=redis]'``: the name with the cell."""
        return cell_title(self.name, self.cell)

    def where(self, *path: str | int, key: bool = False) -> str:
        """``file:line:column`` of a value such as ``("load", 0, "send")`` (or of its key), or of the nearest thing written."""
        return str(place_of(self.tree, path, key=key))

    def error(self, what: str, *path: str | int, hint: str = "", key: bool = False) -> ScenarioError:
        """An error at a value (or its key): for what turns out to be wrong only once the app is imported."""
        return ScenarioError(what, where=self.where(*path, key=key), hint=hint)


def load_scenarios(path: Path, registry: Registry, *, seed: int | None = None) -> list[LoadedScenario]:
    """One scenario per cell of the file's matrix, in the matrix's order.

    ``seed`` goes before the file's own. Raises ScenarioError for one error, ScenarioErrors for several, always for all
    that can be told from the file; UsageError for a seed that is not in 0 ... 2⁶³-1.
    """
    if seed is not None and not 0 <= seed < _MAX_SEED:
        raise UsageError(f"the seed {seed} is not in 0 ... 2^63-1")
    problems = Problems()
    whole = read_extended(path, problems)
    _check_version(whole)
    combinations = cells(whole, problems)
    problems.raise_any()
    if seed is not None:
        whole = Fields({**whole.entries, "seed": _seeded(whole, seed)}, whole.place)
    loaded = [_cell(path, whole, cell, registry, problems) for cell in combinations]
    problems.raise_any()
    return [one for one in loaded if one is not None]


def check_abilities(loaded: LoadedScenario, runtime: RuntimeAbilities) -> None:
    """Raise ScenarioError(s) for every fault that needs an ability which the runtime lacks, naming fault, runtime and ability."""
    problems = Problems()
    check_faults_fit(loaded.fault_kinds, loaded.tree, runtime, problems)
    problems.raise_any()


def _check_version(tree: Fields) -> None:
    """First of all: the keys of another version may mean other things."""
    version = tree.get("version")
    if version is None:
        raise ScenarioError("`version` is missing", where=str(tree.place), hint=f"begin the file with `version: {_VERSION}`")
    if not isinstance(version, Scalar) or isinstance(version.value, bool) or version.value != _VERSION:
        quoted = isinstance(version, Scalar) and version.value == str(_VERSION)
        hint = "write it without quotation marks" if quoted else f"this harness reads version {_VERSION}"
        shown = f'"{_VERSION}" (text)' if quoted else describe(version)
        raise ScenarioError(f"`version` is {_VERSION}, not {shown}", where=str(version.place), hint=hint)


def _seeded(tree: Fields, seed: int) -> Entry:
    entry = tree.entries.get("seed")
    place = entry.key if entry is not None else tree.place
    return Entry(place, planted(seed, place))


def _cell(path: Path, whole: Fields, cell: Mapping[str, Tree], registry: Registry, problems: Problems) -> LoadedScenario | None:
    written = placed_traces(substitute(whole, cell, problems))
    check_strays(written, cell, problems)
    tree = unrolled(written, problems)
    parts = parts_of(tree)
    scenario = validated(Scenario, _without_nulls(tree, "checks"), problems)
    scenario = played(scenario, tree, problems) if scenario is not None else None
    check_brokers(tree, registry, problems)
    stores = check_services(tree, parts, registry, problems)
    checks = check_checks(tree, parts, registry, problems)
    check_generator(scenario, tree, [name for name in checks if getattr(registry.checks[name], "needs_clean", False)], problems)
    timeline = check_timeline(tree, parts, registry, problems)
    check_env(tree, parts.offers(registry), problems)
    check_names(tree, problems)
    check_hosts(tree, parts, problems)
    if scenario is None:
        return None
    check_rules(scenario, tree, problems)
    check_stand_ins(scenario, tree, stores, problems)
    kinds = tuple(fault for fault, _ in timeline)
    if len(kinds) == len(scenario.timeline):
        _check_runtime(scenario, tree, kinds, registry, problems)
    return LoadedScenario(
        scenario=scenario,
        name=path.stem,
        path=path,
        cell={name: plain(value) for name, value in cell.items()},
        text=written_out(plain(written)),
        faults=tuple(parameters for _, parameters in timeline),
        fault_kinds=kinds,
        checks=checks,
        stores=stores,
        tree=tree,
    )


def _without_nulls(tree: Fields, key: str) -> Fields:
    """With `{}` for every entry of a mapping of which nothing is written."""
    entry = tree.entries.get(key)
    if entry is None or not isinstance(entry.value, Fields):
        return tree
    filled = {
        name: Entry(inner.key, Fields({}, inner.key)) if isinstance(inner.value, Scalar) and inner.value.value is None else inner
        for name, inner in entry.value.entries.items()
    }
    return Fields({**tree.entries, key: Entry(entry.key, Fields(filled, entry.value.place))}, tree.place)


def _check_runtime(scenario: Scenario, tree: Fields, faults: tuple[type[Fault], ...], registry: Registry, problems: Problems) -> None:
    """A pinned runtime is known now; for `auto`, `check_abilities` follows once it is chosen."""
    if scenario.runtime == "auto":
        return
    runtime = registry.runtimes.get(scenario.runtime)
    if runtime is not None:
        check_faults_fit(faults, tree, runtime, problems)
    elif registry.runtimes:
        problems.add(place_of(tree, ("runtime",)), f"this version has no runtime `{scenario.runtime}`", known(registry.runtimes))


def written_out(document: Any) -> str:
    """A scenario's text, in YAML; its order stays. ``document``: Python's own dicts, lists and values."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()
