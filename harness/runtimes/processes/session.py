"""What the processes of one run leave to the next beside servers: the network proxy, while it is proven empty. docs/reuse.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.runtimes.shared.session import Session

if TYPE_CHECKING:  # most scenarios need no proxy, and so no HTTP client either
    from harness.runtimes.processes.proxy import ProcessProxy

__all__ = ["ProcessSession"]


class ProcessSession(Session):
    """A session in which at most one network proxy waits for the next system."""

    def __init__(self) -> None:
        super().__init__()
        self._proxy: ProcessProxy | None = None

    def take_proxy(self, seed: int, log: Path) -> ProcessProxy | None:
        """The one that waits, where it draws by this seed and has stayed empty. None: there is none; another one is stopped."""
        proxy, self._proxy = self._proxy, None
        if proxy is None:
            return None
        if proxy.seed == seed and proxy.empty():
            proxy.hand_over(log)
            return proxy
        proxy.stop()
        return None

    def give_proxy(self, proxy: ProcessProxy) -> bool:
        """May it wait for the next system? False: the caller has to stop it."""
        if self._proxy is not None or not (proxy.lasts() and proxy.sweep()):
            return False
        proxy.save_log()
        self._proxy = proxy
        return True

    def stop_proxy(self) -> None:
        """The next system has no use for it, and should find none that is not its own."""
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            proxy.stop()

    def close(self) -> None:
        """See `Session`."""
        self.stop_proxy()
        super().close()
