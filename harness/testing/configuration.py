"""What a test's system is made of: the keys of a scenario, without load and timeline, from pyproject.toml or a fixture."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.model.scenario import System
from harness.scenario.names import known, nearest
from harness.scenario.project import project_table, unknown_key

__all__ = ["EXAMPLE", "KEYS", "RUNTIMES", "Configuration", "find_configuration", "merged", "nested", "read_configuration"]

#: What may be said of a test's system: a scenario's own keys.
KEYS = ("system", "checks", "drain", "time", "semantics", "seed")
_OWN = (*KEYS, "runtime", "reports")
#: What else `[tool.celery-harness]` may hold: other readers' tables.
_OTHERS = ("certificates", "gate", "images")
RUNTIMES = ("auto", "containers", "processes")

EXAMPLE = """\
[tool.celery-harness]
runtime = "processes"

[tool.celery-harness.system]
app = "shop:app"
broker = "redis"
redelivery = "2s"

[tool.celery-harness.system.workers.pay]
replicas = 2
concurrency = 1
prefetch_multiplier = 1
"""


@dataclass(frozen=True)
class Configuration:
    """``document``: as a scenario without load and timeline. ``root``: the project's folder; ``where``: what errors name."""

    document: Mapping[str, Any]
    root: Path
    where: str
    runtime: str = "auto"
    reports: Path = field(default=Path("reports"))

    def with_changes(self, changes: Mapping[str, Any], where: str) -> Configuration:
        """Mappings merged key by key, everything else replaced, null removes, as `extends` does.

        ``where``: who wants the change. UsageError for a key that is not known, and for a runtime that there is not.
        """
        _refuse_unknown(changes, _OWN, where)
        runtime, reports = changes.get("runtime", self.runtime), Path(changes.get("reports", self.reports))
        if runtime not in RUNTIMES:
            raise UsageError(f"there is no runtime {runtime!r}{nearest(str(runtime), RUNTIMES)}", where=where, hint=known(RUNTIMES))
        own = {key: value for key, value in changes.items() if key in KEYS}
        places = ", ".join(place for place in (self.where, where) if place)
        return replace(self, document=merged(self.document, own), runtime=runtime, reports=reports, where=places)

    @property
    def services(self) -> tuple[str, ...]:
        """Names of the system's services."""
        return tuple(self.document.get("system", {}).get("services", {}))

    @property
    def seed(self) -> int:
        """0 where none is given, as in a scenario."""
        return int(self.document.get("seed", 0))


def read_configuration(root: Path) -> Configuration | None:
    """Of `[tool.celery-harness]` in this folder's pyproject.toml; None where there is no `system` in it. UsageError for a bad file."""
    table = project_table(root)
    if "system" not in table.values:
        return None
    table.refuse_unknown((*_OWN, *_OTHERS))
    own = {key: value for key, value in table.values.items() if key not in _OTHERS}
    place = table.where("runtime") if own.get("runtime", "auto") not in RUNTIMES else f"{table.title} in {table.path}"
    return Configuration({}, root, "").with_changes(own, place)


def find_configuration(start: Path, top: Path) -> Configuration | None:
    """The nearest one from the folder ``start`` upwards to ``top``; in ``start`` alone where that does not lie below it."""
    for folder in _upwards(start.resolve(), top.resolve()):
        found = read_configuration(folder)
        if found is not None:
            return found
    return None


def nested(keys: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Keys of a scenario and of its `system` beside one another -> as a scenario has them. UsageError for one that is neither."""
    spec = tuple(System.model_fields)
    _refuse_unknown(keys, (*_OWN, *spec), where)
    own = {key: value for key, value in keys.items() if key in _OWN}
    inner = {key: value for key, value in keys.items() if key not in _OWN}
    return merged(own, {"system": inner}) if inner else own


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the changes; None removes a key. Nothing of either is shared with the outcome."""
    found = copy.deepcopy(dict(base))
    for key, value in changes.items():
        before = found.get(key)
        if value is None:
            found.pop(key, None)
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            found[key] = merged(before, value)
        else:
            found[key] = copy.deepcopy(value)
    return found


def _upwards(start: Path, top: Path) -> Iterator[Path]:
    yield start
    if start.is_relative_to(top):
        for folder in start.parents:
            if not folder.is_relative_to(top):
                return
            yield folder


def _refuse_unknown(table: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in names:
            raise unknown_key(key, names, where)
