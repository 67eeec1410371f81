"""Every scenario ends as its tag says: `right` passes, `broken` fails with the word that its description names.

Takes minutes, so it is not part of `make test`; `.ci/run` runs it: pytest -m every_scenario.
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
from harness.model.finding import Word
from harness.scenario import load_scenarios

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "scenarios").rglob("*.yaml"))


def results(file: Path, reports: Path) -> list[dict[str, Any]]:
    """One per cell of its matrix."""
    command = [sys.executable, "-m", "harness.cli", "run", str(file), "--json", "--reports", str(reports)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    found = [d["result"] for d in documents if isinstance(d.get("result"), dict)]
    assert found, f"{file}: no result\n{done.stderr}"
    return found


@pytest.mark.every_scenario
@pytest.mark.timeout(1500)
def test_every_scenario_ends_as_its_tag_says(tmp_path: Path, redis_server_program: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        outcomes = dict(zip(FILES, pool.map(lambda file: results(file, tmp_path / file.stem), FILES), strict=True))
    wrong = [f"{file.relative_to(ROOT)}: {text}" for file, found in outcomes.items() for text in _problems(file, found)]
    assert not wrong, "\n".join(wrong)


def _problems(file: Path, found: list[dict[str, Any]]) -> list[str]:
    scenario = load_scenarios(file, registry())[0].scenario
    expected = "fail" if "broken" in scenario.tags else "pass"
    words = {w.value for w in Word if re.search(rf"\b{w.value}\b", scenario.description)}
    problems = []
    for result in found:
        said = "; ".join(f"{c['name']} {c['verdict']}: {c['summary']}" for c in result["checks"])
        if result["verdict"] != expected:
            faults = "; ".join(f"{f['name']}: {f['evidence']}" for f in result["faults"])
            problems.append(f"{result['verdict']} instead of {expected} ({said}; {faults})")
        named = {f["word"] for c in result["checks"] for f in c["findings"] if c["verdict"] == "fail"}
        if expected == "fail" and words and not words & named:
            problems.append(f"named {sorted(named)}, and its description says {sorted(words)}")
    return problems


def test_every_scenario_says_what_it_shows() -> None:
    for file in FILES:
        tags = set(load_scenarios(file, registry())[0].scenario.tags)
        assert len(tags & {"right", "broken"}) == 1, file
        assert ("broken" in file.stem) == ("broken" in tags), file
