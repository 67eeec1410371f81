"""Which cells a gate runs and in which order: estimates, value, shards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from harness.errors import UsageError
from harness.model.gate import Baseline, Shard
from harness.model.verdict import Verdict
from harness.scenario import LoadedScenario
from harness.scenario.extent import at_most_calls, latest_end

__all__ = [
    "PlannedCell",
    "digest_of",
    "keys_of",
    "most_valuable_first",
    "parse_shard",
    "plan_cell",
    "plan_certificate",
    "shard_of",
]

#: Seconds of one pass beside its load: starting workers and producer, draining, looking into broker and stores; measured on two cores.
_PER_PASS = {"processes": 3.0, "containers": 5.0}
#: Seconds of one call in a clean pass, where nothing waits for arrivals.
_PER_CALL = 0.1
_CLEAN_PASSES = 2
#: Seconds to import the app and look at its first world, which the certificates of one file share; what one of them guards.
_PER_FILE = 4.0
_EVERY_CRASH = 4

#: Says nothing about what is measured: these may change without making it another measurement.
_WORDS = ("description", "tags")


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """One cell of the plan. ``estimate``: seconds that it will probably take; ``value``: what it guards, see `plan_cell`."""

    key: str
    file: str
    title: str
    digest: str
    estimate: float
    value: int
    before: Verdict | None = None  # the baseline's verdict, None where it has none
    first: bool = True  # new, changed or not passed in the baseline: before all others
    certificate: bool = False  # it is checked whether that of a task holds; else a run
    line: int | None = None  # of a certificate: where the scenario names the task

    @property
    def worth(self) -> float:
        """Value per second."""
        return self.value / max(self.estimate, 0.1)


def digest_of(text: str) -> str:
    """Of a scenario as it is run (`LoadedScenario.text`), whatever its description, its tags and the order of its keys are."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    kept = {key: value for key, value in document.items() if key not in _WORDS}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


def keys_of(cells: Sequence[LoadedScenario], root: Path) -> list[str]:
    """``scenarios/pay.yaml [broker=redis]`` for each: the file below the project's folder, and the cell. All different."""
    keys: list[str] = []
    for loaded in cells:
        key = _file(loaded, root) + loaded.title[len(loaded.name) :]
        same = sum(1 for other in keys if other == key or other.startswith(f"{key} #"))
        keys.append(f"{key} #{same + 1}" if same else key)
    return keys


def _file(loaded: LoadedScenario, root: Path) -> str:
    path = loaded.path.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def plan_cell(key: str, loaded: LoadedScenario, *, root: Path, runtime: str, clean: bool, baseline: Baseline | None) -> PlannedCell:
    """``clean``: a check compares worlds, which costs two more passes.

    Value: number of faults x number of checks, each at least 1. Estimate: what the baseline measured with this runtime, else
    from the load, the redelivery and the number of passes.
    """
    expected = baseline.cells.get(key) if baseline else None
    digest = digest_of(loaded.text)
    same = expected is not None and expected.digest == digest
    measured = expected.took if expected and same and baseline and baseline.runtime == runtime else 0.0
    return PlannedCell(
        key=key,
        file=_file(loaded, root),
        title=loaded.title,
        digest=digest,
        estimate=round(measured or _estimated(loaded, runtime, clean=clean), 3),
        value=max(1, len(loaded.fault_kinds)) * max(1, len(loaded.checks)),
        before=expected.verdict if expected else None,
        first=expected is None or not same or expected.verdict is not Verdict.PASS,
    )


def plan_certificate(loaded: LoadedScenario, call: str, line: int | None, *, root: Path, beside: int, taken: Iterable[str]) -> PlannedCell:
    """Of one of the tasks that a scenario explores. ``call``: the task with its arguments; ``beside``: how many the scenario explores.

    No baseline knows it: it holds or it does not.
    """
    file = _file(loaded, root)
    key = f"{file} certificate {call}"
    same = sum(1 for other in taken if other == key or other.startswith(f"{key} #"))
    return PlannedCell(
        key=f"{key} #{same + 1}" if same else key,
        file=file,
        title=f"{loaded.name}: certificate of {call}",
        digest=digest_of(loaded.text),
        estimate=round(_PER_FILE / max(1, beside), 3),
        value=_EVERY_CRASH,
        first=False,
        certificate=True,
        line=line,
    )


def _estimated(loaded: LoadedScenario, runtime: str, *, clean: bool) -> float:
    scenario = loaded.scenario
    passes = 1 + (_CLEAN_PASSES if clean else 0)
    calls = sum(map(at_most_calls, scenario.load))
    struck = max((item.at + (item.duration or 0.0) for item in scenario.timeline if item.at is not None), default=0.0)
    loaded_for = latest_end(scenario.load) if scenario.load else 0.0
    seconds = passes * _PER_PASS.get(runtime, max(_PER_PASS.values())) + max(loaded_for, struck)
    seconds += (passes - 1) * calls * _PER_CALL
    return seconds + (scenario.system.redelivery or 0.0 if scenario.timeline else 0.0)


def most_valuable_first(cells: Iterable[PlannedCell]) -> list[PlannedCell]:
    """What is new, changed or did not pass, then what guards most per second; equal ones by key."""
    return sorted(cells, key=lambda cell: (not cell.first, -cell.worth, cell.key))


def shard_of(cells: Sequence[PlannedCell], shard: Shard | None) -> list[PlannedCell]:
    """This shard's part of the plan, in the plan's order. Every cell is in exactly one shard; the longest are dealt out first.

    UsageError for more shards than cells: an empty one would have nothing to show, and no evidence is not a pass.
    """
    if shard is None:
        return list(cells)
    if shard.count > len(cells):
        raise UsageError(
            f"--shard {shard.index}/{shard.count}: the plan has only {len(cells)} cells", hint=f"use at most {len(cells)} shards"
        )
    loads = [0.0] * shard.count
    mine: set[str] = set()
    for cell in sorted(cells, key=lambda cell: (-cell.estimate, cell.key)):
        lightest = min(range(shard.count), key=lambda index: (loads[index], index))
        loads[lightest] += max(cell.estimate, 0.1)
        if lightest == shard.index - 1:
            mine.add(cell.key)
    return [cell for cell in cells if cell.key in mine]


def parse_shard(text: str) -> Shard:
    """``'2/4'``; UsageError for anything else."""
    index, slash, count = text.partition("/")
    if not slash or not index.strip().isdecimal() or not count.strip().isdecimal():
        raise UsageError(f"--shard {text!r} is not a part of a whole", hint="write for instance --shard 2/4: the second of four")
    if not 1 <= int(index) <= int(count):
        raise UsageError(
            f"--shard {text}: there is no such part",
            hint=f"with {count.strip()} shards, write 1/{count.strip()} to {count.strip()}/{count.strip()}",
        )
    return Shard(index=int(index), count=int(count))
