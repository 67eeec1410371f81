"""Passwords that are made for a run, and `***` in their place in all that is kept of it.

An app may say its own URLs, in an exception or a log line. All passwords that one process makes begin alike, so one search finds them
all, also those that were cut off; what a cut leaves of the beginning is no part of the secret.
"""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["mask_files", "masked", "masked_bytes", "masked_in", "new_password"]

T = TypeVar("T")

#: 48 bits: other data have these eight characters in one of 10^14 places.
_BEGIN = secrets.token_urlsafe(6)
_SECRET_BYTES = 18
_PATTERN = re.compile(re.escape(_BEGIN) + r"[\w-]{0,24}", re.ASCII)
_DATA = _BEGIN.encode()
_DATA_PATTERN = re.compile(_PATTERN.pattern.encode())
_MASK = "***"
#: A line ends there; or where the writer of a journal died, or has room left.
_LINE_END = re.compile(rb"[\n\0]")


def new_password() -> str:
    """32 characters of URL-safe base 64, of which 144 bits are secret; quoting in URLs, JSON, HTML and Python leaves it as it is."""
    return _BEGIN + secrets.token_urlsafe(_SECRET_BYTES)


def masked(text: str) -> str:
    """The text without any of them."""
    return _PATTERN.sub(_MASK, text) if _BEGIN in text else text


def masked_bytes(data: bytes) -> bytes:
    """The same of bytes."""
    return _DATA_PATTERN.sub(_MASK.encode(), data) if _DATA in data else data


def masked_in(value: T) -> T:
    """A value with every text below it masked: in mappings, sequences, dataclasses and models. The same object where nothing was."""
    found: T = _masked(value) if _BEGIN in repr(value) else value
    return found


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        # An enumeration's member is a str as well, and none of ours holds a password.
        return masked(value) if type(value) is str else value
    if isinstance(value, bytes):
        return masked_bytes(value)
    if isinstance(value, Mapping):
        return {_masked(key): _masked(entry) for key, entry in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_masked, value))
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(map(_masked, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: _masked(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
        return dataclasses.replace(value, **changed)
    if hasattr(value, "model_copy"):
        return value.model_copy(update={name: _masked(getattr(value, name)) for name in type(value).model_fields})
    return value


def mask_files(folder: Path) -> None:
    """In every file below a folder, in place: a line keeps its length, by blanks at its end. Never raises.

    So a journal stays readable, and others may go on to append to a log.
    """
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError, ValueError):  # ValueError: an empty file cannot be mapped
            if path.is_file() and not path.is_symlink():
                _mask_file(path)


def _mask_file(path: Path) -> None:
    with path.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as data:
        found = _DATA_PATTERN.search(data)
        while found is not None:
            begin, end = found.span()
            line = _LINE_END.search(data, end)
            rest = data[end : line.start() if line else len(data)]
            data[begin : end + len(rest)] = _MASK.encode() + rest + b" " * (end - begin - len(_MASK))
            found = _DATA_PATTERN.search(data, begin)
