"""What containers have mounted: of the run's own folder each sees its own part, and what is meant for all.

    base/parts/pay-1/       what the harness and this part alone have to say to one another: its settings with its logins, its orders
    base/common/            for every part: counters of armed faults, stores that are folders, the authority's certificate
    base/…                  mounted nowhere

On a site (containers that serve one run after another) mounts stay, so each run has a folder of its own below both of these.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from harness.runtimes.shared.environment import AGENT_FOLDER

__all__ = ["Folders", "emptied"]


@dataclass(frozen=True, slots=True)
class Folders:
    """Bind mounts, all at the same path inside as outside. ``base``: short-lived, the run's own or its site's. ``report``: logs and
    journals. ``root``: the user's project; None: the image has it. ``run``: the name of this run's folders on a site.
    ``reports``: the folder of all runs' reports, which is mounted on a site. All but the agent's are read-write.
    """

    base: Path
    report: Path
    root: Path | None
    run: str = ""
    reports: Path | None = None

    def home(self, part: str) -> Path:
        """What a part's container has mounted for itself."""
        return _made(self.base / "parts" / part)

    def part(self, part: str) -> Path:
        """For what this run has to say to a part and to no other."""
        return _made(self.home(part) / self.run)

    def common(self) -> Path:
        """For what all parts of this run may see."""
        return _made(_made(self.base / "common") / self.run)

    def mounts(self, part: str) -> list[tuple[Path, str]]:
        """Those of a part. The agent's folder may lie in the project's: it stays read-only."""
        self.part(part)
        self.common()
        own = (self.root, self.reports or self.report, self.home(part), self.base / "common")
        return [*{path.resolve(): "rw" for path in own if path is not None}.items(), (AGENT_FOLDER, "ro")]

    def forget(self) -> None:
        """This run's folders on a site; never raises."""
        if self.run:
            for folder in (self.base / "common", *(self.base / "parts").glob("*")):
                shutil.rmtree(folder / self.run, ignore_errors=True)


def emptied(folder: Path, keep: Collection[str]) -> None:
    """Everything in it that has another name is removed: what a run before put there is nothing for the next."""
    for entry in list(os.scandir(folder)):
        if entry.name in keep:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                Path(entry.path).unlink()


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
