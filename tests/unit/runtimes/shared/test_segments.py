"""Shared memory is removed where the server's file and the kernel's table name the same segment, and nowhere else."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.runtimes.shared.segments import Segment, is_there, remove_segment, segments

pytestmark = pytest.mark.skipif(not Path("/proc/sysvipc/shm").exists(), reason="needs Linux with System V's shared memory")
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.shmat.restype = ctypes.c_void_p
MAKE = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
number = libc.shmget(int(sys.argv[1]), 56, 0o1600)
assert number >= 0
print(os.getpid(), number)
"""


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Segment]:
    """Made by a process that is gone, as its postmaster.pid tells; with a key that is negative in the kernel's table."""
    key = 0x9C000000 | (os.getpid() & 0xFFFFFF)
    words = subprocess.run([sys.executable, "-c", MAKE, str(key)], capture_output=True, text=True, check=True).stdout.split()
    cluster = tmp_path / "backend" / "data"
    cluster.mkdir(parents=True)
    (cluster / "postmaster.pid").write_text(f"{words[0]}\n{cluster}\n1\n5432\n\n127.0.0.1\n {key:9d} {int(words[1]):9d}\nready   \n")
    (found,) = segments(tmp_path)
    assert found == Segment(int(words[1]), key, int(words[0]), os.getuid(), tmp_path)
    yield found
    LIBC.shmctl(found.number, 0, None)


def test_it_is_removed_once(left: Segment) -> None:
    assert is_there(left)
    assert remove_segment(left)
    assert not is_there(left) and not remove_segment(left)


@pytest.mark.parametrize("other", [{"key": 1}, {"pid": 1}, {"uid": 54321}, {"number": 999_999}])
def test_one_that_differs_is_somebody_elses(left: Segment, other: dict[str, Any]) -> None:
    assert not is_there(replace(left, **other)) and not remove_segment(replace(left, **other))
    assert is_there(left)


def test_one_in_use_stays(left: Segment) -> None:
    address = LIBC.shmat(left.number, None, 0)
    try:
        assert is_there(left) and not remove_segment(left)
    finally:
        LIBC.shmdt(ctypes.c_void_p(address))
    assert remove_segment(left)


@pytest.mark.parametrize("text", ["", "12\n", "1\n2\n3\n4\n5\n6\nseven eight\n", "x\n2\n3\n4\n5\n6\n7 8\n"])
def test_a_file_that_is_not_complete_names_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    assert segments(tmp_path) == []
