"""The container engine: found, held against what we need, and asked with a time limit on every call."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound
from docker.types import IPAMConfig, IPAMPool, LogConfig
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient, get_docker_host
from testcontainers.core.network import Network

from harness.errors import EnvironmentFault
from harness.ports.network import host_name

__all__ = ["SILENT", "Box", "Engine", "available", "log_lines", "log_tail"]

#: Engine 20.10.
_OLDEST_API = (1, 41)
_CALL_SECONDS = 30.0
_PING_SECONDS = 10.0
_SILENT_SECONDS = 20.0
#: Why nothing can be asked.
SILENT = "the container engine no longer answers"
_PIDS = 4096
_TRANSPORT = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, DockerException, OSError)
_START_AGAIN = "start it again, then `celery-harness clean` removes what this run left"
_NO_ENGINE = "start Docker Engine 20.10 or later, or set DOCKER_HOST"


@dataclass
class Box:
    """A container to be. ``mounts``: (path, 'ro' or 'rw'), the same path inside as outside. ``files``: path inside -> text.

    ``ports``: container ports to publish on 127.0.0.1, at ports that the engine picks. ``argv`` None: the image's own entry
    point with ``arguments``. ``network`` None: the engine's default bridge, or no network at all where ``alone``. ``stands_for``: the
    name of the image in the table (redis, toxiproxy …); '' for the one that holds the app.
    """

    name: str
    part: str
    image: str
    argv: Sequence[str] | None = None
    arguments: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    network: Network | None = None
    alone: bool = False
    mounts: Sequence[tuple[Path, str]] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()
    user: str = ""
    cwd: Path | None = None
    scratch: bool = False  # a tmpfs on /tmp
    stands_for: str = ""


class Engine:
    """One connection pool for the whole process. SDK and transport errors leave here as EnvironmentFault."""

    _shared: Engine | None = None
    _lock = threading.Lock()

    def __init__(self, client: DockerClient, facts: Mapping[str, Any], version: str) -> None:
        self._testcontainers = client
        self.client = client.client
        self.version = version
        security = " ".join(facts.get("SecurityOptions") or ())
        self._rootless = "name=rootless" in security
        self._selinux = "name=selinux" in security
        self._memory = int(facts.get("MemTotal") or 0) * 3 // 4
        self._silent_until = 0.0
        self._quick = docker.DockerClient(base_url=_base_url(self.client), version=self.client.api.api_version, timeout=_PING_SECONDS)

    @classmethod
    def connect(cls) -> Engine:
        """The engine that DOCKER_HOST or Docker's current context names; EnvironmentFault where none answers, or it will not do."""
        with cls._lock:
            if cls._shared is None:
                cls._shared = _connect()
            return cls._shared

    @classmethod
    def forget(cls) -> None:
        """Connect anew the next time: the environment may name another one."""
        with cls._lock:
            known, cls._shared = cls._shared, None
        if known is not None:
            known.client.close()
            known._quick.close()

    def answers(self) -> bool:
        """Within ten seconds. One that does not is not asked again for a while: each of many calls would wait as long for nothing."""
        if time.monotonic() < self._silent_until:
            return False
        answers = False
        with contextlib.suppress(*_TRANSPORT):
            answers = bool(self._quick.ping())
        if not answers:
            self._silent_until = time.monotonic() + _SILENT_SECONDS
        return answers

    @contextlib.contextmanager
    def asking(self, part: str, what: str, stands_for: str = "") -> Iterator[None]:
        """Engine calls inside: errors come out as ``<part> could not be <what>``, or as the engine's own death (see `Box`)."""
        if time.monotonic() < self._silent_until:
            raise EnvironmentFault(f"{part} could not be {what}: {SILENT}", hint=_START_AGAIN)
        try:
            yield
        except ImageNotFound as exc:
            raise EnvironmentFault(
                f"{part} could not be {what}: {exc.explanation or exc}",
                hint="pull the image, or make local equivalents with `celery-harness images build`",
            ) from exc
        except APIError as exc:
            raise EnvironmentFault(f"{part} could not be {what}: {_plain(exc)}", hint=_advice(exc, stands_for)) from exc
        except _TRANSPORT as exc:
            if self.answers():
                raise EnvironmentFault(f"{part} could not be {what}: {_first_line(exc)}") from exc
            raise EnvironmentFault(f"{part} could not be {what}: {SILENT}", hint=_START_AGAIN) from exc

    def network(self, name: str, labels: Mapping[str, str], *, fixed_addresses: bool) -> Network:
        """An internal network: the engine gives it no way out and publishes nothing from it. Its bridge has no address either, so
        that what listens on every address of this machine is not reached through it.

        ``fixed_addresses``: containers can be given the address that they had, for which the engine wants a subnet that it
        was told. It is told the one that it has just picked itself, so that it is a free one.
        """
        with self.asking("the run's network", "made"):
            options = {"internal": True, "labels": dict(labels), "options": {"com.docker.network.bridge.inhibit_ipv4": "true"}}
            network = self._network(name, options)
            if fixed_addresses:
                config = self.client.networks.get(network.id).attrs["IPAM"]["Config"][0]
                network.remove()
                pool = IPAMPool(subnet=config["Subnet"], gateway=config.get("Gateway"))
                network = self._network(name, {**options, "ipam": IPAMConfig(pool_configs=[pool])})
            return network

    def _network(self, name: str, options: dict[str, Any]) -> Network:
        network = Network(docker_network_kw=options)
        network._docker.client.close()
        network._docker = self._testcontainers
        network.name = name
        network.create()
        return network

    def start(self, box: Box) -> Any:
        """Create and start it; the SDK's container. Nothing is left where that fails."""
        with self.asking(box.part, "started", box.stands_for):
            self.client.images.get(box.image)  # testcontainers would pull a missing one, without a word and a limit
            container = self._prepared(box)
            try:
                return container.start().get_wrapped_container()
            except BaseException:
                if container._container is not None:  # by its id: a name might be somebody else's
                    self.remove(str(container._container.id))
                raise

    def _prepared(self, box: Box) -> DockerContainer:
        container = DockerContainer(box.image)
        container.get_docker_client().client.close()
        container._docker = self._testcontainers
        container.image = box.image
        container.with_name(box.name).with_envs(**box.env).with_command(list(box.arguments))
        if box.network is not None:
            container.with_network(box.network).with_network_aliases(host_name(box.part))
        for path, mode in box.mounts:
            if not path.exists():
                raise EnvironmentFault(f"{box.part}: {path} is to be mounted and is not there")
            container.with_volume_mapping(path, str(path), mode)
        for path_inside, text in box.files.items():
            container.with_copy_into_container(text.encode(), path_inside, 0o644)
        # The SDK takes (address, port) here, which testcontainers' own methods cannot say.
        ports: dict[str, Any] = {f"{port}/tcp": ("127.0.0.1", 0) for port in box.ports}
        container.ports = ports
        if box.scratch:
            container.with_tmpfs_mount("/tmp", "exec,mode=1777")
        return container.with_kwargs(**self._options(box))

    def _options(self, box: Box) -> dict[str, Any]:
        """No capability, no way to more; room enough, but not the whole machine."""
        options: dict[str, Any] = {
            "labels": dict(box.labels),
            "hostname": host_name(box.part),
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges", *(["label=disable"] if self._selinux else [])],
            "pids_limit": _PIDS,
            "log_config": LogConfig(type="json-file", config={"max-size": "64m"}),
        }
        if self._memory:
            options["mem_limit"] = self._memory
        if box.argv is not None:
            options["entrypoint"] = list(box.argv)
        if box.user:
            options["user"] = box.user
        if box.cwd is not None:
            options["working_dir"] = str(box.cwd)
        if box.network is not None:
            # The engine's name server asks the host's for a part that is down, and no answer comes into an internal network: 10 s each.
            options["dns_opt"] = ["timeout:1", "attempts:1"]
        if box.alone:
            options["network_mode"] = "none"
        elif box.network is None:
            options["network"] = "bridge"
        return options

    def socket(self) -> Path | None:
        """Where it listens on this machine; None: not at a path."""
        url = _base_url(self.client)
        return Path(url.removeprefix("unix://")).resolve() if url.startswith("unix://") else None

    def me(self) -> str:
        """uid:gid that files in our folders belong to, as a container must write them."""
        return "0:0" if self._rootless else f"{os.getuid()}:{os.getgid()}"

    def remove(self, name: str) -> str:
        """A container with its anonymous volumes, whatever state it is in; why not, or ''."""
        if time.monotonic() < self._silent_until:
            return SILENT
        try:
            self.client.api.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            return ""
        except APIError as exc:
            return "" if exc.status_code == 409 and "in progress" in _plain(exc) else _plain(exc)
        except _TRANSPORT as exc:
            return _first_line(exc) if self.answers() else SILENT
        return ""

    def remove_network(self, name: str) -> str:
        """Containers that are still on it are cut off first; why not, or ''."""
        try:
            for container in self.client.api.inspect_network(name).get("Containers") or {}:
                self.client.api.disconnect_container_from_network(container, name, force=True)
            self.client.api.remove_network(name)
        except docker.errors.NotFound:
            return ""
        except _TRANSPORT as exc:
            return _first_line(exc)
        return ""


def available() -> str:
    """'' where an engine answers that will do, else why not and what to do. Fast where there is none."""
    try:
        Engine.connect()
    except EnvironmentFault as fault:
        return fault.what + (f" ({fault.hint})" if fault.hint else "")
    return ""


def log_lines(container: Any, lines: int = 12) -> tuple[str, ...]:
    """The last lines that a container wrote; () where the engine cannot tell."""
    try:
        text = container.logs(tail=lines).decode("utf-8", "replace")
    except _TRANSPORT:
        return ()
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-lines:]


def log_tail(container: Any) -> str:
    """The same for an error, which names them in its lines from the second on."""
    return "\n  ".join(log_lines(container)) or "(none)"


def _connect() -> Engine:
    before = os.environ.get("DOCKER_HOST")
    try:
        client = DockerClient(timeout=_PING_SECONDS, max_pool_size=16)
        facts = client.client.info()
        version = client.client.version()
        client.client.api.timeout = _CALL_SECONDS
    except _TRANSPORT as exc:
        raise EnvironmentFault(f"no container engine answers at {_address()}: {_reason(exc)}", hint=_NO_ENGINE) from exc
    finally:  # testcontainers sets it for Docker's contexts; children of ours are none of its business
        if before is None:
            os.environ.pop("DOCKER_HOST", None)
    oldest = ".".join(map(str, _OLDEST_API))
    if tuple(int(n) for n in version["ApiVersion"].split(".")) < _OLDEST_API:
        raise EnvironmentFault(
            f"the container engine {version.get('Version')} speaks API {version['ApiVersion']}; we need {oldest}", hint=_NO_ENGINE
        )
    if facts.get("KernelVersion") != platform.release():
        raise EnvironmentFault(
            f"the container engine {facts.get('Name')} runs on another machine or in a virtual one (kernel {facts.get('KernelVersion')},"
            f" here {platform.release()}): its containers share neither files nor the clock with us",
            hint="use an engine of this Linux system (DOCKER_HOST, docker context), or `--runtime processes`",
        )
    testcontainers_config.ryuk_disabled = testcontainers_config.ryuk_disabled or not _has_ryuk(client)
    return Engine(client, facts, f"{version.get('Version', '?')}")


def _has_ryuk(client: DockerClient) -> bool:
    """Our labels and `clean` do the same work; where its image is to be had it removes what a killed run left at once."""
    try:
        client.client.images.get(testcontainers_config.ryuk_image)
    except _TRANSPORT:
        return False
    return True


def _address() -> str:
    """Where we looked, as the user may have set it."""
    return get_docker_host() or "unix:///var/run/docker.sock"


def _reason(exc: BaseException) -> str:
    """The system's own word for it, which the SDK wraps several times."""
    seen: list[Any] = [exc]
    while seen:
        found = seen.pop()
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        if isinstance(found, BaseException):
            seen += [found.__context__, found.__cause__, *found.args, getattr(found, "reason", None)]
    return _first_line(exc)


def _base_url(client: Any) -> str:
    """The SDK hides a Unix socket behind an HTTP name."""
    url = str(client.api.base_url)
    adapter = client.api.adapters.get("http+docker://") if url.startswith("http+docker") else None
    return f"unix://{adapter.socket_path}" if adapter is not None and hasattr(adapter, "socket_path") else url


def _plain(exc: APIError) -> str:
    return str(exc.explanation or exc).strip()


def _advice(exc: APIError, stands_for: str) -> str:
    text = _plain(exc)
    if "executable file not found" not in text and "no such file or directory" not in text:
        return ""
    if stands_for:
        variable = f"CELERY_HARNESS_IMAGE_{stands_for.upper()}"
        return f"the image that stands for {stands_for} lacks that program; it is named by system.images, {variable} or pyproject.toml"
    return "the image lacks that program: a worker's image needs Python 3.8 or later with your app and Celery"


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0][:300]
