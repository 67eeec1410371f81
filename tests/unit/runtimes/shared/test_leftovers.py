"""Whose harness is gone, and of whom nobody here can say so."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness.gate.repository import Repository
from harness.runtimes.shared.leftovers import claim, leftovers, lives, new_folder, owner, remove


def test_an_owner_is_known_by_pid_start_and_where_the_pid_means_something() -> None:
    pid, started, *where = owner().split()
    assert lives(owner()) and lives(f"{pid} {started}")
    assert not lives(f"{pid} {float(started) - 60} {' '.join(where)}"), "another process has its pid now"
    assert not lives(f"4194300 1.0 {' '.join(where)}") and not lives("4194300 1.0") and not lives("")


def test_one_in_a_container_is_left_alone() -> None:
    """What runs in there is seen from outside, under other pids: `clean` killed it."""
    assert Path("/proc/self/ns/pid").readlink() != Path("pid:[1]")
    assert lives("4194300 1.0 pid:[1]")


def test_a_folder_is_its_makers_before_anything_is_written_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its harness may be stopped for long between the two: `clean` took the folder from it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    silent = tmp_path / f"celery-harness-0101-000000-abcd-{os.getpid()}-x_1234567"
    gone, young, old = (tmp_path / f"celery-harness-0101-000000-abcd-{which}x_1234567" for which in ("4194300-", "4194301-", ""))
    for folder in (silent, gone, young, old):
        folder.mkdir()
    (silent / "owner").touch()
    for folder in (silent, gone, old):
        os.utime(folder, (time.time() - 60, time.time() - 60))
    assert set(leftovers().folders) == {gone, old}
    made = new_folder("0101-000000-abcd")
    assert made.name.startswith(f"celery-harness-0101-000000-abcd-{os.getpid()}-") and lives((made / "owner").read_text())


def test_a_checkout_whose_gate_was_killed_goes_and_git_forgets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=Shop", "-c", "user.email=shop@example.invalid", *arguments]
        return subprocess.run(command, cwd=shop, check=True, capture_output=True, text=True).stdout

    def gone(folder: Path) -> None:
        (folder / "owner").write_text("4194300 1.0")

    (shop := tmp_path / "shop").mkdir()
    (tmp := tmp_path / "tmp").mkdir()
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    (notes := tmp / "celery-harness-baseline-notes").mkdir()  # somebody's own
    with Repository(shop, claim).checkout("HEAD"):
        assert leftovers().folders == [], "its gate lives"
    kept = Repository(shop, gone).checkout("HEAD")
    left = kept.__enter__().beside.parent
    found = leftovers()
    assert found.folders == [left]
    found.processes = []
    remove(found)
    assert list(tmp.iterdir()) == [notes]
    assert len(git("worktree", "list").splitlines()) == 1
    kept.__exit__(None, None, None)
