"""The folder that holds certificates: read, written whole or not at all, and held against what there is now."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.errors import EnvironmentFault, UsageError
from harness.model.certificate import Certificate, Subject
from harness.scenario.project import project_table

__all__ = ["RULES", "CertificateSettings", "Damaged", "Folder", "certificate_settings", "other_rules", "untried"]

#: Of the rules by which the explorer judges. Raise it with each change by which any verdict can be another one (what is a crash point,
#: which worlds are allowed or are one, which deliveries there are, what is inconclusive): certificates of other rules are stale.
RULES = 5

#: Under such a name nobody takes a folder for a certificate.
_COMING = ".certify-"


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """``folder``: where certificates lie; ``files``: scenario files and folders of them. Both below the project's folder."""

    folder: str = "certificates"
    files: tuple[str, ...] = ("scenarios",)


def certificate_settings(root: Path) -> CertificateSettings:
    """``[tool.celery-harness.certificates]`` of the project. UsageError with its place for what cannot be used."""
    table = project_table(root, "certificates")
    table.refuse_unknown(("folder", "files"))
    folder, files = table.values.get("folder", "certificates"), table.values.get("files", ["scenarios"])
    if not isinstance(folder, str) or not folder:
        raise table.wrong("folder", "the name of a folder, in quotes")
    files = [files] if isinstance(files, str) else files
    if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
        raise table.wrong("files", 'a list of scenario files or folders, such as ["scenarios"]')
    return CertificateSettings(folder, tuple(files))


class Damaged(UsageError):
    """A file in the folder is no certificate that this version can read."""


class Folder:
    """Certificates by their subjects."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, subject: Subject) -> Path:
        """Where its certificate lies, or would."""
        return self.path / subject.name

    def read(self, subject: Subject) -> Certificate | None:
        """None where there is none. Damaged for another thing of that name."""
        path = self.place(subject)
        found = _read(path) if path.is_file() else None
        if found is not None and found.subject != subject:
            raise Damaged("this certificate is of something else", where=str(path), hint="it was renamed or edited: remove it")
        return found

    def all(self) -> Iterator[tuple[Path, Certificate | Damaged]]:
        """Every file ``*.json`` of the folder, by name."""
        for path in sorted(self.path.glob("*.json")) if self.path.is_dir() else ():
            try:
                yield path, _read(path)
            except Damaged as damaged:
                yield path, damaged

    def write(self, certificate: Certificate) -> bool:
        """Whole or not at all, also where we are killed meanwhile. Whether anything changed. Only while it is `held`."""
        path, text = self.place(certificate.subject), certificate.text()
        with contextlib.suppress(OSError):
            if path.read_text(encoding="utf-8") == text:
                return False
        try:
            with tempfile.TemporaryDirectory(prefix=_COMING, dir=self.path) as coming:
                whole = Path(coming) / path.name
                with whole.open("w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                whole.replace(path)
        except OSError as exc:
            raise EnvironmentFault(f"the certificate cannot be written: {exc.strerror or exc}", where=str(path)) from exc
        return True

    def remove(self, subject: Subject) -> bool:
        """Whether there was one."""
        try:
            self.place(subject).unlink()
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise EnvironmentFault(f"the certificate cannot be removed: {exc.strerror}", where=str(self.place(subject))) from exc
        return True

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While one that is there is read and written anew: two at once, under two Pythons, both add theirs.

        What one that was killed left beside them goes.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise EnvironmentFault(f"the folder cannot be used: {exc.strerror}", where=str(self.path)) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in self.path.glob(f"{_COMING}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            os.close(descriptor)


def _read(path: Path) -> Certificate:
    try:
        return Certificate.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise Damaged(f"the certificate cannot be read: {exc.strerror}", where=str(path)) from None
    except ValidationError as exc:
        first = exc.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        what = f"this is no certificate of this version: {first['msg']}{f' ({at})' if at else ''}"
        raise Damaged(what, where=str(path), hint="remove it and certify anew") from None


def other_rules(certificate: Certificate) -> str:
    """Why its verdict is not what this explorer would say, in words; '' where it would."""
    return "" if certificate.rules == RULES else f"made by {'older' if certificate.rules < RULES else 'newer'} rules of the explorer"


def untried(certificate: Certificate, environment: str) -> tuple[str, str]:
    """(why it does not hold here, a remark), each '' or in words: it holds for the Celery that it was made with; Pythons may differ."""
    if environment in certificate.environments:
        return "", ""
    known = "; ".join(sorted(certificate.environments))
    celery = environment.split(", ")[1]
    if not any(celery in one.split(", ") for one in certificate.environments):
        return f"{celery} was not tried ({known})", ""
    return "", f"made on {known}, not on {environment}"
