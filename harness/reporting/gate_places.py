"""Where a gate's remarks point: paths from the root of the repository, as every CI server names files, and links to them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

__all__ = ["Place", "Places"]

#: Folders below which nothing is the user's own, although they may lie inside the checkout (a virtual environment).
_FOREIGN = frozenset({"site-packages", "dist-packages", ".git"})


@dataclass(frozen=True)
class Place:
    """A line of a file of the repository; ``path`` has forward slashes and no leading one, ``line`` is from 1."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def uri(self) -> str:
        """The path as a relative reference (RFC 3986); a colon is escaped, else the first part would look like a scheme."""
        return quote(self.path, safe="/", errors="replace")


@dataclass(frozen=True)
class Places:
    """Turns the files that findings name (from the project's folder) into places of the repository around it."""

    project: Path
    repository: Path
    blob: str = ""  #: address of the commit's files on the CI's web server, with a slash at its end; '' where unknown

    @classmethod
    def of(cls, environ: Mapping[str, str], project: Path) -> Places:
        """By what the CI says (GitHub, GitLab), else the nearest folder above that git manages, else the project itself."""
        project = project.resolve()
        named = environ.get("GITHUB_WORKSPACE") if environ.get("GITHUB_ACTIONS") == "true" else environ.get("CI_PROJECT_DIR")
        repository = Path(named).resolve() if named else project
        if not project.is_relative_to(repository) or not named:
            repository = next((p for p in (project, *project.parents) if (p / ".git").exists()), project)
        return cls(project, repository, _blob(environ))

    @property
    def folder(self) -> str:
        """The project's folder in the repository; '' for its root."""
        return "" if self.project == self.repository else self.project.relative_to(self.repository).as_posix()

    def find(self, file: str, line: int | None = None) -> Place | None:
        """None for what is no file of the repository: no place at all is better than a line of somebody else's."""
        if not file or "\0" in file:
            return None
        path = Path(os.path.normpath(self.project / file))
        if not path.is_relative_to(self.repository):
            path = _resolved(path)  # named through a link that leads to the repository
        if not path.is_relative_to(self.repository) or path == self.repository:
            return None
        relative = path.relative_to(self.repository)
        return None if _FOREIGN & set(relative.parts) else Place(relative.as_posix(), max(1, line or 1))

    def url(self, place: Place) -> str:
        """Where a browser shows the line; '' where no CI said."""
        return f"{self.blob}{place.uri}#L{place.line}" if self.blob else ""


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # too long a name, a ring of links
        return path


def _blob(environ: Mapping[str, str]) -> str:
    if environ.get("GITHUB_ACTIONS") == "true":
        parts = [environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA")]
        base = f"{parts[0]}/{parts[1]}/blob/{parts[2]}/"
    else:
        parts = [environ.get(name, "") for name in ("CI_PROJECT_URL", "CI_COMMIT_SHA")]
        base = f"{parts[0]}/-/blob/{parts[1]}/"
    return base if all(parts) and base.startswith(("https://", "http://")) else ""
