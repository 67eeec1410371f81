"""Makes an image: files into a container of the base, a script in it, and one layer of what the script left.

Docker 20.10's own builder has neither secrets nor mounts without BuildKit: whatever reaches a `docker build` stays in a
layer or in the history. A container that is committed keeps nothing but its last state, and works with a distant engine too.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import hashlib
import io
import json
import os
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Union

import docker
import requests
from docker.errors import APIError, DockerException

from harness.errors import EnvironmentFault
from harness.runtimes.containers.package_access import STAGE

__all__ = [
    "BUILD_NAME",
    "LABEL",
    "BuildFailed",
    "Building",
    "Say",
    "digest",
    "engine_errors",
    "locked",
    "make_image",
    "patience",
    "write_tar",
]

#: On every image that we make; its value is the image's name (redis, worker …). Also on containers that a killed build left.
LABEL = "celery-harness.image"
#: How the names of our containers begin that live as long as a build.
BUILD_NAME = "celery-harness-build-"

Say = Callable[[str], None]
#: A file's bytes, or where they lie on this machine.
Content = Union[bytes, Path]

_LIMIT = 900.0  # seconds that one script may take
_STOP_SIGNAL = "STOPSIGNAL "
_WIDTH = 300  # characters of each: pip lists every version that there ever was
_TAIL = 25  # lines of its output that an error shows


class BuildFailed(EnvironmentFault):
    """The script of a build ended with an error. ``status``: its exit code; ``output``: its last lines."""

    def __init__(self, what: str, *, status: int, output: str, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.status = status
        self.output = output


@dataclass(frozen=True, slots=True)
class Building:
    """One image to make. ``script``: a file of ``files``, run by `sh`; ``settings``: instructions for `docker commit --change`."""

    name: str
    base: str
    tag: str
    script: str
    files: Mapping[str, Content]
    settings: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    also: Sequence[str] = ()  # further tags
    host_network: bool = False


def digest(*parts: str | bytes) -> str:
    """Twelve hexadecimal digits for these parts; where one ends and the next begins counts."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()[:12]


@contextlib.contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """What the engine, or the way to it, raises becomes an EnvironmentFault that says what we were ``doing``."""
    try:
        yield
    except (DockerException, requests.RequestException) as exc:
        why = exc.explanation if isinstance(exc, APIError) and exc.explanation else exc
        raise EnvironmentFault(
            f"the container engine failed while {doing}: {why}", hint="`docker info` says whether it answers; DOCKER_HOST where it is"
        ) from exc


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time makes the image of this name; the others wait and then find it."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "celery-harness" / "locks"
    home.mkdir(parents=True, exist_ok=True)
    with (home / name.replace("/", "-").replace(":", "-")).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_tar(files: Mapping[str, Content], target: IO[bytes], *, below: str) -> None:
    """An archive of these files, owned by root and readable by all (apt leaves root before it reads)."""
    with tarfile.open(fileobj=target, mode="w") as archive:
        folders = {str(parent) for name in files for parent in Path(below, name).parents if str(parent) not in (".", "/")}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(str(Path(below, name)))
            with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as data:
                entry.size, entry.mode = data.seek(0, io.SEEK_END), 0o644
                data.seek(0)
                archive.addfile(entry, data)


@contextlib.contextmanager
def patience(client: docker.DockerClient) -> Iterator[None]:
    """Minutes instead of seconds for each answer of the engine: a commit writes everything that was installed."""
    before, client.api.timeout = client.api.timeout, _LIMIT
    try:
        yield
    finally:
        client.api.timeout = before


def make_image(client: docker.DockerClient, building: Building, say: Say) -> str:
    """Run the script in a container of the base and commit it; the new image's id.

    Lines of the script that begin with ``== `` are passed to ``say``. BuildFailed where the script fails, EnvironmentFault
    where the engine does. The container is removed in every case.
    """
    with engine_errors(f"making the image {building.tag}"), patience(client):
        base = client.api.inspect_image(building.base)["Config"] or {}
        command = ["sh", "-eu", f"{STAGE}/{building.script}"]
        container = client.containers.create(
            building.base,
            # An entry point cannot be taken back at the commit, only replaced: none is set where the base has none.
            **({"entrypoint": command, "command": []} if base.get("Entrypoint") else {"command": command}),
            name=f"{BUILD_NAME}{building.name}-{uuid.uuid4().hex[:8]}",
            labels={LABEL: building.name},
            network_mode="host" if building.host_network else "bridge",
            stop_signal=_stop_signal(building) or base.get("StopSignal"),
            **({"user": "0"} if base.get("User") else {}),
        )
        try:
            with tempfile.TemporaryFile() as archive:
                write_tar(building.files, archive, below=STAGE.lstrip("/"))
                archive.seek(0)
                container.put_archive("/", archive)
            container.start()
            _wait(client, container, building, say)
            repository, _, tag = building.tag.rpartition(":")
            committed = container.commit(repository, tag, message="celery-harness", changes="\n".join(_changes(building, base)))
            for further in building.also:
                committed.tag(*further.rsplit(":", 1))
            return str(committed.id)
        finally:
            with contextlib.suppress(DockerException, requests.RequestException):
                container.remove(force=True, v=True)


def _wait(client: docker.DockerClient, container: Any, building: Building, say: Say) -> None:
    deadline = time.monotonic() + _LIMIT
    told = 0
    while True:
        status = _ended(client, container)
        lines = container.logs().decode(errors="replace").splitlines()
        for line in lines[told:]:
            if line.startswith("== "):
                say(f"{building.name}: {line[3:]}")
        told = len(lines)
        if status == 0:
            return
        tail = "\n".join(collections.deque((line[:_WIDTH] for line in lines if line.strip()), maxlen=_TAIL))
        if status is not None:
            raise BuildFailed(
                f"the image {building.tag} could not be made: its script ended with {status}\n{tail}", status=status, output=tail
            )
        if time.monotonic() > deadline:
            raise BuildFailed(f"the image {building.tag} was not made within {_LIMIT:.0f} s\n{tail}", status=-1, output=tail)


def _ended(client: docker.DockerClient, container: Any) -> int | None:
    """Exit code, or None when it still runs after a second."""
    try:
        return int(client.api.wait(container.id, timeout=1)["StatusCode"])
    except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
        # Which of the two a read timeout becomes depends on the transport; an engine that is gone fails at the next call.
        return None


def _stop_signal(building: Building) -> str | None:
    """The one instruction that `docker commit` does not take; it is the container's instead, which the image then inherits."""
    return next((line.removeprefix(_STOP_SIGNAL).strip() for line in building.settings if line.startswith(_STOP_SIGNAL)), None)


def _changes(building: Building, base: Mapping[str, Any]) -> list[str]:
    """The base's own entry point, command and user again (ours were for the build only), then this image's settings and labels."""
    entrypoint, command = base.get("Entrypoint"), base.get("Cmd")
    restored = [f"ENTRYPOINT {json.dumps(entrypoint)}"] if entrypoint else []
    restored.append(f"CMD {json.dumps(command or ([] if entrypoint else ['sh']))}")
    if base.get("User"):
        restored.append(f"USER {base['User']}")
    labels = {LABEL: building.name, **building.labels}
    settings = [line for line in building.settings if line and not line.startswith(_STOP_SIGNAL)]
    return [*restored, *settings, *(f"LABEL {json.dumps(name)}={json.dumps(value)}" for name, value in labels.items())]
