"""What services do for a task that the explorer can neither see nor move."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.model.exploration import Stop

__all__ = ["looks_at_ages", "own_clocks", "untold"]

_TIME = re.compile(r"(?:^|, )TIME(?:,| sent to )")
_AGE = re.compile(rb"st_[mac]time|get[mac]time|mtime")
_CHANNEL = re.compile(r"(?:^|, )S?PUBLISH (\S+?)(?:,| sent to )")


def looks_at_ages(modules: Mapping[str, str]) -> bool:
    """Does the user's code (module -> file) look at when files were written? Also where a file of it cannot be read."""
    for file in modules.values():
        try:
            if _AGE.search(Path(file).read_bytes()):
                return True
        except OSError:
            return True
    return False


def own_clocks(stops: Iterable[Stop]) -> str:
    """'' or which service the task asks for the time, and where: what it then does is not what it would do so much later."""
    asked = [stop for stop in stops if stop.kind == "net" and _TIME.search(stop.words)]
    if not asked:
        return ""
    placed = next((stop.place for stop in asked if stop.place is not None), None)
    where = f" ({placed.file}:{placed.line})" if placed else ""
    return f"the task asks {_service(asked[0])} for the time{where}, and the clock of that cannot be set"


def untold(stops: Iterable[Stop]) -> list[str]:
    """Channels that the task publishes to: what is told there nobody keeps."""
    found = {(_service(stop), match[1]) for stop in stops if stop.kind == "net" for match in [_CHANNEL.search(stop.words)] if match}
    return [f"how often {service} was told something for the channel {channel}: nobody keeps it" for service, channel in sorted(found)]


def _service(stop: Stop) -> str:
    return stop.words.rpartition(" sent to ")[2]
