"""What a run that was SIGKILLed left: processes with its id in their environment, and temporary folders."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import psutil

from harness.runtimes.shared.folders import remove_folder
from harness.runtimes.shared.segments import is_there, remove_segment, segments

__all__ = ["Leftovers", "claim", "claimed_folder", "end_strays", "leftovers", "lives", "new_folder", "owner", "remove"]

#: Its maker's pid is in the name, which is there before anything can be written into it.
_FOLDER = re.compile(r"celery-harness-\d{4}-\d{6}-[0-9a-f]{4}-(?:(\d+)-)?")
#: Made beside runs: they are ours where they say whose they are.
_BESIDE = re.compile(r"celery-harness-(baseline|base|compare|go|step)-")
_GIT_SECONDS = 30.0
_GONE_SECONDS = 5.0
_YOUNG_SECONDS = 10.0
_OWNER = "owner"


@dataclass
class Leftovers:
    """Found, not removed yet."""

    processes: list[tuple[int, str, str]] = field(default_factory=list)  # (pid, run id, command)
    folders: list[Path] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.processes or self.folders)

    def describe(self) -> list[str]:
        """A line each."""
        lines = [f"process {pid} of run {run}: {command}" for pid, run, command in self.processes]
        for folder in self.folders:
            lines += [f"shared memory {s.number} of a server in {folder}" for s in segments(folder) if is_there(s)]
            lines.append(f"folder {folder}")
        return lines


def owner() -> str:
    """This process as the owner of a run: its pid, its start time, which tells it apart from a later one with the same pid, and where
    that pid means something.
    """
    return f"{os.getpid()} {psutil.Process().create_time()} {_namespace()}".rstrip()


@lru_cache(maxsize=1)
def _namespace() -> str:
    """Of pids: that of this machine, or of the container that we are in. '' where there are none (not Linux)."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def claim(folder: Path) -> None:
    """Write who owns a temporary folder."""
    (folder / _OWNER).write_text(owner())


def new_folder(run_id: str) -> Path:
    """A temporary one of a run, ours from the first moment. OSError where it cannot be made."""
    folder = Path(tempfile.mkdtemp(prefix=f"celery-harness-{run_id}-{os.getpid()}-"))
    claim(folder)
    return folder


@contextlib.contextmanager
def claimed_folder(kind: str) -> Iterator[Path]:
    """A temporary one beside those of runs, of a ``kind`` that `_BESIDE` knows; removed afterwards, by `clean` where we are killed."""
    with tempfile.TemporaryDirectory(prefix=f"celery-harness-{kind}-") as name:
        folder = Path(name)
        claim(folder)
        yield folder


def leftovers() -> Leftovers:
    """Processes and folders of runs whose harness is gone. Only this user's."""
    found = Leftovers()
    for folder in sorted(Path(tempfile.gettempdir()).glob("celery-harness-*")):
        ours = _FOLDER.match(folder.name) or (_BESIDE.match(folder.name) and (folder / _OWNER).is_file())
        if ours and folder.is_dir() and folder.stat().st_uid == os.getuid() and not _owned(folder):
            found.folders.append(folder)
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            run = environment.get("CELERY_HARNESS_RUN")
            if (
                run
                and not lives(environment.get("CELERY_HARNESS_OWNER", ""))
                and os.getuid() in (0, process.uids().real)  # a server that refuses root runs as another
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.processes.append((process.pid, run, " ".join(process.cmdline())[:100]))
    return found


def _owned(folder: Path) -> bool:
    """Does the harness that made it live? A folder that says nothing yet is its maker's, by name; that pid may be one in a container."""
    with contextlib.suppress(OSError):
        if text := (folder / _OWNER).read_text():
            return lives(text)
    maker = _FOLDER.match(folder.name)
    if maker is not None and maker[1] and psutil.pid_exists(int(maker[1])):
        return True
    with contextlib.suppress(OSError):
        return time.time() - folder.stat().st_mtime < _YOUNG_SECONDS
    return True


def lives(owner: str) -> bool:
    """Does the process that `owner` names still run? Every process of a run carries it, so another TMPDIR hides nothing.

    From outside of a container one sees what runs in it, but under other pids: of an owner in there nobody here can say that it is gone.
    """
    try:
        pid, started, *where = owner.split()
        if where and where[0] != _namespace():
            return True
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < 1.0
    except (psutil.Error, ValueError):
        return False


def remove(found: Leftovers) -> None:
    """SIGKILL and wait; then shared memory that servers name which had their data there, and the folders."""
    victims = []
    for pid, run, _ in found.processes:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.environ().get("CELERY_HARNESS_RUN") == run:  # the pid may have been given to somebody else meanwhile
                process.kill()
                victims.append(process)
    psutil.wait_procs(victims, timeout=_GONE_SECONDS)
    for folder in found.folders:
        for segment in segments(folder):
            remove_segment(segment)
        repositories = [_repository(pointer) for pointer in folder.glob("*/.git")]
        remove_folder(folder)
        for repository in filter(None, repositories):
            _forget_worktrees(repository)


def _repository(pointer: Path) -> Path | None:
    """Of a git worktree, by its file `.git`: "gitdir: /shop/.git/worktrees/tree"."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        place = Path(pointer.read_text(encoding="utf-8").removeprefix("gitdir:").strip())
        if place.parent.name == "worktrees":
            return place.parent.parent
    return None


def _forget_worktrees(repository: Path) -> None:
    """Those whose folders are gone; without git, or where it refuses, it does so itself some day (gc.worktreePruneExpire)."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(["git", f"--git-dir={repository}", "worktree", "prune"], capture_output=True, timeout=_GIT_SECONDS, check=False)


def end_strays(run_id: str) -> bool:
    """SIGKILL to every process that has this run's id in its environment; are all of them gone?

    One that cleared its environment is not seen: it has nothing of the run's but logins that are worth nothing any more.
    """
    victims = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("CELERY_HARNESS_RUN") == run_id:
                process.kill()
                victims.append(process)
    return not psutil.wait_procs(victims, timeout=_GONE_SECONDS)[1]
