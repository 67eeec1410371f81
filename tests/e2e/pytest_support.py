"""Sample projects in a folder of their own, and pytest run in them as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

PROJECTS = Path(__file__).parent / "projects"
#: Plugins of this environment that a test brings in by name.
OTHERS = ("randomly", "celery", "asyncio", "django", "xdist", "timeout")


@dataclass(frozen=True)
class Session:
    """One pytest that ended. ``outcomes``: test -> passed, failed, error or skipped, the worst of its phases."""

    status: int
    text: str
    outcomes: dict[str, str]
    folder: Path


def copied(name: str, folder: Path) -> Path:
    """A sample project, where it may be written to."""
    return Path(shutil.copytree(PROJECTS / name, folder / name))


def run_pytest(folder: Path, *arguments: str, using: tuple[str, ...] = (), timeout: float = 240, **env: str) -> Session:
    """`pytest` in a project, with those of `OTHERS` that are named in ``using``."""
    off = [option for name in OTHERS if name not in using for option in ("-p", f"no:{name}")]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "CELERY_HARNESS_", "DJANGO_"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--junitxml=junit.xml",
        f"--basetemp={folder / 'tmp'}",
        *off,
        *arguments,
    ]
    process = subprocess.Popen(
        command, cwd=folder, env={**inherited, "COLUMNS": "160", **env}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        text, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.terminate()
        text, _ = process.communicate()
        raise AssertionError(f"pytest did not end within {timeout:.0f} s:\n{text}") from None
    return Session(process.returncode, text, _outcomes(folder / "junit.xml"), folder)


def _outcomes(file: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for case in ET.parse(file).getroot().iter("testcase") if file.exists() else ():
        kinds = [child.tag for child in case]
        outcome = next(
            (word for word, tag in (("error", "error"), ("failed", "failure"), ("skipped", "skipped")) if tag in kinds), "passed"
        )
        found[case.get("name", "")] = outcome
    return found
