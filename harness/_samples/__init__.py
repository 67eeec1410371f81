"""The sample apps and scenarios that `celery-harness demo` runs, wherever the harness was installed.

There is one copy in the repository: ``sample_tasks/`` and ``scenarios/`` at its root. A wheel carries them in this
folder; an editable install finds them in the checkout.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.errors import EnvironmentFault

__all__ = ["BROKEN", "RIGHT", "demo_scenarios", "root", "unpack"]

#: The demo's two scenarios, relative to the samples' root.
BROKEN = Path("scenarios/payments/charge-twice-broken.yaml")
RIGHT = Path("scenarios/payments/charge-survives-worker-kill.yaml")

_PARTS = ("sample_tasks", "scenarios")


def root() -> Path:
    """The folder that holds ``sample_tasks`` and ``scenarios``: inside the wheel, or the checkout.

    Raises EnvironmentFault where neither is there: the installation is incomplete.
    """
    here = Path(__file__).resolve().parent
    for folder in (here, here.parent.parent):
        if (folder / RIGHT).is_file() and (folder / "sample_tasks" / "orders.py").is_file():
            return folder
    raise EnvironmentFault("the sample apps are missing from this installation", where=str(here), hint="install celery-harness again")


def demo_scenarios() -> tuple[Path, Path, Path]:
    """(project folder, the broken scenario, the right one) of the demo: the checkout, or a copy in the current folder."""
    found = root()
    if found == Path(__file__).resolve().parent:
        found = unpack(Path.cwd() / "celery-harness-demo")
    return found, found / BROKEN, found / RIGHT


def unpack(destination: Path) -> Path:
    """Copy the samples to where a user can read and change them; return that folder.

    A project of its own: tracebacks show the sample's lines as the user's, which those below site-packages never are.
    Files of ours that are there already are overwritten, so that the demo always runs what it was shipped with.
    Raises EnvironmentFault where the copy cannot be written.
    """
    try:
        for part in _PARTS:
            shutil.copytree(root() / part, destination / part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    except (OSError, shutil.Error) as exc:
        raise EnvironmentFault(f"the samples cannot be copied to {destination}: {exc}", hint="use a folder that you can write to") from exc
    return destination
