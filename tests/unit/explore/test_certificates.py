"""The folder of certificates: whole files or none, and what is no certificate is said to be none."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.explore.certificates import Damaged, Folder, certificate_settings, untried
from harness.model.certificate import Counts, Subject
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
