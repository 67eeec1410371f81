"""Where a run writes: a folder of its own below the reports', and `latest`, which points to the newest."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from pathlib import Path

from harness.errors import EnvironmentFault

__all__ = ["new_run_folder", "settle_folder"]


def new_run_folder(reports: Path) -> tuple[str, Path]:
    """A run id that is also a folder name, and the folder. EnvironmentFault where it cannot be made."""
    for _ in range(100):
        run_id = time.strftime("%m%d-%H%M%S-") + secrets.token_hex(2)
        folder = reports / run_id
        try:
            reports.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as exc:
            raise EnvironmentFault(
                f"the report folder {reports} cannot be written: {exc.strerror}", hint="choose another with --reports"
            ) from exc
        return run_id, folder.resolve()
    raise EnvironmentFault(f"no free run folder under {reports}")


def settle_folder(reports: Path, folder: Path) -> None:
    """A run refused for its input leaves no folder: there is no result in it. Any other is the latest, a partial one too."""
    if any((folder / name).exists() for name in ("result.json", "exploration.json")):
        _point_latest(reports, folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _point_latest(reports: Path, folder: Path) -> None:
    """Replaced in one step."""
    link = reports / "latest"
    temporary = reports / f".latest-{os.getpid()}"
    try:
        temporary.symlink_to(folder.name)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)
