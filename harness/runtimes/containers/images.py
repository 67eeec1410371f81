"""Which image stands for which part: as configured, the public default, or its local equivalent."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound
from docker.utils import parse_repository_tag

from harness.errors import EnvironmentFault, UsageError
from harness.runtimes.containers.building import engine_errors
from harness.runtimes.containers.local_images import TOXIPROXY_VERSION, local_tag
from harness.scenario.names import known, nearest
from harness.scenario.project import project_table

__all__ = ["DEFAULTS", "ENVIRONMENT_PREFIX", "Chosen", "Wanted", "present", "pull", "resolve", "wanted"]

#: The public images, pinned by tag. Python's is the version that the harness itself runs on.
DEFAULTS: Mapping[str, str] = {
    "redis": "redis:7.2-alpine",
    "rabbitmq": "rabbitmq:3.13-management",
    "postgres": "postgres:16",
    "python": f"python:{sys.version_info.major}.{sys.version_info.minor}-slim",
    "toxiproxy": f"ghcr.io/shopify/toxiproxy:{TOXIPROXY_VERSION}",
}
ENVIRONMENT_PREFIX = "CELERY_HARNESS_IMAGE_"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image by its reference, and where that was said. ``default``: nobody said it."""

    name: str
    reference: str
    origin: str
    default: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image that is present at the engine.

    ``origin``: who chose it, for the report; ``id``: the engine's own, by which it is started: a reference may mean another image by then.
    """

    name: str
    reference: str
    origin: str
    id: str


def wanted(name: str, *, root: Path, chosen: Mapping[Any, str] | None = None, environment: Mapping[str, str] = os.environ) -> Wanted:
    """What to use for ``name``: the scenario's `system.images` (``chosen``), the environment, ``root``/pyproject.toml, the default.

    UsageError for a name that does not exist, also in the environment or the file.
    """
    _known(name, "an image was asked for")
    for variable in sorted(environment):
        if variable.startswith(ENVIRONMENT_PREFIX):
            _known(variable.removeprefix(ENVIRONMENT_PREFIX).lower(), variable)
    for key in chosen or {}:
        _known(key, "system.images")
    configured = _configured(root)
    variable = ENVIRONMENT_PREFIX + name.upper()
    if reference := (chosen or {}).get(name):
        return Wanted(name, reference, "the scenario", default=False)
    if reference := environment.get(variable):
        return Wanted(name, reference, variable, default=False)
    if reference := configured.get(name):
        return Wanted(name, reference, "pyproject.toml", default=False)
    return Wanted(name, DEFAULTS[name], "default", default=True)


def resolve(
    client: docker.DockerClient,
    name: str,
    *,
    root: Path,
    chosen: Mapping[Any, str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Chosen:
    """The image for ``name``, present at the engine afterwards.

    Only a default may be replaced by its local equivalent (`celery-harness images build`), and the origin says so; one that
    somebody named is used or missed. EnvironmentFault where it is neither present nor to be pulled.
    """
    want = wanted(name, root=root, chosen=chosen)
    if (image := present(client, want.reference)) is not None:
        return _chosen(want.name, want.reference, want.origin, image)
    local = local_tag(name)
    if want.default and (image := present(client, local)) is not None:
        return _chosen(name, local, f"local equivalent of {want.reference}", image)
    pull(client, want.reference, say=say, origin=want.origin, local_name=name)
    image = present(client, want.reference)
    if image is None:
        raise EnvironmentFault(f"the image {want.reference} was pulled and is not there", hint="does something remove images meanwhile?")
    return _chosen(name, want.reference, want.origin, image)


def present(client: docker.DockerClient, reference: str) -> dict[str, Any] | None:
    """What the engine knows of an image that it has; None where it has none of that name."""
    with engine_errors(f"looking for the image {reference}"):
        try:
            found: dict[str, Any] = client.api.inspect_image(reference)
        except ImageNotFound:
            return None
    return found


def pull(client: docker.DockerClient, reference: str, *, say: Callable[[str], None], origin: str, local_name: str = "") -> None:
    """Fetch it from its registry; EnvironmentFault names image, reason and what else can be done.

    ``local_name``: the image's name where `celery-harness images build` makes an equivalent of it.
    """
    say(f"pulling {reference}")
    repository, tag = parse_repository_tag(reference)
    with engine_errors(f"pulling the image {reference}"):
        try:
            why = ""
            for event in client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
                why = event.get("error", why)
        except APIError as exc:
            why = str(exc.explanation or exc)
    if not why:
        return
    if not local_name:
        advice = f"docker pull {reference}"
    elif origin == "default":
        advice = f"docker pull {reference}, or `celery-harness images build {local_name}` for a local equivalent"
    else:
        instead = f"name {local_tag(local_name)} there, or leave it out"
        advice = f"docker pull {reference}, or `celery-harness images build {local_name}` and {instead}"
    said = "" if origin == "default" else f" (named by {origin})"
    raise EnvironmentFault(f"the image {reference}{said} is not on this machine and could not be pulled: {why.strip()}", hint=advice)


def _configured(root: Path) -> Mapping[str, str]:
    table = project_table(root, "images")
    table.refuse_unknown(DEFAULTS)
    for key, value in table.values.items():
        if not isinstance(value, str) or not value.strip():
            raise table.wrong(key, f"this takes the name of an image, not {value!r}")
    return table.values


def _known(name: str, where: str) -> None:
    if name not in DEFAULTS:
        raise UsageError(f"no image is called {name!r}{nearest(name, DEFAULTS)}", where=where, hint=known(DEFAULTS))


def _chosen(name: str, reference: str, origin: str, image: Mapping[str, Any]) -> Chosen:
    return Chosen(name, reference, origin, str(image["Id"]))
