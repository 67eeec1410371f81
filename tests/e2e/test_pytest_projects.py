"""The plugin in three projects of users, each in a pytest of its own, on real Redis."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.pytest_support import PROJECTS, Session, copied, run_pytest
from tests.e2e.support import processes_of

_SHOP = (PROJECTS / "plain" / "shop.py").read_text().splitlines()
#: Where the task begins that books twice.
LINE = f"shop.py:{_SHOP.index('def book_twice(number, cents):') + 1}"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, redis_server_program: str) -> Session:
    return run_pytest(copied("plain", tmp_path_factory.mktemp("plain")))


def test_a_plain_project_passes_and_fails_where_it_should(plain: Session) -> None:
    assert plain.outcomes == {
        "test_once": "passed",
        "test_twice": "failed",
        "test_nothing_is_lost": "passed",
        "cell[point=before_ack]": "passed",
    }, plain.text
    assert plain.status == 1


def test_a_failure_is_the_story_and_nothing_of_ours(plain: Session) -> None:
    for part in (
        "test_shop.py:12: test_twice",
        "EFFECT  shop.book_twice took effect more than once in db, for call 1.",
        "killed before the acknowledgement by task.crash",
        LINE,
        "Fix  Give the row a unique key",
        "Reproduce  celery-harness run reports/",
        "FAILED test_shop.py::test_twice - EFFECT  shop.book_twice took effect more than once",
    ):
        assert part in plain.text
    assert "Traceback" not in plain.text
    assert "harness/testing" not in plain.text
    assert "site-packages" not in plain.text


def test_only_what_did_not_pass_leaves_a_report(plain: Session) -> None:
    reports = [path for path in (plain.folder / "reports").iterdir() if not path.is_symlink()]
    assert [json.loads((path / "result.json").read_text())["scenario"] for path in reports] == ["test_twice"]
    assert (plain.folder / "reports" / "latest").resolve() == reports[0].resolve()


@pytest.mark.exhaustive
def test_the_command_that_it_shows_finds_the_same_again(plain: Session) -> None:
    command = next(line.split("Reproduce")[1].split() for line in plain.text.splitlines() if "Reproduce" in line)
    again = subprocess.run(
        [sys.executable, "-m", "harness.cli", *command[1:]], cwd=plain.folder, capture_output=True, text=True, timeout=90
    )
    assert again.returncode == 1, again.stdout + again.stderr
    assert "EFFECT  shop.book_twice took effect more than once in db, for call 1." in again.stdout
    assert "processes, Redis" in again.stdout


def test_nothing_is_left_running(plain: Session) -> None:
    assert not processes_of(plain.folder)


@pytest.mark.exhaustive
def test_a_django_project(tmp_path: Path, redis_server_program: str) -> None:
    done = run_pytest(copied("django", tmp_path), using=("django",))
    assert list(done.outcomes.values()) == ["passed", "passed"], done.text
    assert done.status == 0


@pytest.mark.exhaustive
def test_a_fastapi_project_with_tests_that_are_coroutines(tmp_path: Path, redis_server_program: str) -> None:
    done = run_pytest(copied("fastapi", tmp_path), using=("asyncio",))
    assert done.outcomes == {
        "test_a_user_is_welcomed": "passed",
        "test_a_mail_is_sent_though_a_worker_dies": "passed",
        "test_a_mail_is_sent_twice": "failed",
    }, done.text
    assert "POST /mails accepted again" in done.text


@pytest.mark.exhaustive
def test_the_plain_project_in_containers(tmp_path: Path) -> None:
    done = run_pytest(copied("plain", tmp_path), "--harness-runtime", "containers", "-k", "test_nothing_is_lost or test_twice", timeout=280)
    assert done.outcomes == {"test_nothing_is_lost": "passed", "test_twice": "failed"}, done.text
    assert LINE in done.text
