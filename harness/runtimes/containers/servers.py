"""Servers as containers: reached by name inside, from here through Toxiproxy's published ports."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import EnvironmentFault
from harness.ports.broker import Endpoint
from harness.ports.network import host_name
from harness.runtimes.containers.building import write_tar
from harness.runtimes.containers.engine import Box, log_tail
from harness.runtimes.containers.process import Life
from harness.runtimes.shared.hosting import Managed, ServerSpec

if TYPE_CHECKING:
    from harness.runtimes.containers.host import ContainerHost

__all__ = ["ContainerServer"]

_STOP_SECONDS = 20
_TICK = 0.02


class ContainerServer:
    """See `ServerHandle`. Stopped and started again it is the same container with its data; without ``keep`` a new one."""

    def __init__(self, spec: ServerSpec, endpoint: Endpoint, host: ContainerHost, log: Path, image: str = "") -> None:
        """``host``: whose it is, a run's or a session's. ``image``: by its id; none: the host's own choice."""
        self.spec, self.log = spec, log
        self.version = ""
        self.processes: list[Managed] = []
        self.plan = spec.kind.container(endpoint, persistence=spec.persistence)
        inside = host_name(spec.name)
        published = {name: host.publish(inside, port) for name, port in {"": self.plan.port, **self.plan.ports}.items()}
        self.endpoint = replace(endpoint, host="127.0.0.1", port=published.pop(""), ports=published, inside=(inside, self.plan.port))
        self._host = host
        self._image = image
        self._files_of: Endpoint | None = None  # whose credentials the files in the container have
        self._container: Any = None
        self._box_name = ""
        self._life: Life | None = None
        self._saved = 0  # bytes of this container's log that our file has already

    def start(self) -> None:
        """EnvironmentFault with its last lines where it ends, or does not answer in time."""
        life = self._begin()
        self._wait_until_ready(life)
        self.version = self.spec.kind.version(self.endpoint)

    def _begin(self) -> Life:
        host = self._host
        life = Life(self.spec.name, self.spec.role, self.log, host.clock, host.engine, pid_base=host.new_pid_base())
        if self._container is None:
            box = self._box()
            host.watcher.expect(box.name, life.ended)
            self._container = host.engine.start(box)
            self._box_name, self._saved, self._files_of = box.name, 0, self.endpoint
        else:
            host.watcher.expect(self._box_name, life.ended)
            self._renew_files()
            with host.engine.asking(self.spec.name, "started again"):
                self._container.start()
        life.container.set_result(self._container)
        self._life = life
        self.processes.append(life)
        return life

    def _renew_files(self) -> None:
        """Its configuration names the logins that it began with; a server that changed hands has others."""
        if self._files_of is self.endpoint:
            return
        self.plan = self.spec.kind.container(self.endpoint, persistence=self.spec.persistence)
        with tempfile.TemporaryFile() as archive, self._host.engine.asking(self.spec.name, "told its new logins"):
            write_tar({name.lstrip("/"): text.encode() for name, text in self.plan.files.items()}, archive, below="")
            archive.seek(0)
            self._container.put_archive("/", archive)
        self._files_of = self.endpoint

    def _box(self) -> Box:
        self.plan = self.spec.kind.container(self.endpoint, persistence=self.spec.persistence)
        return Box(
            name=self._host.box_name(self.spec.name),
            part=self.spec.name,
            image=self._image or self._host.image(self.plan.image),
            argv=self.plan.argv,
            env=self.plan.env,
            labels=self._host.labels(self.spec.name),
            network=self._host.network,
            files=self.plan.files,
            user=self.plan.user,
            stands_for=self.plan.image,
        )

    def _wait_until_ready(self, life: Life) -> None:
        deadline = self._host.clock.now() + self.plan.start_seconds
        while not self.answers():
            if not life.alive():
                raise self._fault(f"ended with status {life.status} before it was ready")
            if self._host.clock.now() > deadline:
                raise self._fault(f"did not answer within {self.plan.start_seconds:.0f} s")
            self._host.check()
            life.wait(_TICK)

    def _fault(self, what: str) -> EnvironmentFault:
        if self._life is not None:
            self._life.expected_end = True
        tail = log_tail(self._container)
        self.save_log()
        return EnvironmentFault(
            f"{self.spec.name} ({self.plan.image} in a container) {what}; its last lines:\n  {tail}", where=str(self.log)
        )

    def alive(self) -> bool:
        """Its container runs; frozen counts."""
        return self._life is not None and self._life.alive()

    def answers(self) -> bool:
        """On a real connection, through the proxy that the harness itself uses."""
        return self.alive() and self.spec.kind.ready(self.endpoint, 0)

    def stop(self, *, keep: bool = True, kill: bool = False) -> None:
        """The engine's stop: SIGTERM (or what the image names), SIGKILL after 20 s."""
        life = self._life
        if life is not None and life.alive():
            life.expected_end = True
            life.resume()
            if kill:
                life.kill()
            else:
                with self._host.engine.asking(self.spec.name, "stopped"):
                    self._container.stop(timeout=_STOP_SECONDS)
                life.wait(_STOP_SECONDS)
        if not keep:
            self.remove()

    def empty(self) -> None:
        """See `ServerHandle`."""
        if not self.spec.owned and self.answers() and self.spec.kind.reset(self.endpoint):
            return
        self.stop(keep=False, kill=True)  # its data go too, so that it need not close anything
        self.start()

    def hand_over(self, log: Path) -> None:
        """See `Lasting`."""
        self.log = log
        self.processes = [self._life] if self._life is not None else []
        if self._life is not None:
            self._life.log = log

    def set_aside(self) -> None:
        """See `Lasting`. Its name leads to it until the next system has begun, which takes it over or removes it."""
        self.save_log()

    def pause(self) -> None:
        """Frozen by the kernel: connections stay, nobody answers."""
        if self._life is None:
            raise EnvironmentFault(f"{self.spec.name} is not running, so it cannot be paused")
        self._life.pause()

    def resume(self) -> None:
        """Thawed."""
        if self._life is not None:
            self._life.resume()

    def remove(self) -> None:
        """Its log saved, the container gone with its data."""
        if self._container is None:
            return
        if self._life is not None:
            self._life.expected_end = True
        self.save_log()
        self._host.engine.remove(self._box_name)
        if self._life is not None:
            self._life.wait(2.0)
        self._container = None

    def keep_last_words(self) -> None:
        """Save the log of a container that has ended by itself. Free while it runs; never raises."""
        life = self._life
        if life is not None and not (life.alive() or life.expected_end or life.reported):
            self.save_log()

    def save_log(self) -> None:
        """All that this container has written so far, into our file; the container that follows it adds to it. Never raises."""
        if self._container is None:
            return
        with contextlib.suppress(EnvironmentFault, OSError), self._host.engine.asking(self.spec.name, "asked for its log"):
            text = self._container.logs()
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as stream:
                stream.write(text[self._saved :])
            self._saved = len(text)
