"""What services do for a task that the explorer can neither see nor move."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.model.exploration import Stop

__all__ = ["looks_at_ages", "own_clocks", "untold"]

_TIME = re.compile(r"(?:^|, )TIME(?:,| sent to )")
#: What of a service goes by its own clock, in the words of a stop.
_CLOCKED = (
    (_TIME, "asks {} for the time"),
    (re.compile(r"(?:^|, )XPENDING "), "asks {} how long entries have been pending (XPENDING)"),
    (re.compile(r"(?:^|, )(?:(?:SET|GETEX) \S+ (?:EXAT|PXAT)\b|P?EXPIREAT )"), "tells {} by the time of day until when a key lives (EXAT)"),
)
#: Of files: st_mtime, ST_MTIME, getatime …; gmtime too, which costs a wait.
_AGE = re.compile(rb"st_[mac]time|get[mac]time|mtime", re.IGNORECASE)
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([^#\n]+))", re.MULTILINE)
#: Installed packages that ask no file for its age on behalf of a task. Any other one may: a cache, a lock.
_ASKS_NONE = frozenset(
    {
        "celery",
        "kombu",
        "billiard",
        "vine",
        "amqp",
        "redis",
        "django",
        "sqlalchemy",
        "psycopg",
        "psycopg2",
        "pydantic",
        "requests",
        "httpx",
        "urllib3",
        "aiohttp",
        "stripe",
        "boto3",
        "botocore",
        "dateutil",
        "pytz",
        "attr",
        "attrs",
        "tenacity",
        "backoff",
        "typing_extensions",
        "numpy",
        "orjson",
        "msgpack",
        "cryptography",
        "jwt",
        "yaml",
        "dotenv",
    }
)
_CHANNEL = re.compile(r"(?:^|, )S?PUBLISH (\S+?)(?:,| sent to )")


def looks_at_ages(modules: Mapping[str, str]) -> bool:
    """May the user's code (module -> file) look at when files were written, or what it imports? Also where a file of it cannot be read."""
    known = {name.partition(".")[0] for name in modules} | _ASKS_NONE | sys.stdlib_module_names
    for file in modules.values():
        try:
            text = Path(file).read_bytes()
        except OSError:
            return True
        if _AGE.search(text) or not _imported(text) <= known:
            return True
    return False


def _imported(text: bytes) -> set[str]:
    """Names of the packages that a module imports, its own left out."""
    found: set[str] = set()
    for package, several in _IMPORT.findall(text):
        names = [package] if package else several.split(b",")
        found.update(name.decode().split(".")[0].split()[0] for name in names if name.strip())
    return found


def own_clocks(stops: Iterable[Stop]) -> str:
    """'' or what of a service's clock the task uses, and where: what it then does is not what it would do so much later."""
    sent = [stop for stop in stops if stop.kind == "net"]
    for pattern, what in _CLOCKED:
        if asked := [stop for stop in sent if pattern.search(stop.words)]:
            placed = next((stop.place for stop in asked if stop.place is not None), None)
            where = f" ({placed.file}:{placed.line})" if placed else ""
            return f"the task {what.format(_service(asked[0]))}{where}, and the clock of that cannot be set"
    return ""


def untold(stops: Iterable[Stop]) -> list[str]:
    """Channels that the task publishes to: what is told there nobody keeps."""
    found = {(_service(stop), match[1]) for stop in stops if stop.kind == "net" for match in [_CHANNEL.search(stop.words)] if match}
    return [f"how often {service} was told something for the channel {channel}: nobody keeps it" for service, channel in sorted(found)]


def _service(stop: Stop) -> str:
    return stop.words.rpartition(" sent to ")[2]
