"""What `certify` does with a certificate that is there already."""

from __future__ import annotations

from pathlib import Path

from harness.cli.certify_run import write_certificate
from harness.explore.certificates import Folder
from harness.model.certificate import Counts, Grounds, Worlds
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
    folder.place(moved.subject).write_text("{")
    done, (why,) = write_certificate(folder, moved)
    assert done == "renewed" and "no certificate" in why and folder.read(moved.subject) == moved
