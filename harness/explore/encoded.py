"""What texts and bytes say that hold something encoded: pickles (of which nothing is unpickled), what zlib, gzip, zip or tar packed, base64
of these or of JSON. So a count inside of them counts, whatever varies beside it.
"""

from __future__ import annotations

import base64
import pickletools
import struct
import zlib
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from harness.model.packed import unpacked

__all__ = ["decoded"]

#: Characters of a text that is looked into, and bytes of what it unpacks to.
_LONGEST, _MOST = 262_144, 131_072
#: How base64 of a JSON object or list, of a pickle, and of what zlib, gzip and zip pack, begins.
_BASE64 = ("ey", "W", "gA", "eA", "eF", "eJ", "eN", "H4sI", "UEsDB")
_SHORTEST = 12
#: How a pickle is written, rather than what is in it.
_WRITING = ("PROTO", "FRAME", "MEMOIZE")
_PICKLE, _GZIP = b"\x80", b"\x1f\x8b"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_DATETIME, _DATE = 10, 4  # bytes of the state of a datetime, and of a date
_YEARS = range(1900, 2200)


def decoded(text: str) -> tuple[str, Any] | None:
    """(how it is encoded, what it says) of such a text, where bytes that are none stand as ``x'0aff'``; None of any other."""
    if not _SHORTEST <= len(text) <= _LONGEST or not (text.startswith("x'") or text.startswith(_BASE64)):
        return None
    return _decoded(text)


@lru_cache(maxsize=512)
def _decoded(text: str) -> tuple[str, Any] | None:
    raw = _from_hex(text) if text.startswith("x'") else _from_base64(text)
    if raw is None:
        return None
    form = "x" if text.startswith("x'") else "base64"
    if form == "base64" and raw[:1] in (b"{", b"["):
        said: Any = _text(raw)
    else:
        said = _content(raw)
    return None if said is None else (form, said)


def _from_hex(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text[2:-1]) if text.endswith("'") else None
    except ValueError:
        return None


def _from_base64(text: str) -> bytes | None:
    """Also of the letters for addresses, and without what fills it up."""
    whole = text + "=" * (-len(text) % 4)
    try:
        return base64.b64decode(whole, altchars=b"-_" if "-" in text or "_" in text else None, validate=True)
    except ValueError:
        return None


def _content(raw: bytes) -> Any:
    if raw.startswith(_PICKLE):
        return _pickled(raw)
    if raw.startswith((*_ZLIB, _GZIP)):
        inner = _unpacked(raw)
        return None if inner is None else _pickled(inner) if inner.startswith(_PICKLE) else _text(inner)
    return unpacked(raw, _MOST)


def _unpacked(raw: bytes) -> bytes | None:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        inner = unpacker.decompress(raw, _MOST)
    except zlib.error:
        return None
    return inner if unpacker.eof and not unpacker.unused_data else None


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _pickled(raw: bytes) -> list[Any] | None:
    """Its instructions, each with what it is given."""
    try:
        listed = [(code.name, given, at) for code, given, at in pickletools.genops(raw)]
    except (ValueError, OverflowError, IndexError, struct.error):
        return None
    if listed[-1][2] != len(raw) - 1:  # something follows it
        return None
    return [[name, _given(given)] for name, given, _ in listed if name not in _WRITING]


def _given(value: Any) -> Any:
    if not isinstance(value, (bytes, bytearray)):
        return value
    return _moment(value) or f"x'{value.hex()}'"


def _moment(state: bytes | bytearray) -> str:
    try:
        if len(state) == _DATE and state[0] * 256 + state[1] in _YEARS:
            return date(state[0] * 256 + state[1], state[2], state[3]).isoformat()
        if len(state) != _DATETIME:
            return ""
        month, day, hour, minute, second = state[2:7]
        return datetime(state[0] * 256 + state[1], month, day, hour, minute, second, int.from_bytes(state[7:], "big")).isoformat(" ")
    except ValueError:
        return ""
