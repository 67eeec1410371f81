"""Every scenario ends as its tag says, on each runtime and each broker: `right` passes, `broken` fails with the word that its
description names; what a broker's delivery semantics make different is data (harness/brokers/differences.py).

Takes minutes, so it is not part of `make test`; `make scenarios` runs it, each night too: pytest -m every_scenario.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import registry
from harness.brokers.differences import difference
from harness.model.finding import Word
from harness.scenario import load_scenarios

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "scenarios").rglob("*.yaml"))
#: The broker that most scenarios name; those of scenarios/rabbitmq/ are about that one alone.
USUAL = "redis"


def results(file: Path, runtime: str, reports: Path) -> list[dict[str, Any]]:
    """One per cell of its matrix."""
    command = [sys.executable, "-m", "harness.cli", "run", str(file), "--json", "--runtime", runtime, "--reports", str(reports)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    found = [d["result"] for d in documents if isinstance(d.get("result"), dict)]
    assert found, f"{file}: no result\n{done.stderr}"
    return found


def on_grounds(file: Path, runtime: str, broker: str, folder: Path) -> Path | None:
    """The scenario there; None: it is about another runtime or another broker."""
    scenario = load_scenarios(file, registry())[0].scenario
    if scenario.runtime not in ("auto", runtime):
        return None
    kind = scenario.system.broker_spec.kind
    if kind == broker:
        return file
    if kind != USUAL:
        return None
    path = folder / file.parent.name / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, "extends": str(file), "system": {"broker": {"kind": broker}}}))
    return path


@pytest.mark.every_scenario
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
@pytest.mark.parametrize("runtime", ["processes", "containers"])
def test_every_scenario_ends_as_its_tag_says(runtime: str, broker: str, tmp_path: Path, redis_server_program: str) -> None:
    def ran(file: Path) -> list[str]:
        path = on_grounds(file, runtime, broker, tmp_path / "files")
        if path is None:
            return []
        found = results(path, runtime, tmp_path / "reports" / file.parent.name / file.stem)
        return [f"{file.relative_to(ROOT)}: {text}" for text in _problems(file, broker, found)]

    with ThreadPoolExecutor(2) as pool:
        wrong = [text for texts in pool.map(ran, FILES) for text in texts]
    assert not wrong, "\n".join(wrong)


def _problems(file: Path, broker: str, found: list[dict[str, Any]]) -> list[str]:
    scenario = load_scenarios(file, registry())[0].scenario
    usual = "fail" if "broken" in scenario.tags else "pass"
    described = {w.value for w in Word if re.search(rf"\b{w.value}\b", scenario.description)}
    problems = []
    for result in found:
        other = difference(broker, str(file.relative_to(ROOT / "scenarios").with_suffix("")), result["cell"])
        expected = other.verdict if other else usual
        words = ({other.word} if other.word else set()) if other else described
        said = "; ".join(f"{c['name']} {c['verdict']}: {c['summary']}" for c in result["checks"])
        if result["verdict"] != expected:
            faults = "; ".join(f"{f['name']}: {f['evidence']}" for f in result["faults"])
            problems.append(f"{result['verdict']} instead of {expected} ({said}; {faults}; {result['error']})")
        named = {f["word"] for c in result["checks"] for f in c["findings"] if c["verdict"] == "fail"}
        if expected == "fail" and words and not words & named:
            problems.append(f"named {sorted(named)}, and {sorted(words)} is what it should name")
    return problems


def test_every_scenario_says_what_it_shows() -> None:
    for file in FILES:
        tags = set(load_scenarios(file, registry())[0].scenario.tags)
        assert len(tags & {"right", "broken"}) == 1, file
        assert ("broken" in file.stem) == ("broken" in tags), file
