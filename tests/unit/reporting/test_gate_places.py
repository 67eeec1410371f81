from __future__ import annotations

from pathlib import Path

import pytest

from harness.reporting.gate_places import Place, Places


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / ".git").mkdir(parents=True)
    (root / "services" / "pay").mkdir(parents=True)
    return root


def test_github_says_where_the_checkout_is(repository: Path) -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(repository)}
    places = Places.of(environ, repository / "services" / "pay")
    assert places.find("shop/tasks.py", 7) == Place("services/pay/shop/tasks.py", 7)
    assert places.find(str(repository / "lib.py"), 3) == Place("lib.py", 3)
    assert places.find("../../lib.py") == Place("lib.py", 1)


def test_gitlab_does_too(repository: Path) -> None:
    places = Places.of({"GITLAB_CI": "true", "CI_PROJECT_DIR": str(repository)}, repository / "services")
    assert places.find("a.py", 1) == Place("services/a.py", 1)


@pytest.mark.parametrize("environ", [{}, {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/elsewhere"}])
def test_else_git_does(repository: Path, environ: dict[str, str]) -> None:
    assert Places.of(environ, repository / "services").find("a.py", 1) == Place("services/a.py", 1)


@pytest.mark.parametrize(
    "file",
    [
        "",
        "/usr/lib/python3/json.py",
        "../../../x.py",
        "../..",
        "a\0b",
        ".venv/lib/python3.11/site-packages/celery/app.py",
        "a" * 5000 + "/../../../../x",
    ],
)
def test_what_is_no_file_of_the_repository_has_no_place(repository: Path, file: str) -> None:
    assert Places.of({}, repository / "services" / "pay").find(file, 1) is None


def test_a_name_through_a_link_is_the_file_that_git_has(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "short").symlink_to(repository)
    places = Places.of({}, tmp_path / "short")
    assert places.find(str(tmp_path / "short" / "a.py"), 2) == Place("a.py", 2)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://g.example", "GITHUB_REPOSITORY": "o/r", "GITHUB_SHA": "abc"},
            "https://g.example/o/r/blob/abc/a%20b%29.py#L4",
        ),
        ({"CI_PROJECT_URL": "https://l.example/o/r", "CI_COMMIT_SHA": "abc"}, "https://l.example/o/r/-/blob/abc/a%20b%29.py#L4"),
        ({"CI_PROJECT_URL": "javascript:x", "CI_COMMIT_SHA": "abc"}, ""),
        ({"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://g.example"}, ""),
    ],
)
def test_links_lead_to_the_commit_that_ran(repository: Path, environ: dict[str, str], url: str) -> None:
    assert Places.of(environ, repository).url(Place("a b).py", 4)) == url
