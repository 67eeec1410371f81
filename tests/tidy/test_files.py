"""Files stay short, agree on the version, and hold nothing that does not belong into a repository."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

import harness
from tests.tidy.repository import ROOT, files, relative

_LONGEST = 400
#: Longer files, and why they may be.
_LONG: dict[str, str] = {
    "requirements.lock": "written by a program",
    "harness/scenario/schema.json": "written by a program",
    "harness/reporting/result.schema.json": "written by a program",
    "reports/sample/report.html": "written by a program",
}
_TEXT = (".py", ".md", ".yaml", ".yml", ".toml", ".html", ".css", ".js", ".sh", ".txt", ".json", "")
#: What must not be committed, and why. Written so that this table does not match itself.
_FORBIDDEN = {
    r"\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b": "unfinished work",
    r"(?<![\w.}~$-])/(ho[m]e|ro[o]t|Us[e]rs|wo[r]k)/": "a path of somebody's machine",
    r"--(extra-)?inde[x]-url|--find-lin[k]s": "a package index of somebody's own",
    r"pytest\.mark\.(ski[p]|xfai[l])\b": "a test that does not run",
}


def _python_and_pages() -> list[Path]:
    return [f for f in files() if f.suffix in _TEXT and "vendor" not in f.parts and "vendored" not in f.parts and f.name != "LICENSE"]


@pytest.mark.parametrize("path", _python_and_pages(), ids=relative)
def test_files_are_short(path: Path) -> None:
    if relative(path) not in _LONG:
        count = len(path.read_text().splitlines())
        assert count <= _LONGEST, f"{relative(path)} has {count} lines: split it, or say in _LONG why not"


def test_the_list_of_long_files_is_current() -> None:
    for name in _LONG:
        if (ROOT / name).exists():
            assert len((ROOT / name).read_text().splitlines()) > _LONGEST, f"{name} is short now: take it off the list"


@pytest.mark.parametrize("path", _python_and_pages(), ids=relative)
def test_nothing_forbidden(path: Path) -> None:
    text = path.read_text()
    for pattern, why in _FORBIDDEN.items():
        found = re.search(pattern, text)
        assert found is None, f"{relative(path)}: {found[0]!r} is {why}"


def test_version_is_the_same_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert "## [Unreleased]" in changelog
    assert versions[:1] in ([], [harness.__version__]), "CHANGELOG's newest release is not harness.__version__"
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project, "the version is written once, in harness/__init__.py"


def test_no_folder_of_tests_is_left_out() -> None:
    found = {
        relative(path.parent).split("/")[1] for path in files() if path.name.startswith("test_") and relative(path).startswith("tests/")
    }
    testpaths = re.search(r"^testpaths = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert testpaths and {f'"tests/{name}"' for name in found - {"tidy"}} == set(testpaths[1].split(", "))


def test_scripts_are_executable() -> None:
    for path in files():
        if path.suffix in ("", ".py") and path.read_bytes()[:2] == b"#!":
            assert path.stat().st_mode & stat.S_IXUSR, f"{relative(path)} begins with #! and is not executable"


def test_lock_is_exact_and_of_no_index() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith((" ", "#"))]
    assert lines and all("==" in line for line in lines)
    assert "://" not in (ROOT / "requirements.lock").read_text()
    locked = {line.partition("==")[0].partition("[")[0].lower() for line in lines}
    project = (ROOT / "pyproject.toml").read_text()
    core = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    dev = re.search(r"^dev = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert core and dev
    wanted = re.findall(r'^\s*"([A-Za-z0-9._-]+)', core[1] + dev[1], re.MULTILINE)
    missing = [name for name in wanted if re.sub(r"[-_.]+", "-", name).lower() not in locked]
    assert not missing, f"requirements.lock lacks {missing}: run make lock"
