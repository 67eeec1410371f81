"""Which image stands for which part, and what becomes of one that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound

from harness.errors import EnvironmentFault, UsageError
from harness.runtimes.containers import images
from harness.runtimes.containers.images import DEFAULTS, Chosen, resolve, wanted
from harness.runtimes.containers.local_images import LOCAL_NAMES, local_tag


class _Engine:
    """As much of an engine as choosing an image asks: what it has, and what a registry gives."""

    def __init__(self, *references: str, registry: dict[str, str] | None = None) -> None:
        self.has = {reference: f"sha256:{reference}" for reference in references}
        self.registry = registry  # None: not reachable
        self.pulled: list[str] = []
        self.api = SimpleNamespace(inspect_image=self._inspect, pull=self._pull)

    def _inspect(self, reference: str) -> dict[str, Any]:
        if reference not in self.has:
            raise ImageNotFound("no such image")
        return {"Id": self.has[reference], "RepoDigests": [], "Size": 1}

    def _pull(self, repository: str, tag: str, **_: Any) -> Iterator[dict[str, Any]]:
        reference = f"{repository}:{tag}"
        self.pulled.append(reference)
        if self.registry is None:
            raise APIError("no", explanation="dial tcp: lookup registry: no such host")
        if reference not in self.registry:
            yield {"error": "manifest unknown"}
            return
        self.has[reference] = self.registry[reference]
        yield {"status": "Pull complete"}


def _project(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text)
    return folder


def _resolve(engine: _Engine, name: str, root: Path, **options: Any) -> Chosen:
    return resolve(engine, name, root=root, **options)  # type: ignore[arg-type]


def test_every_public_image_has_a_local_equivalent_and_a_tag() -> None:
    assert set(DEFAULTS) == set(LOCAL_NAMES)
    assert all(":" in reference.rpartition("/")[2] for reference in DEFAULTS.values()), "a default without a tag is another one tomorrow"


def test_scenario_beats_environment_beats_project_beats_default(tmp_path: Path) -> None:
    _project(tmp_path, '[tool.celery-harness.images]\nredis = "from.project/redis:1"\n')
    environment = {"CELERY_HARNESS_IMAGE_REDIS": "from.environment/redis:1"}
    chosen = {"redis": "from.scenario/redis:1"}

    def told(**options: Any) -> tuple[str, str]:
        found = wanted("redis", root=tmp_path, **options)
        return found.reference, found.origin

    assert told(chosen=chosen, environment=environment) == ("from.scenario/redis:1", "the scenario")
    assert told(environment=environment) == ("from.environment/redis:1", "CELERY_HARNESS_IMAGE_REDIS")
    assert told(environment={}) == ("from.project/redis:1", "pyproject.toml")
    (tmp_path / "pyproject.toml").unlink()
    assert told(environment={}) == (DEFAULTS["redis"], "default")


def test_one_choice_leaves_the_other_parts_alone(tmp_path: Path) -> None:
    assert wanted("postgres", root=tmp_path, chosen={"redis": "mine:1"}, environment={}).reference == DEFAULTS["postgres"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('redsi = "x"', "there is no key `redsi` in [tool.celery-harness.images]; did you mean `redis`?"),
        ("redis = 7", "`redis`: this takes the name of an image, not 7"),
        ('redis = " "', "name of an image"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        wanted("postgres", root=_project(tmp_path, f"[tool.celery-harness.images]\n{line}\n"), environment={})
    assert said in caught.value.what
    assert caught.value.where == f"{tmp_path / 'pyproject.toml'}:2"


def test_a_misspelt_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CELERY_HARNESS_IMAGE_REDSI"):
        wanted("redis", root=tmp_path, environment={"CELERY_HARNESS_IMAGE_REDSI": "x"})


def test_a_present_default_is_taken_without_asking_a_registry(tmp_path: Path) -> None:
    engine = _Engine(DEFAULTS["redis"], local_tag("redis"))
    assert _resolve(engine, "redis", tmp_path) == Chosen("redis", DEFAULTS["redis"], "default", f"sha256:{DEFAULTS['redis']}")
    assert not engine.pulled


def test_the_local_equivalent_stands_in_for_a_default_and_says_so(tmp_path: Path) -> None:
    engine = _Engine(local_tag("redis"))
    found = _resolve(engine, "redis", tmp_path)
    assert (found.reference, found.origin) == (local_tag("redis"), f"local equivalent of {DEFAULTS['redis']}")
    assert not engine.pulled


def test_a_default_that_is_nowhere_is_pulled(tmp_path: Path) -> None:
    engine = _Engine(registry={DEFAULTS["redis"]: "sha256:new"})
    lines: list[str] = []
    assert _resolve(engine, "redis", tmp_path, say=lines.append).id == "sha256:new"
    assert lines == [f"pulling {DEFAULTS['redis']}"]


@pytest.mark.parametrize(("registry", "why"), [(None, "no such host"), ({}, "manifest unknown")])
def test_one_that_cannot_be_had_says_why_and_both_ways_out(tmp_path: Path, registry: dict[str, str] | None, why: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        _resolve(_Engine(registry=registry), "postgres", tmp_path)
    text = str(caught.value)
    for part in (DEFAULTS["postgres"], why, f"docker pull {DEFAULTS['postgres']}", "celery-harness images build postgres"):
        assert part in text


def test_a_configured_image_is_never_replaced(tmp_path: Path) -> None:
    engine = _Engine(local_tag("redis"), DEFAULTS["redis"])
    with pytest.raises(EnvironmentFault, match=r"mine/redis:3 \(named by the scenario\)"):
        _resolve(engine, "redis", tmp_path, chosen={"redis": "mine/redis:3"})
    assert engine.pulled == ["mine/redis:3"]


def test_an_image_is_what_the_engine_knows_it_by_whatever_a_name_means_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = {"Id": "sha256:local", "RepoDigests": ["redis@sha256:abc"]}
    monkeypatch.setattr(images, "present", lambda client, reference: image)
    assert _resolve(_Engine(), "redis", tmp_path).id == "sha256:local"
