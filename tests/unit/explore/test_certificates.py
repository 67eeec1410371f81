"""The folder of certificates: whole files or none, and what is no certificate is said to be none."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.assembly import registry
from harness.errors import UsageError
from harness.explore.certificates import RULES, Damaged, Folder, certificate_settings, other_rules, untried
from harness.explore.grounds import App, Seen, grounds_of, unfounded, without_secrets
from harness.explore.proof import Plain
from harness.model.certificate import Certificate, Counts, Subject
from harness.model.scenario import ExploreItem
from harness.scenario import load_scenarios
from tests.unit.model.test_certificate import certificate

SUBJECT = certificate().subject


def test_written_whole_read_again_and_left_alone_where_nothing_changes(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "certificates")
    (tmp_path / "certificates" / ".certify-left").mkdir(parents=True)
    (tmp_path / "certificates" / ".certify-left" / "half.json").write_text("{")
    with folder.held():
        assert folder.read(SUBJECT) is None
        assert folder.write(certificate()) and not folder.write(certificate())
    assert [path.name for path in folder.path.iterdir()] == [SUBJECT.name], "what a killed one had left is gone"
    assert folder.read(SUBJECT) == certificate() and list(folder.all()) == [(folder.place(SUBJECT), certificate())]
    assert folder.remove(SUBJECT) and not folder.remove(SUBJECT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "this is no certificate of this version"),
        (certificate().text().replace('"version": 1', '"version": 2'), "version"),
        (certificate(subject=Subject(task="shop.other")).text(), "of something else"),
    ],
)
def test_what_is_no_certificate_of_the_subject_is_refused(tmp_path: Path, text: str, words: str) -> None:
    folder = Folder(tmp_path)
    folder.place(SUBJECT).write_text(text)
    with pytest.raises(Damaged, match=words):
        folder.read(SUBJECT)


def test_it_holds_for_the_celery_that_it_was_made_with() -> None:
    made = certificate()
    assert untried(made, "python 3.11, celery 5.6.0, x86_64") == ("", "")
    refused, note = untried(made, "python 3.12, celery 5.6.0, aarch64")
    assert not refused and "not on python 3.12, celery 5.6.0, aarch64" in note
    refused, _ = untried(made, "python 3.11, celery 5.6.1, x86_64")
    assert refused == "celery 5.6.1 was not tried (python 3.11, celery 5.6.0, x86_64)"
    both = certificate(environments={**made.environments, "python 3.11, celery 5.6.1, x86_64": Counts(stops=1, deliveries=1)})
    assert untried(both, "python 3.10, celery 5.6.1, x86_64")[0] == ""


def test_settings_of_the_project(tmp_path: Path) -> None:
    assert (certificate_settings(tmp_path).folder, certificate_settings(tmp_path).files) == ("certificates", ("scenarios",))
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.celery-harness.certificates]\nfolder = "proofs"\nfiles = "a.yaml"\n')
    assert (certificate_settings(tmp_path).folder, certificate_settings(tmp_path).files) == ("proofs", ("a.yaml",))
    for line, words in (("folders = 'x'", "no key `folders`"), ("folder = 3", "`folder`"), ("files = []", "`files`")):
        project.write_text(f"[tool.celery-harness.certificates]\n{line}\n")
        with pytest.raises(UsageError, match=words) as refused:
            certificate_settings(tmp_path)
        assert refused.value.where.endswith("pyproject.toml:2")


def test_one_of_other_rules_is_told_and_so_is_one_from_before_there_were_numbers() -> None:
    assert other_rules(certificate(rules=RULES)) == ""
    assert other_rules(certificate(rules=RULES + 1)) == "made by newer rules of the explorer"
    without = "\n".join(line for line in certificate(rules=RULES).text().splitlines() if '"rules"' not in line)
    assert other_rules(Certificate.model_validate_json(without)) == "made by older rules of the explorer"


def seen(folder: Path) -> Seen:
    """As if all files there were older than the exploration."""
    for name in ("shop.py", "prices.py", "uv.lock"):
        (folder / name).write_text(name)
    return Seen(folder, since=time.time_ns() + 60 * 10**9)


def test_modules_are_those_that_were_first_seen(tmp_path: Path) -> None:
    found = seen(tmp_path)
    found.look([str(tmp_path / "shop.py"), "prices.py"])
    before = found.hash_of(tmp_path / "shop.py"), found.locks()
    assert list(found.changed()) == []
    (tmp_path / "shop.py").write_text("other")
    (tmp_path / "prices.py").unlink()
    (tmp_path / "uv.lock").write_text("other")
    (tmp_path / "requirements.txt").write_text("celery")
    assert (found.hash_of(tmp_path / "shop.py"), found.locks()) == before
    assert list(found.changed()) == [
        "module prices.py changed while it was explored",
        "module shop.py changed while it was explored",
        "lock file requirements.txt changed while it was explored",
        "lock file uv.lock changed while it was explored",
    ]


def test_what_was_written_before_it_was_first_seen_may_have_been_imported_before_that(tmp_path: Path) -> None:
    found = seen(tmp_path)
    found.look(["shop.py"])
    found.since = 0
    found.look(["shop.py", "prices.py", "gone.py"])
    assert list(found.changed()) == ["module gone.py cannot be read", "module prices.py changed while it was explored"]


APP = App({}, {}, {}, "python 3.11, celery 5.6.0, x86_64")


def test_a_certificate_rests_on_the_module_of_its_task(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    found, shop = seen(tmp_path / "project"), str(tmp_path / "project" / "shop.py")
    (tmp_path / "shop.py").write_text("elsewhere")
    (tmp_path / "project" / "linked.py").symlink_to(tmp_path / "shop.py")
    for file in (shop, str(tmp_path / "shop.py"), str(tmp_path / "project" / "linked.py"), None):
        app = replace(APP, modules={"shop": shop}, tasks={"shop.pay": {"file": file}})
        why = unfounded("shop.pay", app, found)
        assert (why == "") is (file == shop), why
        assert file in (None, shop) or f"written in {tmp_path / 'shop.py'}" in why
    assert "Celery's own" in unfounded("celery.backend_cleanup", app, found)
    assert unfounded("shop.pya", app, found) == "", "the exploration says that there is none"


def test_of_data_only_what_this_run_has_not_made_is_a_ground(tmp_path: Path) -> None:
    found = seen(tmp_path)
    (tmp_path / "prices.json").write_text("[900]")
    assert found.look_at_data([str(tmp_path / "prices.json"), "/etc/hostname"]) == (str(tmp_path / "prices.json"),)
    found.since = 0
    (tmp_path / "cache.json").write_text("{}")
    assert found.look_at_data([str(tmp_path / name) for name in ("cache.json", "prices.json")]) == (str(tmp_path / "prices.json"),)
    (tmp_path / "prices.json").write_text("[901]")
    assert list(found.changed()) == ["file prices.json changed while it was explored"]


def test_secrets_are_hidden_by_their_names_however_deep() -> None:
    given = [7, {"password": "pw", "user": {"api_token": "t"}, "credentials": {"me": ["a", 5]}, "token_ttl": 60, "at": "amqp://u:p@host/"}]
    hidden = {"password": "**", "user": {"api_token": "**"}, "credentials": {"me": ["**", 5]}, "token_ttl": 60, "at": "amqp://**@host/"}
    assert without_secrets(given) == [7, hidden]


def test_no_name_or_password_of_an_address_is_in_its_grounds(tmp_path: Path) -> None:
    scenario = {"system": {"app": "shop:app", "env": {"API": "https://me:pw@api.example/x"}}, "explore": [{"task": "shop.pay"}]}
    (tmp_path / "pay.yaml").write_text(json.dumps({"version": 1, **scenario}))
    (loaded,) = load_scenarios(tmp_path / "pay.yaml", registry())
    app = replace(APP, settings={"broker_transport_options": {"sentinels": ["redis://me:pw@db.example"], "api_key": "pw"}})
    item = ExploreItem(task="shop.pay")
    grounds = grounds_of(loaded, item, app, first_world={}, ran=["shop.py"], seen=seen(tmp_path), plain=Plain())
    assert "pw" not in grounds.model_dump_json() and "me:" not in grounds.model_dump_json()
    assert grounds.settings["broker_transport_options"] == {"sentinels": ["redis://**@db.example"], "api_key": "**"}
    assert list(grounds.modules) == ["shop.py"] and list(grounds.locks) == ["uv.lock"]
