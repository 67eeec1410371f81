from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from typing import Any

import pytest

from harness.model.packed import unpacked


def zipped(*names: str, second: int = 58) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(zipfile.ZipInfo(name, (2027, 1, 2, 3, 4, second)), f"order {name}")
    return raw.getvalue()


def tarred(content: bytes) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as file:
        member = tarfile.TarInfo("a")
        member.size, member.mtime = len(content), 1_700_000_000
        file.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def contents(found: dict[str, Any] | None) -> list[Any]:
    assert found is not None
    return [one["content"] for one in next(iter(found.values()))]


def test_contents_and_moments() -> None:
    found = unpacked(zipped("a", "b"), 1000)
    assert found is not None and contents(found) == ["order a", "order b"]
    assert [one["written"] for one in found["zip"]] == ["2027-01-02 03:04:58"] * 2
    assert unpacked(tarred(b"\xff"), 1000) == {
        "tar": [{"name": "a", "written": "2023-11-14 22:13:20Z", "mode": "644", "content": "x'ff'"}],
        "whole": True,
    }
    assert unpacked(gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=9), 1000) == {
        "gzip": [{"content": "one"}, {"written": "1970-01-01 00:00:09Z", "content": "two"}]
    }


def test_one_inside_of_the_other() -> None:
    (inside,) = contents(unpacked(gzip.compress(tarred(zipped("a"))), 100_000))
    assert contents(contents(inside)[0]) == ["order a"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"PK\x03\x04 and nothing else", zipped("a")[:-5], gzip.compress(b"one")[:-1], gzip.compress(b"one") + b"x", tarred(b"x")[:520]],
)
def test_what_is_damaged_not_whole_or_something_else_is_none(raw: bytes) -> None:
    assert unpacked(raw, 1000) is None


def test_what_holds_too_much_is_none_and_takes_no_time() -> None:
    assert unpacked(gzip.compress(bytes(10_000_000)), 1000) is None
    assert unpacked(gzip.compress(gzip.compress(bytes(10_000_000))), 100_000) is None
