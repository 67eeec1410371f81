"""Addresses of names, asked for beside whoever wants them: without a name server each question takes as long as its timeout."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.egress.addresses import normal

__all__ = ["Resolver"]

#: After this an empty answer is asked for again: a name server may be slow to come up.
_AGAIN_SECONDS = 10.0
#: So long after a name was first asked for, whoever wants its addresses may wait for them; later, what is not known is not there.
_PATIENCE_SECONDS = 1.0


@dataclass(slots=True)
class _Name:
    """``patience_ends``, ``again``: on the monotonic clock; the latter is infinite while it is being asked for."""

    patience_ends: float
    again: float = -math.inf
    addresses: frozenset[str] = frozenset()
    answered: threading.Event = field(default_factory=threading.Event)


def _addresses_of(name: str) -> Iterable[str]:
    with contextlib.suppress(OSError, UnicodeError):
        return [str(answer[4][0]) for answer in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    return []


class Resolver:
    """``ask``: name -> its addresses, in a thread that nobody waits for, so it may block for as long as it likes. For any thread."""

    def __init__(self, ask: Callable[[str], Iterable[str]] = _addresses_of) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._names: dict[str, _Name] = {}

    def begin(self, name: str) -> None:
        """Ask for it, unless that is under way, or has an answer, or had none a moment ago."""
        self._begun(name)

    def addresses(self, name: str, *, wait: bool) -> frozenset[str]:
        """Those that are known, as `normal` has them. ``wait``: for the first answer, until a second after the first question."""
        found = self._begun(name)
        if wait:
            found.answered.wait(max(0.0, found.patience_ends - time.monotonic()))
        return found.addresses

    def _begun(self, name: str) -> _Name:
        now = time.monotonic()
        with self._lock:
            found = self._names.setdefault(name, _Name(now + _PATIENCE_SECONDS))
            if found.addresses or now < found.again:
                return found
            found.again = math.inf
        threading.Thread(target=self._look_up, args=(name, found), name=f"egress-resolver {name}", daemon=True).start()
        return found

    def _look_up(self, name: str, found: _Name) -> None:
        try:
            found.addresses = frozenset(normal(address) for address in self._ask(name))
        finally:
            found.again = time.monotonic() + _AGAIN_SECONDS
            found.answered.set()
