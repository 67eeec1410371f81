"""What the containers of one run leave to the next: network, Toxiproxy, servers that are proven clean, and seats. docs/reuse.md."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from harness.ports.clock import Clock
from harness.runtimes.containers.engine import Engine
from harness.runtimes.containers.folders import Folders
from harness.runtimes.containers.host import ContainerHost
from harness.runtimes.shared.session import Session

__all__ = ["ContainerSession"]

#: Ports that later scenarios may need beside those of the first; each costs some 60 ms at the end.
_SPARE_PORTS = 4


class ContainerSession(Session):
    """A session with a site: a host of its own, on which those of the runs stand."""

    def __init__(self) -> None:
        super().__init__()
        self._site: ContainerHost | None = None
        self._made_of: tuple[object, ...] = ()

    def site(
        self, engine: Engine, clock: Clock, images: Callable[[str], str], *, reports: Path, root: Path | None, ports: int
    ) -> ContainerHost:
        """The one of before, or a new one where that would not do: another engine, another image, too few ports, or one whose
        Toxiproxy has ended or hangs. Not open yet.
        """
        made_of = (id(engine), images("toxiproxy"), reports, root)
        site = self._site
        if site is not None and (made_of != self._made_of or site.room() < ports or not site.sound()):
            self.leave_site()
        if self._site is None:
            folders = Folders(self.new_folder("site"), self.folder / "logs", root, reports=reports)
            self._site = ContainerHost(self.id, clock, folders, images, engine=engine, ports=ports + _SPARE_PORTS)
            self._made_of = made_of
        return self._site

    def leave_site(self) -> None:
        """Everything on it goes; the next run gets a new one."""
        site, self._site = self._site, None
        with contextlib.suppress(Exception):
            self.servers.close()
        if site is not None:
            site.close()

    def close(self) -> None:
        """See `Session`."""
        self.leave_site()
        super().close()
