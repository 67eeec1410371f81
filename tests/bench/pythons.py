"""`make pythons`: samples that no crash breaks have the same worlds on each Python, as `certify` itself compares them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from harness.assembly import registry  # noqa: E402
from harness.scenario import load_scenarios  # noqa: E402
from tests.e2e.test_explore_samples import EXPECTED  # noqa: E402

SCENARIO = "sample_tasks/crashes/explore.yaml"
RIGHT = [task for task, (word, _) in EXPECTED.items() if not word]


def main(names: list[str]) -> int:
    """``names``: interpreters, on PATH or as paths. 0: each has certified all of them, with worlds that are those of the first one."""
    if not names:
        print('which ones? make pythons PYTHONS="python3.10 python3.13"', file=sys.stderr)
        return 2
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        print(f"not on this machine: {', '.join(missing)}", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory(prefix="pythons-") as folder:
        project = Path(folder)
        shutil.copytree(ROOT / "sample_tasks", project / "sample_tasks", ignore=shutil.ignore_patterns("__pycache__", "certificates"))
        (loaded,) = load_scenarios(ROOT / SCENARIO, registry())
        items = [item.model_dump(mode="json", exclude_defaults=True) for item in loaded.scenario.explore if item.task in RIGHT]
        (project / "some.yaml").write_text(json.dumps({"version": 1, "extends": SCENARIO, "explore": items}))
        codes = [certified(project, name) for name in names]
        found = [json.loads(path.read_text()) for path in sorted((project / "certificates").glob("*.json"))]
        for one in found:
            print(f"{one['subject']['task']}: {one['worlds']['number']} worlds, {one['worlds']['fingerprint'][:12]}")
        whole = len(found) == len(items) and all(len(one["environments"]) == len(names) for one in found)
    return 0 if whole and not any(codes) else 1


def certified(project: Path, python: str) -> int:
    """In an environment of its own, into the same folder: `certify` ends with 4 where the worlds are not those that are there."""
    begun, venv = time.monotonic(), project / f"venv-{Path(python).name}"
    subprocess.run([str(ROOT / "tools" / "setup-venv"), str(venv)], env={**os.environ, "PYTHON": python}, check=True)
    command = [str(venv / "bin" / "python"), "-m", "harness.cli", "certify", "some.yaml", "--time", "10m"]
    done = subprocess.run(command, cwd=project, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{project}"}, check=False)
    print(f"{python}: exit {done.returncode}, {time.monotonic() - begun:.0f} s", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
