"""What an app's image must hold, read from whatever the project has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.scenario import System
from harness.runtimes.containers.building import digest
from harness.runtimes.containers.requirements import Requirements, find_requirements


def _found(root: Path, *, python: str = sys.executable, **system: str) -> Requirements:
    return find_requirements(root, System.model_validate({"app": "shop:app", **system}), python)


def _lines(found: Requirements, name: str = "requirements.txt") -> list[str]:
    data = found.files[name]
    return (data if isinstance(data, bytes) else data.read_bytes()).decode().split("\n")[:-1]


def test_a_requirements_file_wins_over_pyproject(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# pinned\ncelery==5.4.0  # yes\n\nredis\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["celery"]\n')
    found = _found(tmp_path)
    assert (found.where, _lines(found)) == (str(tmp_path / "requirements.txt"), ["celery==5.4.0", "redis"])


def test_pyprojects_dependencies(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\ndependencies = ["celery[redis]>=5.3", "httpx; python_version > \'3\'"]\n'
    )
    assert _lines(_found(tmp_path)) == ["celery[redis]>=5.3", "httpx; python_version > '3'"]


def test_the_apps_folder_before_the_projects(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("outer\n")
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "requirements.txt").write_text("inner\n")
    assert _lines(_found(tmp_path, path="service")) == ["inner"]


def test_the_scenarios_own_word_wins(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("outer\n")
    (tmp_path / "deploy.txt").write_text("celery\n")
    assert _lines(_found(tmp_path, requirements="deploy.txt")) == ["celery"]
    with pytest.raises(ScenarioError, match=r"no file other\.txt"):
        _found(tmp_path, requirements="other.txt")


def test_included_files_come_along_under_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "requirements.txt").write_text("-r base/common.txt\n-c base/pins.txt\ncelery\n")
    (tmp_path / "base" / "common.txt").write_text("--requirement ../requirements.txt\nredis\n")  # a circle ends
    (tmp_path / "base" / "pins.txt").write_text("redis==5.0\n")
    found = _found(tmp_path)
    assert _lines(found) == ["-r requirements-1.txt", "-c requirements-2.txt", "celery"]
    assert _lines(found, "requirements-1.txt") == ["--requirement requirements.txt", "redis"]
    assert _lines(found, "requirements-2.txt") == ["redis==5.0"]
    before = digest(*found.parts())
    (tmp_path / "base" / "pins.txt").write_text("redis==5.1\n")
    assert digest(*_found(tmp_path).parts()) != before, "another pin is another image"


def test_a_missing_include_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("celery\n-r nowhere.txt\n")
    with pytest.raises(ScenarioError, match=r"requirements\.txt:2: there is no file nowhere\.txt"):
        _found(tmp_path)


def test_the_project_itself_stands_for_its_dependencies(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\ndependencies = ["celery"]\n[project.optional-dependencies]\nweb = ["flask"]\n'
    )
    (tmp_path / "requirements.txt").write_text("-e .[web]\nredis\n")
    assert _lines(_found(tmp_path)) == ["celery", "flask", "redis"]


def test_a_local_wheel_comes_along_and_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "ours-1-py3-none-any.whl").write_bytes(b"zip")
    (tmp_path / "requirements.txt").write_text("./wheels/ours-1-py3-none-any.whl\n")
    found = _found(tmp_path)
    assert _lines(found) == ["./ours-1-py3-none-any.whl"]
    assert found.files["ours-1-py3-none-any.whl"] == tmp_path / "wheels" / "ours-1-py3-none-any.whl"
    (tmp_path / "requirements.txt").write_text("celery\n-e ../elsewhere\n")
    with pytest.raises(ScenarioError, match=r"requirements\.txt:2.*folder of this machine.*\n.*Dockerfile"):
        _found(tmp_path)


def test_addresses_stay_as_they_are(tmp_path: Path) -> None:
    lines = ["-e git+https://example.org/x.git#egg=x", "celery @ https://example.org/celery.whl", "--no-binary :all:"]
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    assert _lines(_found(tmp_path)) == lines


@pytest.mark.parametrize("text", ['[project]\nname = "x"\ndynamic = ["dependencies"]\n', "[tool.poetry.dependencies]\ncelery = '*'\n"])
def test_dependencies_written_elsewhere_are_asked_for(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ScenarioError, match=r"export them to requirements\.txt"):
        _found(tmp_path)


def test_without_any_file_the_environment_that_runs_the_app_is_taken(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")  # says nothing of dependencies
    lines = _lines(found := _found(tmp_path))
    assert any(line.lower().startswith("celery==") for line in lines)
    assert not any(line.startswith(("pip==", "setuptools==")) for line in lines)
    assert sys.executable in found.where


def test_an_environment_without_celery_is_a_matter_for_the_user(tmp_path: Path) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # no site-packages
    bare.chmod(0o755)
    with pytest.raises(ScenarioError, match=r"(?s)Celery is not in the environment.*requirements\.txt"):
        _found(tmp_path, python=str(bare))
    with pytest.raises(EnvironmentFault, match="could not be asked"):
        _found(tmp_path, python=str(tmp_path / "nothing"))
