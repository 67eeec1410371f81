"""What git knows about the project, and the baseline's commit beside it in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Checkout", "CheckoutFailed", "Repository"]

_SECONDS = 120
#: Set inside of git's hooks, where they would lead every git of ours astray.
_LEADING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")


@dataclass(frozen=True)
class Checkout:
    """``project``: the project's folder at a commit. ``beside``: an empty folder outside of the tree, that goes with it."""

    project: Path
    beside: Path


class CheckoutFailed(Exception):
    """A commit cannot be had in a folder of its own; says why."""


class Repository:
    """The repository around a folder. ``commit`` is '' where there is none (no git, no repository, no commit yet); `why` says which.

    ``claim``: writes into a temporary folder whose it is, so that `celery-harness clean` can tell when nobody's.
    """

    def __init__(self, root: Path, claim: Callable[[Path], None] = lambda folder: None) -> None:
        self.root = root.resolve()
        self._claim = claim
        self.top = self.root
        self.commit, self.why = "", ""
        if shutil.which("git") is None:
            self.why = "git is not installed"
            return
        top = self._git("rev-parse", "--show-toplevel")
        if top.returncode:
            said = top.stderr.strip().splitlines()
            self.why = "this is not a git repository" if "not a git repository" in top.stderr else (said or ["git cannot read it"])[0]
            return
        self.top = Path(top.stdout.rstrip("\n")).resolve()
        head = self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        self.commit = head.stdout.strip()
        self.why = "" if self.commit else "the repository has no commit yet"

    def state(self, ignoring: Sequence[Path] = ()) -> str:
        """The commit, with ``+`` where files differ from it or are new; those ``ignoring`` (files, folders) and bytecode do not count."""
        if not self.commit:
            return ""
        status = self._git("status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--", str(self.root))
        left_aside = [path.resolve() for path in ignoring]
        for entry in filter(None, status.stdout.split("\0")):
            path = self.top / entry[3:]
            if "__pycache__" not in path.parts and not any(path.is_relative_to(one) for one in left_aside):
                return f"{self.commit}+"
        return f"{self.commit}+" if status.returncode else self.commit

    @contextmanager
    def checkout(self, commit: str) -> Iterator[Checkout]:
        """The project's folder as it was at a commit, in a temporary place that is removed in any case. CheckoutFailed says why not."""
        if not self.commit:
            raise CheckoutFailed(self.why)
        if self._git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
            raise CheckoutFailed(
                f"the baseline's commit {commit[:12]} is not in this clone: fetch it (in GitHub's checkout: fetch-depth: 0)"
            )
        folder = Path(tempfile.mkdtemp(prefix="celery-harness-baseline-"))
        tree = folder / "tree"
        try:
            self._claim(folder)
            # No hooks: they are the user's, for a checkout of the user's.
            added = self._git("-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--force", str(tree), commit)
            if added.returncode:
                raise CheckoutFailed(f"git worktree add failed: {(added.stderr.strip().splitlines() or ['no reason given'])[-1]}")
            project = tree / self.root.relative_to(self.top)
            if not project.is_dir():
                raise CheckoutFailed(f"there is no folder {self.root.relative_to(self.top)} at {commit[:12]}")
            yield Checkout(project, folder / "runs")
        finally:
            self._git("worktree", "remove", "--force", "--force", str(tree))
            shutil.rmtree(folder, ignore_errors=True)
            self._git("worktree", "prune")

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """In the project's folder; never asks, never waits for ever."""
        environment = {name: value for name, value in os.environ.items() if name not in _LEADING}
        environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        command = ["git", *arguments]
        try:
            # A session of its own: Ctrl-C must not stop the removal of a folder half-way.
            return subprocess.run(
                command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=_SECONDS, start_new_session=True
            )
        except (OSError, UnicodeDecodeError, subprocess.TimeoutExpired) as exc:
            return subprocess.CompletedProcess(command, 1, "", str(exc))
