"""Where a test's system is described, what goes before what, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.testing.configuration import EXAMPLE, Configuration, find_configuration, merged, nested, read_configuration

BASE = Configuration({"system": {"app": "shop:app", "workers": {"pay": {"replicas": 1}}}, "seed": 3}, Path("/project"), "here")


def test_the_example_is_read_as_it_is_shown(tmp_path: Path) -> None:
    others = "[tool.celery-harness.gate]\nbudget = '5m'\n[tool.celery-harness.images]\nredis = 'redis:7'\n"
    others += "[tool.celery-harness.certificates]\nfolder = 'certificates'\n"
    (tmp_path / "pyproject.toml").write_text(f"{EXAMPLE}\n{others}")
    found = read_configuration(tmp_path)
    assert found is not None
    assert (found.runtime, found.root, found.document["system"]["app"]) == ("processes", tmp_path, "shop:app")
    assert str(tmp_path / "pyproject.toml") in found.where


@pytest.mark.parametrize("text", ["", "[project]\nname = 'shop'\n", "[tool.celery-harness]\nruntime = 'processes'\n"])
def test_without_a_system_there_is_none(tmp_path: Path, text: str) -> None:
    assert read_configuration(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text(text)
    assert read_configuration(tmp_path) is None


def test_the_nearest_one_counts_and_none_above_the_top(tmp_path: Path) -> None:
    inner = tmp_path / "packages" / "shop" / "tests"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(EXAMPLE)
    assert find_configuration(inner, tmp_path / "packages") is None
    found = find_configuration(inner, tmp_path)
    assert found is not None and found.root == tmp_path
    (tmp_path / "packages" / "shop" / "pyproject.toml").write_text(EXAMPLE)
    found = find_configuration(inner, tmp_path)
    assert found is not None and found.root == tmp_path / "packages" / "shop"
    assert find_configuration(tmp_path, inner) is not None


def test_changes_are_merged_and_null_removes() -> None:
    changed = BASE.with_changes(
        {"system": {"workers": {"pay": {"replicas": 2}, "mail": {}}, "app": None}, "runtime": "containers"}, "a marker"
    )
    assert changed.document == {"system": {"workers": {"pay": {"replicas": 2}, "mail": {}}}, "seed": 3}
    assert (changed.runtime, changed.where, changed.seed) == ("containers", "here, a marker", 3)
    assert BASE.document["system"]["app"] == "shop:app"


def test_nothing_is_shared_with_what_was_merged() -> None:
    base, change = {"a": {"b": [1]}}, {"a": {"c": [2]}}
    found = merged(base, change)
    found["a"]["b"].append(3)
    found["a"]["c"].append(3)
    assert (base, change) == ({"a": {"b": [1]}}, {"a": {"c": [2]}})


def test_keys_of_the_system_may_stand_beside_those_of_the_scenario() -> None:
    found = nested({"workers": {"pay": {}}, "checks": {"no_loss": {}}, "system": {"app": "shop:app"}, "reports": "r"}, "a marker")
    assert found == {"system": {"app": "shop:app", "workers": {"pay": {}}}, "checks": {"no_loss": {}}, "reports": "r"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chekcs": {}}, "here: there is no key `chekcs`; did you mean `checks`?"),
        ({"load": []}, "here: there is no key `load`"),
        ({"runtime": "container"}, "did you mean `containers`?"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest_name(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        BASE.with_changes(change, "here")
    assert words in str(refused.value)


def test_a_key_that_is_neither_is_refused_too() -> None:
    with pytest.raises(UsageError, match=r"a marker: there is no key `wrokers`; did you mean `workers`\?"):
        nested({"wrokers": {}}, "a marker")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.celery-harness.system]\n\n[tool.celery-harness]\nsede = 3\n", ":4: there is no key `sede`"),
        ("[tool.celery-harness.systems]\n[tool.celery-harness.system]\n", ":1: there is no key `systems`"),
        ("[tool.celery-harness]\nsystem = {}\nruntime = 'boxes'\n", ":3: there is no runtime 'boxes'"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        read_configuration(tmp_path)
    assert f"{tmp_path / 'pyproject.toml'}{words}" in str(refused.value)
