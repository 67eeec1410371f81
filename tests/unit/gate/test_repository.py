from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.gate.repository import CheckoutFailed, Repository

_IDENTITY = ["-c", "user.name=Shop", "-c", "user.email=shop@example.invalid"]


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *_IDENTITY, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a folder of a repository, with one commit and a hook that would be heard of."""
    folder = tmp_path / "repo" / "shop"
    folder.mkdir(parents=True)
    _git(tmp_path / "repo", "init", "-q")
    (folder / "app.py").write_text("one\n")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "one")
    hook = tmp_path / "repo" / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    return folder


def test_changed_and_new_files_are_marked(project: Path) -> None:
    repository = Repository(project)
    assert repository.state() == repository.commit == _git(project, "rev-parse", "HEAD")
    (project / "__pycache__").mkdir()
    (project / "__pycache__" / "app.pyc").write_text("")
    (project / "baseline.json").write_text("")
    (project / "reports").mkdir()
    (project / "reports" / "r.json").write_text("")
    ignoring = [project / "baseline.json", project / "reports"]
    assert repository.state(ignoring) == repository.commit
    assert repository.state() == repository.commit + "+"
    (project / "app.py").write_text("two\n")
    assert repository.state(ignoring) == repository.commit + "+"


def test_changes_outside_of_the_project_do_not_count(project: Path) -> None:
    (project.parent / "elsewhere.txt").write_text("")
    assert not Repository(project).state().endswith("+")


def test_a_checkout_is_the_project_at_its_commit_and_is_removed(project: Path, tmp_path: Path) -> None:
    repository = Repository(project)
    (project / "app.py").write_text("two\n")
    with repository.checkout(repository.commit) as checkout:
        assert (checkout.project / "app.py").read_text() == "one\n"
        assert not checkout.beside.is_relative_to(checkout.project)
        here = checkout.project.parent
    assert not here.exists() and len(_git(project, "worktree", "list").splitlines()) == 1
    assert not (tmp_path / "hooked").exists(), "no hook of the user's ran"


def test_a_checkout_is_removed_after_an_error_too(project: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Repository(project).checkout("HEAD") as checkout:
        here = checkout.project
        raise KeyboardInterrupt
    assert not here.exists() and len(_git(project, "worktree", "list").splitlines()) == 1


def test_a_commit_that_is_not_there_says_what_helps(project: Path) -> None:
    with pytest.raises(CheckoutFailed, match="fetch-depth: 0"), Repository(project).checkout("0" * 40):
        pass


def test_a_project_that_was_not_there_yet(project: Path) -> None:
    later = project.parent / "later"
    later.mkdir()
    with pytest.raises(CheckoutFailed, match="no folder later"), Repository(later).checkout("HEAD"):
        pass
    assert len(_git(project, "worktree", "list").splitlines()) == 1


def test_without_a_repository_there_is_no_commit_and_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = Repository(tmp_path)
    assert (found.commit, found.state(), found.why) == ("", "", "this is not a git repository")
    with pytest.raises(CheckoutFailed, match="not a git repository"), found.checkout("HEAD"):
        pass
    _git(tmp_path, "init", "-q")
    assert Repository(tmp_path).why == "the repository has no commit yet"


def test_inside_of_a_hook_it_is_still_this_repository(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert Repository(project).commit


def test_without_git(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Repository(project).why == "git is not installed"
