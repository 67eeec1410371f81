"""Faults that strike a real worker while one given call of its task to the kernel is pending."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["EffectTriggers", "WatchedPass"]


@dataclass(frozen=True, slots=True)
class WatchedPass:
    """One pass on this machine. ``socket``: where pool children announce themselves (docs/journal.md, "Effects").

    ``services``, ``folders``: as `harness.ports.exploring.Launch` has them. ``own``: folders of the harness's, in which nothing that a
    worker does is an effect. ``log``: a worker's name -> where its output goes, which is none either.
    """

    socket: Path
    journal: Path  # the folder
    services: Mapping[tuple[str, int], str]
    folders: Mapping[Path, str]
    own: Sequence[Path]
    log: Callable[[str], Path]


class EffectTriggers(Protocol):
    """Watches the pool children of a pass, from when it is made until `close`."""

    def arm(self, triggers: Sequence[Mapping[str, Any]]) -> None:
        """All that are armed from now on, those of before among them (docs/journal.md, "Triggers")."""

    def missed(self) -> Mapping[int, str]:
        """Faults that will not strike any more, and why, in words. EnvironmentFault where children cannot be stopped here."""

    def close(self) -> None:
        """Of no use any more; calls that wait for us fail. Never raises; also twice."""
