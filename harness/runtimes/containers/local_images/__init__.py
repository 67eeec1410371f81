"""Local equivalents of the public images, made of Debian packages, for machines that reach no container registry.

Each folder beside this file is one image: `install.sh` runs in the base, `settings` are the image's settings in a Dockerfile's
words, other files lie beside the script while it runs. The base comes from debootstrap.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError

from harness.errors import EnvironmentFault, UsageError
from harness.runtimes.containers.building import (
    BUILD_NAME,
    LABEL,
    Building,
    Content,
    Say,
    digest,
    engine_errors,
    locked,
    make_image,
    patience,
)
from harness.runtimes.containers.package_access import (
    STAGE,
    DebianSource,
    apt_files,
    certificates,
    debian_source,
    debian_suite,
    environment_file,
    speaks_to_loopback,
)
from harness.runtimes.shared.leftovers import claimed_folder

__all__ = ["LOCAL_NAMES", "TOXIPROXY_VERSION", "Built", "build_local", "keys", "local_tag", "remove_local"]

#: In the order in which they are made.
LOCAL_NAMES = ("redis", "rabbitmq", "postgres", "python", "toxiproxy")
TOXIPROXY_VERSION = "2.12.0"

_HERE = Path(__file__).parent
_PREFIX = "celery-harness/"
_CONFLICT = 409
#: Raised when images are put together otherwise than before, so that those made before are made anew.
_EDITION = "2"


@dataclass(frozen=True, slots=True)
class Built:
    """An image that is there now. ``seconds``: how long it took; 0 where it was there before. ``size`` in bytes."""

    name: str
    reference: str
    seconds: float
    size: int


def local_tag(name: str) -> str:
    """What the local equivalent of ``name`` is called."""
    return f"{_PREFIX}{name}:local"


def keys(suite: str) -> dict[str, str]:
    """Per image, the base too, the digest of everything that goes into it. Another mirror with the same packages changes nothing."""
    wrapper = (_HERE / "run.sh").read_bytes()
    machine = os.uname().machine
    base = digest(suite, machine, *_content("base"))
    found = {"base": base}
    for name in LOCAL_NAMES:
        extra = [certificates() or b""] if name == "python" else [TOXIPROXY_VERSION] if name == "toxiproxy" else []
        found[name] = digest(_EDITION, base, wrapper, *_content(name), *extra)
    return found


def build_local(client: docker.DockerClient, names: Iterable[str], *, say: Say, fresh: bool = False) -> list[Built]:
    """Make what is missing of these images. ``fresh``: also those that are there, base included, e.g. for newer packages.

    UsageError for a name that is none of ours; EnvironmentFault where a program, a right or the network is missing.
    """
    names = list(names) or list(LOCAL_NAMES)
    if unknown := [name for name in names if name not in LOCAL_NAMES]:
        raise UsageError(f"no image is called {unknown[0]!r}", hint="images: " + ", ".join(LOCAL_NAMES))
    found = keys(debian_suite())
    took: dict[str, float] = {}
    there = _ours(client)
    if fresh or not all(_is_made(there, name, found[name]) for name in names):
        with locked("local-images"):
            before = _ours(client)  # somebody else may have made them while we waited
            took = _make_missing(client, names, found, {} if fresh else before, say)
            _remove_superseded(client, found, before)
        there = _ours(client)
    return [Built(name, local_tag(name), took.get(name, 0.0), there[local_tag(name)].size) for name in names]


def remove_local(client: docker.DockerClient, names: Iterable[str] = ()) -> list[str]:
    """Remove what we made: these images (base and worker too), or everything and the containers of killed builds; what was removed.

    An image that a container uses stays; EnvironmentFault says so. A user's image that stands on one of ours is left alone.
    """
    wanted = set(names)
    if unknown := wanted - {*LOCAL_NAMES, "base", "worker"}:
        raise UsageError(
            f"no image of ours is called {sorted(unknown)[0]!r}", hint="images: " + ", ".join((*LOCAL_NAMES, "base", "worker"))
        )
    removed: list[str] = []
    used: list[str] = []
    with engine_errors("removing images"):
        if not wanted:
            for container in client.containers.list(all=True, filters={"label": LABEL, "name": BUILD_NAME}):
                container.remove(force=True, v=True)
                removed.append(container.name)
        for tag in _ours(client):
            if wanted and _name_of(tag) not in wanted:
                continue
            try:
                client.images.remove(tag)
                removed.append(tag)
            except APIError as exc:
                if exc.status_code != _CONFLICT:
                    raise
                used.append(tag)
    if used:
        raise EnvironmentFault(f"containers still use {', '.join(used)}", hint="`celery-harness clean` removes what killed runs left")
    return removed


def _content(name: str) -> list[str | bytes]:
    parts: list[str | bytes] = []
    for path in sorted((_HERE / name).iterdir()):
        parts += [path.name, path.read_bytes()]
    return parts


def _reference(name: str, key: str) -> str:
    return f"{_PREFIX}{name}:{key}"


@dataclass(frozen=True, slots=True)
class _Image:
    id: str
    size: int


def _ours(client: docker.DockerClient) -> dict[str, _Image]:
    """Every tag of ours at the engine, in one question."""
    with engine_errors("looking at its images"):
        listed = client.api.images(filters={"reference": f"{_PREFIX}*"})
    return {tag: _Image(i["Id"], int(i["Size"])) for i in listed for tag in i["RepoTags"] or () if tag.startswith(_PREFIX)}


def _name_of(tag: str) -> str:
    return tag.removeprefix(_PREFIX).partition(":")[0]


def _is_made(there: Mapping[str, _Image], name: str, key: str) -> bool:
    """Is the image of this content there, and does `:local` mean it?"""
    made, local = there.get(_reference(name, key)), there.get(local_tag(name))
    return made is not None and local is not None and made.id == local.id


def _make_missing(
    client: docker.DockerClient, names: Iterable[str], found: Mapping[str, str], there: Mapping[str, _Image], say: Say
) -> dict[str, float]:
    """Seconds per image that was made."""
    took: dict[str, float] = {}
    source = debian_source()
    if not _is_made(there, "base", found["base"]):
        _make_base(client, source, found["base"], say)
    for name in names:
        if not _is_made(there, name, found[name]):
            began = time.monotonic()
            _make(client, name, _reference("base", found["base"]), found[name], source, say)
            took[name] = time.monotonic() - began
            say(f"{name}: {local_tag(name)} is there")
    return took


def _remove_superseded(client: docker.DockerClient, found: Mapping[str, str], before: Mapping[str, _Image]) -> None:
    """Images of earlier contents. What a container still runs in, or another image stands on, the engine keeps."""
    for tag in _ours(client):
        name = _name_of(tag)
        if name in found and tag not in (_reference(name, found[name]), local_tag(name)):
            with contextlib.suppress(APIError):
                client.images.remove(tag)
    for tag, image in before.items():
        with contextlib.suppress(APIError):
            # Made anew under the same tag: the one before has no name any more, unless the user gave it one.
            if _name_of(tag) in found and not client.api.inspect_image(image.id)["RepoTags"]:
                client.images.remove(image.id)


def _make(client: docker.DockerClient, name: str, base: str, key: str, source: DebianSource, say: Say) -> None:
    files: dict[str, Content] = {path.name: path for path in (_HERE / name).iterdir() if path.name != "settings"}
    apt, environment = apt_files(source), environment_file({"APT_CONFIG": f"{STAGE}/apt/apt.conf"})
    files |= {**apt, "run.sh": _HERE / "run.sh", "environment": environment.encode()}
    if (bundle := certificates()) is not None:
        files["ca.crt"] = bundle
    if name == "toxiproxy":
        files["server"] = _toxiproxy_server(say)
    building = Building(
        name=name,
        base=base,
        tag=_reference(name, key),
        script="run.sh",
        files=files,
        settings=(_HERE / name / "settings").read_text().splitlines(),
        labels={"celery-harness.suite": source.suite},
        also=[local_tag(name)],
        host_network=speaks_to_loopback(environment, *(data.decode() for data in apt.values())),
    )
    make_image(client, building, say)


def _make_base(client: docker.DockerClient, source: DebianSource, key: str, say: Say) -> None:
    program = _debootstrap()
    say(f"base: debootstrap {source.suite}")
    with claimed_folder("base") as folder:
        root, archive = folder / "root", folder / "base.tar"
        debootstrap = [program, "--variant=minbase", f"--components={source.components}", source.suite, str(root), source.mirror]
        _command([*_own_namespaces(), *debootstrap], "debootstrap could not make a base")
        _command(["sh", str(_HERE / "base" / "trim.sh"), str(root)], "the base could not be trimmed")
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".", filter=lambda entry: None if entry.name.startswith("./dev/") else entry)
        with engine_errors("importing the base"), patience(client):
            changes = ["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 'CMD ["sh"]', f"LABEL {LABEL}=base"]
            client.api.import_image_from_file(str(archive), repository=f"{_PREFIX}base", tag=key, changes=changes)
            client.images.get(_reference("base", key)).tag(f"{_PREFIX}base", "local")


def _debootstrap() -> str:
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise EnvironmentFault("debootstrap is not on this machine, and local images begin with it", hint="apt-get install -y debootstrap")
    if os.geteuid() != 0:
        raise EnvironmentFault(
            "debootstrap works for root only: it makes files of other owners",
            hint="sudo celery-harness images build   (the images serve every user)",
        )
    return program


def _own_namespaces() -> list[str]:
    """Before a command: what it mounts and starts ends with it, also when we are interrupted; we remove its folder then."""
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    try:
        subprocess.run([*words, "true"], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []  # not allowed here
    return words


def _toxiproxy_server(say: Say) -> bytes:
    """Toxiproxy's server: this machine's own where it is of the right version, else compiled, without C so that it runs anywhere."""
    installed = shutil.which("toxiproxy-server")
    if installed and sys.platform == "linux":
        told = subprocess.run([installed, "--version"], capture_output=True, text=True, check=False).stdout
        if told.strip().endswith(TOXIPROXY_VERSION):
            return Path(installed).read_bytes()
    go = shutil.which("go")
    if go is None:
        raise EnvironmentFault(
            "the toxiproxy image needs Go 1.23 or later to compile Toxiproxy's server, and `go` is not on PATH",
            hint=f"https://go.dev/dl, or put toxiproxy-server {TOXIPROXY_VERSION} on PATH",
        )
    say(f"toxiproxy: go install toxiproxy {TOXIPROXY_VERSION}")
    version = f"-X github.com/Shopify/toxiproxy/v2.Version={TOXIPROXY_VERSION}"
    package = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{TOXIPROXY_VERSION}"
    with claimed_folder("go") as folder:
        command = [go, "install", "-trimpath", "-ldflags", f"-s -w {version}", package]
        _command(command, "Toxiproxy's server could not be compiled", {"GOBIN": str(folder), "CGO_ENABLED": "0"})
        return (folder / "server").read_bytes()


def _command(command: list[str], failure: str, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.decode(errors="replace").splitlines()[-15:])
        raise EnvironmentFault(f"{failure} (exit {done.returncode})\n{tail}")
