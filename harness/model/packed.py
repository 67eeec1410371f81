"""What is in a zip, tar or gzip: as a value that JSON knows, with the moments that stand beside each content as texts."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

__all__ = ["unpacked"]

#: One inside of the other.
_DEEPEST = 3
#: Bytes of a content that is no text, and that is shown all the same.
_SHOWN = 4096
_ZIP, _GZIP, _TAR, _TAR_AT = (b"PK\x03\x04", b"PK\x05\x06"), b"\x1f\x8b\x08", b"ustar", 257
#: Of a gzip's header: a field of so many bytes, a text that ends with a NUL, another one, a sum (RFC 1952, 2.3).
_EXTRA, _NAME, _COMMENT, _SUM = 4, 8, 16, 2
#: A tar ends with two blocks of zeros.
_TAR_END = bytes(1024)
_FOREIGN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, OSError, ValueError, NotImplementedError, EOFError, KeyError)


def unpacked(raw: bytes, most: int) -> dict[str, Any] | None:
    """None for anything else, for one that is damaged or not whole, and for one that holds more than ``most`` bytes.

    Owners, and how well it is packed, are left out.
    """
    try:
        return _unpacked(raw, _Room(most), _DEEPEST)
    except _Full:
        return None


class _Full(Exception):
    """It holds too much."""


class _Room:
    """For what is unpacked."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> None:
        """_Full where there is none."""
        self.left -= size
        if self.left < 0:
            raise _Full


def _unpacked(raw: bytes, room: _Room, depth: int) -> dict[str, Any] | None:
    try:
        if raw.startswith(_ZIP):
            return {"zip": list(_of_zip(raw, room, depth))}
        if raw.startswith(_GZIP):
            return {"gzip": list(_of_gzip(raw, room, depth))}
        if raw[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
            return {"tar": list(_of_tar(raw, room, depth)), "whole": raw.endswith(_TAR_END)}
    except _FOREIGN:
        pass
    return None


def _of_zip(raw: bytes, room: _Room, depth: int) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for one in archive.infolist():
            found: dict[str, Any] = {"name": one.filename, "written": "{}-{:02}-{:02} {:02}:{:02}:{:02}".format(*one.date_time)}
            if one.external_attr >> 16:
                found["mode"] = f"{one.external_attr >> 16:o}"
            if one.flag_bits & 1:  # nobody knows the password; the sum is that of what is in it
                yield {**found, "size": one.file_size, "sum": one.CRC}
                continue
            room.take(one.file_size)
            yield {**found, "content": _content(archive.read(one), room, depth)}


def _of_tar(raw: bytes, room: _Room, depth: int) -> Iterator[dict[str, Any]]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
        for one in archive:
            found = {"name": one.name, "written": _moment(int(one.mtime)), "mode": f"{one.mode:o}"}
            file = archive.extractfile(one) if one.isreg() else None
            if file is None:
                yield {**found, "kind": one.type.decode("ascii", "replace"), "to": one.linkname}
                continue
            room.take(one.size)
            yield {**found, "content": _content(file.read(), room, depth)}


def _of_gzip(raw: bytes, room: _Room, depth: int) -> Iterator[dict[str, Any]]:
    """One after the other: who appends to a gzip adds a member."""
    while raw:
        if not raw.startswith(_GZIP):
            raise ValueError("something else follows")
        flags, written = struct.unpack_from("<BI", raw, 3)
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        content = unpacker.decompress(raw, room.left + 1)
        room.take(len(content))
        if not unpacker.eof:
            raise EOFError
        found: dict[str, Any] = {"written": _moment(written)} if written else {}
        if flags & _NAME:
            at = 10 + (2 + struct.unpack_from("<H", raw, 10)[0] if flags & _EXTRA else 0)
            found["name"] = raw[at : raw.index(b"\0", at)].decode("latin-1")
        yield {**found, "content": _content(content, room, depth)}
        raw = unpacker.unused_data


def _content(raw: bytes, room: _Room, depth: int) -> Any:
    inside = _unpacked(raw, room, depth - 1) if depth > 1 else None
    if inside is not None:
        return inside
    if b"\0" not in raw:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            pass
    return f"x'{raw.hex()}'" if len(raw) <= _SHOWN else {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
