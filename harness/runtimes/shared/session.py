"""What outlives one system for the sake of the next: servers that are proven clean, and answers that still hold. docs/reuse.md.

A runtime has a session between `keep` and `close`. Without one every system starts all of its own and removes it.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from pathlib import Path

from harness.errors import EnvironmentFault
from harness.runtimes.shared.answers import Answers
from harness.runtimes.shared.folders import remove_folder
from harness.runtimes.shared.leftovers import new_folder
from harness.runtimes.shared.pool import ServerPool

__all__ = ["Session"]


class Session:
    """``id`` has the form of a run's, and stands where that of a run does: in labels, environments and names of folders.

    So `celery-harness clean` finds what a killed session left as it finds what a killed run left.
    """

    def __init__(self) -> None:
        self.id = time.strftime("%m%d-%H%M%S-") + secrets.token_hex(2)
        self.servers = ServerPool()
        self.answers = Answers()
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """Of its own; removed at the end."""
        if self._folder is None:
            try:
                folder = new_folder(self.id)
                folder.chmod(0o711)  # a server that refuses root runs as another user, and has its folder below this one
            except OSError as exc:
                raise EnvironmentFault(f"a temporary folder cannot be made: {exc}", hint="TMPDIR says where") from exc
            self._folder = folder
        return self._folder

    def new_folder(self, name: str) -> Path:
        """An empty one below it; a server that takes another's place must not find its data."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def close(self) -> None:
        """Servers stopped, folder gone; never raises; also twice."""
        with contextlib.suppress(Exception):
            self.servers.close()
        if self._folder is not None:
            remove_folder(self._folder)
            self._folder = None
