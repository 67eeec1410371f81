"""`extends`: merging, removing, and positions that stay with the file a value came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.ports.registry import Registry
from harness.scenario import LoadedScenario, ScenarioErrors, load_scenarios

BASE = """\
version: 1
tags: [ci, slow]
system:
  app: shop.tasks:app
  broker: redis
  services: {db: sqlite}
  env: {URL: "${{ db.url }}"}
load: [{send: shop.pay, count: 10}]
checks:
  no_loss: {}
  idempotent: {observe: [db]}
  recovery: {within: 20s}
"""


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.write_text(text)


def one(path: Path, registry: Registry) -> LoadedScenario:
    (loaded,) = load_scenarios(path, registry)
    return loaded


def test_mappings_are_merged_lists_replaced_null_removes(tmp_path: Path, registry: Registry) -> None:
    write(
        tmp_path,
        base=BASE,
        child="extends: base.yaml\ntags: [nightly]\nsystem: {redelivery: 5s, env: {MODE: fast}}\n"
        "checks:\n  recovery: null\n  idempotent: {ignore: [t.c]}\n",
    )
    loaded = one(tmp_path / "child.yaml", registry)
    assert loaded.scenario.tags == ("nightly",)
    assert loaded.scenario.system.env == {"URL": "${{ db.url }}", "MODE": "fast"}
    assert loaded.scenario.system.redelivery == 5.0
    assert list(loaded.checks) == ["no_loss", "idempotent"]
    assert loaded.checks["idempotent"].model_dump() == {"observe": ("db",), "ignore": ("t.c",)}
    assert loaded.scenario.extends is None
    assert "extends" not in loaded.text
    assert loaded.name == "child"


def test_chain_of_files_in_other_folders(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "base.yaml").write_text(BASE)
    (tmp_path / "common" / "middle.yaml").write_text("extends: base.yaml\nseed: 3\nchecks: {recovery: ~}\n")
    (tmp_path / "top.yaml").write_text("extends: common/middle.yaml\nchecks: {recovery: {within: 1s}}\n")
    loaded = one(tmp_path / "top.yaml", registry)
    assert loaded.scenario.seed == 3
    assert loaded.checks["recovery"].model_dump() == {"within": 1.0}


def test_errors_point_into_the_file_that_the_value_came_from(tmp_path: Path, registry: Registry) -> None:
    write(
        tmp_path, base=BASE + "thresholds: {latency: [5]}\n", child="extends: base.yaml\nsystem:\n  broker: reddis\nchecks: {no_los: {}}\n"
    )
    with pytest.raises(ScenarioErrors) as caught:
        load_scenarios(tmp_path / "child.yaml", registry)
    assert [error.where for error in caught.value.errors] == [
        f"{tmp_path}/base.yaml:13:24",
        f"{tmp_path}/child.yaml:3:11",
        f"{tmp_path}/child.yaml:4:10",
    ]


def test_locator_knows_both_files(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path, base=BASE, child="extends: base.yaml\nsystem: {broker: rabbitmq}\n")
    loaded = one(tmp_path / "child.yaml", registry)
    assert loaded.where("load", 0, "send") == f"{tmp_path}/base.yaml:8:15"
    assert loaded.where("system", "broker") == f"{tmp_path}/child.yaml:2:18"


def test_a_bare_key_never_drops_a_check_silently(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path, base=BASE, child="extends: base.yaml\nchecks:\n  no_loss:\n")
    with pytest.raises(ScenarioError, match="`no_loss:` without a value could mean to keep or to remove") as caught:
        load_scenarios(tmp_path / "child.yaml", registry)
    assert caught.value.where == f"{tmp_path}/child.yaml:3:3"
    assert caught.value.hint == "write `no_loss: null` to remove it, or `no_loss: {}` to keep it"


def test_a_bare_new_check_has_defaults(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path, base=BASE.replace("  no_loss: {}\n", ""), child="extends: base.yaml\nchecks:\n  no_loss:\n")
    assert "no_loss" in one(tmp_path / "child.yaml", registry).checks


def test_circle_names_the_chain(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path, a="extends: b.yaml\n", b="version: 1\nextends: c.yaml\n", c="extends: ./a.yaml\n")
    with pytest.raises(ScenarioError) as caught:
        load_scenarios(tmp_path / "a.yaml", registry)
    names = " → ".join(f"{tmp_path}/{name}.yaml" for name in "abca")
    assert caught.value.what == f"files that extend one another in a circle: {names}"
    assert caught.value.where == f"{tmp_path}/c.yaml:1:10"


def test_a_file_that_extends_itself(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path, a="extends: a.yaml\n")
    with pytest.raises(ScenarioError, match="in a circle"):
        load_scenarios(tmp_path / "a.yaml", registry)


def test_missing_base(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path, base=BASE, child="version: 1\nextends: bse.yaml\n")
    with pytest.raises(ScenarioError, match=r"bse\.yaml: there is no such file") as caught:
        load_scenarios(tmp_path / "child.yaml", registry)
    assert caught.value.where == f"{tmp_path}/child.yaml:2:10"
    assert caught.value.hint == "did you mean `base.yaml`?"


def test_broken_base_keeps_its_own_position(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path, base="a: 1\na: 2\n", child="extends: base.yaml\n")
    with pytest.raises(ScenarioError, match="written twice") as caught:
        load_scenarios(tmp_path / "child.yaml", registry)
    assert caught.value.where == f"{tmp_path}/base.yaml:2:1"


@pytest.mark.parametrize("value", ["5", "[base.yaml]", "''"])
def test_extends_is_a_path(tmp_path: Path, registry: Registry, value: str) -> None:
    write(tmp_path, child=f"extends: {value}\n")
    with pytest.raises(ScenarioError, match="`extends` is the path of another scenario file") as caught:
        load_scenarios(tmp_path / "child.yaml", registry)
    assert caught.value.where == f"{tmp_path}/child.yaml:1:10"
