"""The wheel holds the package, its agent, its templates and its samples, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness import _samples
from tests.tidy.repository import ROOT, files, relative


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("celery_harness-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_holds_harness_and_nothing_else(names: set[str]) -> None:
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"harness"}


def test_every_file_of_the_package_is_in_it(names: set[str]) -> None:
    ours = {relative(f) for f in files() if f.relative_to(ROOT).parts[0] == "harness"}
    assert ours <= names
    for part in ("sample_tasks", "scenarios"):
        assert {f"harness/_samples/{relative(f)}" for f in files() if f.relative_to(ROOT).parts[0] == part} <= names


def test_samples_are_found_in_a_checkout_and_can_be_unpacked(tmp_path: Path) -> None:
    assert _samples.root() == ROOT
    folder = _samples.unpack(tmp_path / "demo")
    assert (folder / _samples.RIGHT).read_text() == (ROOT / _samples.RIGHT).read_text()
    assert (folder / _samples.BROKEN).exists()
    assert (folder / "sample_tasks" / "orders.py").exists()


def test_the_demo_runs_what_the_checkout_holds() -> None:
    assert _samples.demo_scenarios() == (ROOT, ROOT / _samples.BROKEN, ROOT / _samples.RIGHT)
