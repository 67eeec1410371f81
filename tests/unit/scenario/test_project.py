"""Tables of pyproject.toml: which is read, on which line a key stands, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.scenario import project
from harness.scenario.project import project_table, read_toml, unknown_key


def write(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(text)
    return path


def test_a_table_is_read_whole_and_alone(tmp_path: Path) -> None:
    write(tmp_path, "[tool.celery-harness]\nseed = 3\n[tool.celery-harness.gate]\nbudget = '5m'\n[tool.other]\nbudget = 1\n")
    assert project_table(tmp_path).values == {"seed": 3, "gate": {"budget": "5m"}}
    table = project_table(tmp_path, "gate")
    assert (table.values, table.title) == ({"budget": "5m"}, "[tool.celery-harness.gate]")


@pytest.mark.parametrize("text", [None, "", "[project]\nname = 'celery-harness-user'\n", "[tool.celery-harness]\nseed = 3\n"])
def test_what_is_not_there_is_empty(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "pyproject.toml"
    if text is not None:
        path.write_text(text)
    assert project_table(tmp_path, "gate").values == {}


def test_a_file_that_does_not_speak_of_us_is_not_judged(tmp_path: Path) -> None:
    write(tmp_path, "[tool")
    assert project_table(tmp_path).values == {}


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("[tool.celery-harness.gate]\nseed = 1\nbudget = 1\n", "budget", 3),
        ("[tool.other]\nbudget = 1\n[tool.celery-harness.gate]\nbudget = 1\n", "budget", 4),
        ("[tool.celery-harness.gate]\n# budget = 2\n'budget'= 1\n", "budget", 3),
        ('[ tool . "celery-harness" . gate ]  # ours\n\n  budget=1\n', "budget", 3),
        ("[tool]\ncelery-harness.gate.seed = 1\ncelery-harness.gate.budget = 1\n", "budget", 3),
        ("[tool.celery-harness]\nseed = 1\ngate.budget = 1\n", "budget", 3),
        ("[tool.celery-harness]\n[tool.celery-harness.gate.budget]\nx = 1\n", "budget", 2),
        ("[[tool.other]]\nx = 1\n[tool.celery-harness.gate]\nbudgets = 2\nbudget = 1\n", "budget", 5),
        ("[tool.celery-harness]\ngate = {budget = 1}\n", "budget", 2),  # the nearest thing that is written on a line of its own
        ("[tool.celery-harness.gate]\nbudget = 1\n", "", 1),
        ("[tool.celery-harness.gate]\nbudget = 1\n", "absent", 1),
    ],
)
def test_a_key_is_found_on_its_line(tmp_path: Path, text: str, key: str, line: int) -> None:
    path = write(tmp_path, text)
    assert project_table(tmp_path, "gate").where(key) == f"{path}:{line}"


def test_without_a_line_the_file_is_the_place(tmp_path: Path) -> None:
    path = write(tmp_path, "tool = {celery-harness = {gate = {budget = 1}}}\n")
    table = project_table(tmp_path, "gate")
    assert table.values and table.where("budget") == str(path)


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path, "[tool.celery-harness.gate]\nseed = 1\nbugdet = 1\n")
    table = project_table(tmp_path, "gate")
    with pytest.raises(UsageError) as refused:
        table.refuse_unknown(["seed", "budget"])
    said = "there is no key `bugdet` in [tool.celery-harness.gate]; did you mean `budget`?\n  known: budget and seed"
    assert str(refused.value) == f"{path}:3: {said}"
    table.refuse_unknown(["seed", "budget", "bugdet"])
    assert str(unknown_key("x", ["seed"], "a marker")) == "a marker: there is no key `x`\n  known: seed"


def test_a_wrong_value_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "[tool.celery-harness.gate]\nseed = 1\n")
    assert str(project_table(tmp_path, "gate").wrong("seed", "too small", "try 2")) == f"{path}:2: `seed`: too small\n  try 2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.celery-harness]\ngate = 5\n", ":2: `gate` is a table: write [tool.celery-harness.gate]"),
        ("[tool]\ncelery-harness = 'yes'\n", ":2: `celery-harness` is a table: write [tool.celery-harness]"),
    ],
)
def test_something_else_under_a_tables_name_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        project_table(tmp_path, "gate")
    assert str(refused.value) == f"{path}{said}"


def test_what_is_no_toml_is_refused_with_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, "[tool.celery-harness\nseed = 1\n")
    with pytest.raises(UsageError) as refused:
        project_table(tmp_path)
    assert refused.value.where == f"{path}:1:21"
    assert refused.value.what.startswith("this is not TOML: ") and "line 1" not in refused.value.what


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_bytes(b"# celery-harness \xff\n")
    for read in (lambda: project_table(tmp_path), lambda: read_toml(path), lambda: read_toml(tmp_path / "absent.toml")):
        with pytest.raises(UsageError, match="the file cannot be read: "):
            read()


def test_without_a_reader_for_toml_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "[tool.celery-harness]\nseed = 1\n")
    monkeypatch.setattr(project.importlib, "import_module", _missing)
    with pytest.raises(UsageError, match="pip install tomli") as refused:
        project_table(tmp_path)
    assert refused.value.where == str(path)
    write(tmp_path, "[project]\nname = 'x'\n")
    assert project_table(tmp_path).values == {}


def _missing(name: str) -> None:
    raise ImportError(name)
