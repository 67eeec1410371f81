"""What `certify` does with what an exploration found, with a certificate that is there already, and with nothing to certify."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import registry
from harness.cli import certify_check, certify_run
from harness.cli.certify_check import check_all
from harness.cli.certify_run import certificate_of, run_certify, run_check, write_certificate
from harness.cli.certify_subjects import Asked, Sight, Target, names_of, targets_of
from harness.cli.gate_certificates import planned_certificates
from harness.errors import ScenarioError, UsageError
from harness.explore.certificates import RULES, Folder
from harness.explore.proof import Plain
from harness.gate.settings import GateSettings
from harness.model.certificate import Certificate, Counts, Grounds, Subject, Worlds
from harness.model.exploration import Coverage, Exploration
from harness.ports.exploring import Launch
from harness.scenario import load_scenarios
from tests.unit.model.test_certificate import GROUNDS, certificate

ELSEWHERE = {"python 3.12, celery 5.6.0, x86_64": Counts(stops=10, deliveries=20)}


def test_another_python_joins_where_it_finds_the_same_worlds(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert write_certificate(folder, certificate()) == ("written", ())
    assert write_certificate(folder, certificate()) == ("unchanged", ())
    assert write_certificate(folder, certificate(environments=ELSEWHERE)) == ("joined", ())
    found = folder.read(certificate().subject)
    assert found is not None and found.environments == {**certificate().environments, **ELSEWHERE}
    assert write_certificate(folder, certificate()) == ("unchanged", ()), "the other one's counts stay"


def test_other_worlds_with_nothing_changed_are_told_and_not_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    write_certificate(folder, certificate())
    other = Worlds(number=13, fingerprint="g", kills=2)
    done, (why,) = write_certificate(folder, certificate(environments=ELSEWHERE, worlds=other))
    assert (done, why) == ("refused", "13 worlds here, that are not the 12 worlds on python 3.11, celery 5.6.0, x86_64")
    done, (why,) = write_certificate(folder, certificate(worlds=other))
    assert done == "refused" and "the 12 worlds the last time, with nothing changed since" in why
    assert folder.read(certificate().subject) == certificate()


def test_where_anything_changed_or_is_damaged_it_begins_anew(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    write_certificate(folder, certificate(environments={**certificate().environments, **ELSEWHERE}))
    moved = certificate(grounds=Grounds(**{**GROUNDS, "modules": {"shop.py": "x"}}))
    assert write_certificate(folder, moved) == ("renewed", ("module prices.py is gone", "module shop.py changed"))
    assert folder.read(moved.subject) == moved, "environments in which the old one was explored are gone"
    newer = moved.model_copy(update={"made_by": "celery-harness 1.3", "worlds": Worlds(number=9, fingerprint="other", kills=1)})
    assert write_certificate(folder, newer) == ("renewed", ("it was made by celery-harness 1.2",)), "its fingerprints are its own"
    ruled = newer.model_copy(update={"rules": RULES})
    assert write_certificate(folder, ruled) == ("renewed", ("made by older rules of the explorer",))
    folder.place(moved.subject).write_text("{")
    done, (why,) = write_certificate(folder, moved)
    assert done == "renewed" and "no certificate" in why and folder.read(moved.subject) == moved


PAY = {"task": "shop.pay", "args": [7]}
#: Its first rows are drawn.
DRAWN = {"task": "shop.stock", "args": "types", "rows": "shop:rows"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With one scenario of each kind."""
    (tmp_path / "scenarios").mkdir()
    write(tmp_path, "drawn", DRAWN)
    write(tmp_path, "pay", PAY)
    (tmp_path / "shop.py").write_text("a shop")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root: Path, name: str, *explore: Mapping[str, Any]) -> None:
    """A key per line."""
    lines = ["version: 1", json.dumps({"system": {"app": "shop:app", "setup": "shop:first"}})[1:-1]]
    lines += [f"explore: {json.dumps(explore)}"] if explore else ["load: [{send: shop.pay, rate: 1/s, for: 1s}]"]
    (root / "scenarios" / f"{name}.yaml").write_text("\n".join(lines) + "\n")


def asked(root: Path, *targets: str, task: str = "") -> Asked:
    return Asked(targets, task, None, None, {}, "certificates", False, root / "reports", None, True, root)


@pytest.mark.parametrize("run", [run_certify, run_check])
def test_where_there_is_nothing_to_certify_nothing_passes(project: Path, run: Callable[[Asked], int]) -> None:
    with pytest.raises(UsageError, match="no scenario explores shop"):
        run(asked(project, task="shop.pya"))
    (project / "pyproject.toml").write_text('[tool.celery-harness.certificates]\nfiles = ["senarios"]\n')
    with pytest.raises(UsageError, match="there is nothing to certify"):
        run(asked(project))


def test_one_whose_first_rows_are_drawn_is_passed_over_unless_it_is_named(project: Path) -> None:
    def items(whole: Asked) -> list[tuple[str, ...]]:
        found = targets_of(whole, names_of(whole, ("scenarios",)), project)
        return [tuple(item.subject.task for item in target.items) for target in found]

    assert items(asked(project)) == [(), ("shop.pay",)]
    assert items(asked(project, task="shop.pay")) == [("shop.pay",)]
    for named in (asked(project, "scenarios/drawn.yaml"), asked(project, task="shop.stock")):
        with pytest.raises(UsageError, match="first rows are drawn") as refused:
            items(named)
        assert refused.value.where.startswith("scenarios/drawn.yaml:3:")
    (loaded,) = load_scenarios(project / "scenarios" / "drawn.yaml", registry())
    assert planned_certificates(loaded, project, GateSettings(), []) == []


def test_what_a_scenario_had_before_it_explored_nothing_is_astray(project: Path) -> None:
    made = [certificate(subject=Subject(scenario=f"scenarios/{name}.yaml", task=f"shop.{name}")) for name in ("drawn", "old")]
    write(project, "old")
    with asked(project).certificates().held():
        for one in made:
            asked(project).certificates().write(one)
    (project / "scenarios" / "pay.yaml").unlink()
    whole = asked(project)
    found = list(check_all(whole, names_of(whole, ("scenarios",)), "1", project, lambda text: None))
    assert [(one.state, one.subject.task if one.subject else "") for one in found] == [("astray", "shop.drawn"), ("astray", "shop.old")]


# --- one that was explored --------------------------------------------------------------------------------------

CELERY = {"python": "3.11.4", "celery": "5.6.0", "machine": "x86_64", "settings": {}, "changed": {}}


class System:
    """Of which the explorer is not asked anything."""

    def came_to_its_end(self) -> None:
        """Nothing."""


def explored(monkeypatch: pytest.MonkeyPatch, root: Path, module: str = "shop.py", meanwhile: Callable[[], object] = lambda: None) -> None:
    """Whatever is explored passes. ``module``: where its task is; ``meanwhile``: what happens then."""
    answer = {
        **CELERY,
        "modules": {"shop": str(root / "shop.py")},
        "described": {"shop.pay": {"file": str(root / module)}},
    }

    @contextmanager
    def exploring_system(loaded: object, run_id: str, folder: Path, witness: Sight) -> Iterator[System]:
        witness.seen.since = 2**63  # all files are older
        witness.imported(answer)
        yield System()

    def explore_item(*_: object, **__: object) -> Exploration:
        meanwhile()
        return Exploration("shop.pay", (7,), {}, "certified", "", Coverage(1, 1, 1, 1), proof="f")

    def look(target: Target, run_id: str, folder: Path, sight: Sight) -> None:
        sight.imported(answer)

    monkeypatch.setattr(certify_run, "exploring_system", exploring_system)
    monkeypatch.setattr(certify_run, "explore_item", explore_item)
    monkeypatch.setattr(certify_check, "_look", look)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_certificate_is_of_the_modules_that_were_explored_and_of_these_rules(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    explored(monkeypatch, project, meanwhile=lambda: (project / "shop.py").write_text("another shop"))
    assert run_certify(asked(project, task="shop.pay")) == 4
    found = told(capsys)
    assert (found["done"], found["why"]) == ("refused", ["module shop.py changed while it was explored"])
    assert not Path(found["certificate"]).exists()
    explored(monkeypatch, project)
    assert run_certify(asked(project, task="shop.pay")) == 0
    path = Path(told(capsys)["certificate"])
    assert run_check(asked(project, task="shop.pay")) == 0
    assert told(capsys)["state"] == "holds"
    old = Certificate.model_validate_json(path.read_bytes()).model_copy(update={"rules": RULES - 1})
    path.write_text(old.text())
    assert run_check(asked(project, task="shop.pay")) == 1
    assert told(capsys)["why"] == ["made by older rules of the explorer"]


def test_a_task_that_is_no_module_of_the_project_is_refused_before_it_is_explored(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    explored(monkeypatch, project)
    run_certify(asked(project, task="shop.pay"))
    capsys.readouterr()
    explored(monkeypatch, project, module="../elsewhere/shop.py", meanwhile=lambda: pytest.fail("it is explored"))
    with pytest.raises(ScenarioError, match="no module of the project is that file") as refused:
        run_certify(asked(project, task="shop.pay"))
    assert refused.value.where.startswith("scenarios/pay.yaml:3:")
    assert run_check(asked(project, task="shop.pay")) == 1, "one that is there already does not hold"
    assert any("no module of the project" in why for why in told(capsys)["why"])


def test_no_path_of_the_machine_is_in_a_certificate() -> None:
    shop = Path("/srv/shop")
    launch = Launch((), {"TMPDIR": "/tmp/r/scratch"}, shop, shop, shop / "reports" / "r" / "log", services={}, folders={})
    paths = [
        "/srv/shop/out.txt",
        "/srv/shop/reports/r/a",
        "/tmp/r/scratch/b",
        "/srv/me/#/c.txt",
        "/srv/me/My Files/c.txt",
        "/tmp/other/c.txt",
    ]
    excluded = tuple(f"what becomes of {path}, which none of the services holds" for path in paths)
    excluded += ("3 of the sets, which say nothing: No such file: '/srv/me/d'", "a retry and/or another, http://api.example/x")
    found = Exploration("shop.pay", (), {}, "certified", "", Coverage(1, 1, 1, 1, excluded=excluded))
    made = certificate_of(certificate().subject, found, "here", Grounds(**GROUNDS), Plain(launch))
    assert made.excludes == (
        *(f"what becomes of {path}, which none of the services holds" for path in ("<project>/out.txt", "<run>/a", "<tmp>/b", "c.txt")),
        "3 of the sets, which say nothing: No such file: 'd'",
        "a retry and/or another, http://api.example/x",
    )
