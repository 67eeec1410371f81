"""Reading journals: memory-mapped files of JSON lines that their writers may leave at any moment (docs/journal.md)."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.passwords import masked_bytes

__all__ = ["Header", "JournalReader", "JournalTail", "Record", "parse_records", "read_header"]

Record = dict[str, Any]

_BLOCK = 1 << 20
#: The writer grows its file by multiples of this; what is left of an old chunk stays zero.
_CHUNK = 1 << 20
_PEEK = 1 << 16
_ZEROS = re.compile(rb"\0+")


@dataclass(frozen=True, slots=True)
class Header:
    """Who wrote a journal. ``wall_offset``: wall seconds minus CLOCK_MONOTONIC seconds; None if the header is torn."""

    stem: str
    pid: int
    ppid: int
    name: str
    role: str
    opened: int  # monotonic ns
    wall_offset: float | None


def read_header(path: Path) -> Header:
    """The first record of a journal; what is missing in it is taken from the file's name (``<pid>-<monotonic ns>``)."""
    pid_text, _, opened_text = path.stem.partition("-")
    with path.open("rb") as stream:
        line, newline, _ = stream.read(_PEEK).lstrip(b"\0").partition(b"\n")
    record = _loads(line) if newline else None
    if record is None or record.get("k") != "open":
        return Header(path.stem, _whole(pid_text), 0, "", "", _whole(opened_text), None)
    return Header(
        stem=path.stem,
        pid=int(record.get("pid", _whole(pid_text))),
        ppid=int(record.get("ppid", 0)),
        name=str(record.get("name", "")),
        role=str(record.get("role", "")),
        opened=int(record["m"]),
        wall_offset=(record["w"] - record["m"]) * 1e-9 if "w" in record else None,
    )


def parse_records(data: bytes) -> tuple[list[Record], int]:
    """Records of complete lines, and how many lines were torn.

    Runs of zeros between lines are room that was never filled; a line with a zero in it is one whose writer died, or
    was interrupted, inside the copy. Whatever follows such a gap is read again from its next whole line. Passwords of the run are masked.
    """
    data = masked_bytes(data)
    if b"\0" not in data:
        return _parse_clean(data)
    records: list[Record] = []
    torn = 0
    cut = False
    segments = _ZEROS.split(data)
    for number, segment in enumerate(segments):
        whole, newline, rest = segment.rpartition(b"\n")
        found, bad = _parse_clean(whole + newline)
        if cut and bad:
            bad -= 1  # the far side of the torn line that is counted already
        records += found
        torn += bad
        cut = bool(rest) and number < len(segments) - 1
        torn += bool(rest)
    return records, torn


def _parse_clean(data: bytes) -> tuple[list[Record], int]:
    """One call of the C parser for a whole block (half the cost of one per line); line by line if that disagrees."""
    if not data:
        return [], 0
    try:
        records = json.loads(b"[" + data[:-1].replace(b"\n", b",") + b"]")
        # Two torn lines may join into one valid object, so the number of records is held against the number of lines.
        if len(records) == data.count(b"\n") and all(map(_is_record, records)):
            return records, 0
    except ValueError:
        pass
    lines = [line for line in data.split(b"\n") if line]
    good = [record for line in lines if (record := _loads(line)) is not None]
    return good, len(lines) - len(good)


def _is_record(value: Any) -> bool:
    return type(value) is dict and "k" in value and type(value.get("m")) is int


def _loads(line: bytes) -> Record | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if _is_record(value) else None


def _is_room(data: bytes) -> bool:
    """Nothing but zeros: never filled, or not yet. By a comparison, which takes a hundredth of what `strip` does."""
    return data == bytes(len(data))


def _whole(text: str) -> int:
    return int(text) if text.isdigit() else 0


class JournalReader:
    """Reads one finished journal block by block, so that memory does not grow with the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = 0

    def __iter__(self) -> Iterator[list[Record]]:
        """Lists of records in the order of the file; ``torn`` is complete when the iteration is."""
        carry = b""
        with self.path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                whole, newline, rest = (carry + block).rpartition(b"\n")
                # Zeros of room that is not filled yet would be copied again with every block.
                carry = b"" if _is_room(rest) else rest
                if newline:
                    yield self._parse(whole + newline)
        if carry:
            yield self._parse(carry)

    def _parse(self, data: bytes) -> list[Record]:
        records, torn = parse_records(data if data.endswith(b"\n") else data.rstrip(b"\0") + b"\0")
        self.torn += torn
        return records


@dataclass(slots=True)
class _Tail:
    path: Path
    header: Header | None = None
    offset: int = 0
    stuck_at: int = -1  # offset at which an incomplete line was seen at the last poll
    records: int = field(default=0)


class JournalTail:
    """Follows all journals of a folder while they are being written.

    ``poll`` returns the records that became complete since the last call, each with ``_pid``, ``_name`` and ``_role``
    of the process that wrote it. Within one process they are in order; between processes they are not.
    ``records`` and ``torn`` count over all polls: no growth of ``records`` is what "no journal has grown" means.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = 0
        self.torn = 0
        self._tails: dict[str, _Tail] = {}

    def poll(self) -> list[Record]:
        """New complete records of all files; [] if there are none or the folder does not exist yet. Cheap where nothing is new."""
        fresh: list[Record] = []
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            names = sorted(path.name for path in self.folder.iterdir())
        for name in names:
            tail = self._tails.get(name)
            if tail is None:
                if not name.endswith(".journal"):
                    continue
                tail = self._tails[name] = _Tail(self.folder / name)
            fresh += self._read(tail)
        self.records += len(fresh)
        return fresh

    def _read(self, tail: _Tail) -> list[Record]:
        found: list[Record] = []
        with tail.path.open("rb", buffering=0) as stream:
            while data := self._next(stream, tail):
                records, torn = parse_records(data)
                self.torn += torn
                tail.offset += len(data)
                tail.stuck_at = -1
                found += records
        if found:
            header = tail.header = tail.header or read_header(tail.path)
            mark = {"_pid": header.pid, "_name": header.name, "_role": header.role}
            for record in found:
                record.update(mark)
        return found

    def _next(self, stream: Any, tail: _Tail) -> bytes:
        """Whole lines from the offset on; b'' if there are none yet."""
        stream.seek(tail.offset)
        data = stream.read(_BLOCK if tail.offset == 0 else _PEEK)
        if _is_room(data):
            boundary = (tail.offset // _CHUNK + 1) * _CHUNK
            stream.seek(boundary)
            if _is_room(stream.read(_PEEK)):
                return b""
            tail.offset = boundary
            return self._next(stream, tail)
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) == _PEEK and data[-1]:  # one line longer than a peek
            stream.seek(tail.offset)
            data = stream.read(4 * _BLOCK)
            end = data.rfind(b"\n") + 1
        lines: bytes = data[:end]
        return self._without_unfinished(lines, tail)

    def _without_unfinished(self, lines: bytes, tail: _Tail) -> bytes:
        """A copy under way may show its end before its beginning: such a last line gets one more poll before it counts as torn."""
        last = lines[:-1].rfind(b"\n") + 1
        if not lines or _loads(lines[last:-1].lstrip(b"\0")) is not None:
            return lines
        if last:
            return lines[:last]
        if tail.stuck_at == tail.offset:
            return lines
        tail.stuck_at = tail.offset
        return b""
