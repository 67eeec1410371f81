"""Images that workers run in: which of them stay."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

docker = pytest.importorskip("docker", reason="needs the extra `containers`")

from harness.runtimes.containers import worker_image  # noqa: E402


class _Images:
    """An engine's, newest last. ``used``: tags that a container has."""

    def __init__(self, tags: list[list[str] | None], used: str = "") -> None:
        self.there = [{"Id": f"sha256:{n}", "Created": n, "RepoTags": names} for n, names in enumerate(tags)]
        self.used, self.removed = used, list[str]()

    def images(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert filters == {"label": "celery-harness.project=/shop"}
        return self.there

    def remove_image(self, tag: str) -> None:
        if tag == self.used:
            raise docker.errors.APIError("conflict")
        self.removed.append(tag)


def ours(number: int) -> str:
    return f"celery-harness/worker:{number:012x}"


def test_of_one_projects_images_the_newest_stay_and_those_that_are_used_or_the_users_own() -> None:
    """A user's image that stands on one of ours has its label."""
    engine = _Images([[ours(0)], [ours(1)], ["shop:mine"], None, *([ours(n)] for n in range(2, 7))], used=ours(1))
    client: Any = SimpleNamespace(api=engine)
    worker_image._forget_old(client, Path("/shop"))
    assert engine.removed == [ours(2), ours(0)]
