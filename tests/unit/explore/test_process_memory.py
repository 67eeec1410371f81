"""Strings in the memory of a process, and what calls on them lead to."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import pytest

from harness.egress.listener import Call
from harness.explore.process_memory import ProcessMemory
from harness.explore.stops import PASS, Decoder, Effect, What
from harness.explore.targets import Targets

PAGE = mmap.PAGESIZE
X86_64, MKDIR, MKDIRAT, BIND, AT_FDCWD = 0xC000003E, 83, 258, 49, 0xFFFFFF9C


@pytest.fixture
def memory() -> ProcessMemory:
    return ProcessMemory()


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 1000, 4000])
@pytest.mark.parametrize("room", [1, 100, PAGE])
def test_a_string_is_read_up_to_its_end_wherever_a_page_ends(memory: ProcessMemory, length: int, room: int) -> None:
    """``room``: bytes from its first one to the end of its page."""
    held = ctypes.create_string_buffer(3 * PAGE)
    address = (ctypes.addressof(held) // PAGE + 1) * PAGE + PAGE - room
    text = bytes(ord("a") + n % 26 for n in range(length))
    ctypes.memmove(address, text + b"\0b", min(length + 2, ctypes.addressof(held) + 3 * PAGE - address))
    for _ in range(2):  # the second time its memory is open already
        assert memory.string(os.getpid(), address) == text and memory.text(os.getpid(), address) == text.decode()


def test_a_string_that_is_nowhere_is_empty(memory: ProcessMemory) -> None:
    assert memory.string(os.getpid(), 0) == b"" == memory.string(os.getpid(), 8)


def test_a_path_is_known_again_and_a_relative_one_is_that_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, aside = tmp_path / "shop", tmp_path / "aside"
    shop.mkdir()
    aside.mkdir()
    decoder = Decoder({MKDIR: "mkdir", MKDIRAT: "mkdirat"}, Targets({}, {shop: "files"}, tmp_path / "log"), ProcessMemory())
    held: list[ctypes.Array[ctypes.c_char]] = []

    def read(number: int, path: str) -> What:
        held.append(ctypes.create_string_buffer(path.encode()))
        where = ctypes.addressof(held[-1])
        arguments = (where, 0, 0, 0, 0, 0) if number == MKDIR else (AT_FDCWD, where, 0, 0, 0, 0)
        return decoder.read(Call(1, os.getpid(), number, X86_64, arguments))

    def target(number: int, path: str) -> str:
        found = read(number, path)
        assert isinstance(found, Effect)
        return found.target

    for _ in range(2):
        assert target(MKDIR, f"{shop}/box") == "files: box" and target(MKDIRAT, f"{shop}/./box") == "files: box"
        assert read(MKDIR, "/dev/null") is PASS
        for folder, expected in ((shop, "files: box"), (aside, f"{aside}/box")):
            monkeypatch.chdir(folder)
            assert {target(MKDIR, "box"), target(MKDIRAT, "box")} == {expected}
    assert read(MKDIR, f"{shop}/box") == read(MKDIR, f"{shop}/box") != read(MKDIRAT, f"{shop}/box")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (b"\1\0%s/lock.sock\0", "make the socket lock.sock"),
        (b"\1\0lock.sock\0", "make the socket lock.sock"),
        (b"\1\0\0abstract", ""),
        (b"\2\0\0\0\x7f\0\0\1" + bytes(8), ""),
    ],
    ids=["a path", "in its folder", "abstract", "of IP"],
)
def test_a_socket_with_a_path_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: bytes, expected: str) -> None:
    monkeypatch.chdir(tmp_path)
    decoder = Decoder({BIND: "bind"}, Targets({}, {tmp_path: "files"}, tmp_path / "log"), ProcessMemory())
    content = address.replace(b"%s", os.fsencode(tmp_path))
    held = ctypes.create_string_buffer(content, len(content))
    found = decoder.read(Call(1, os.getpid(), BIND, X86_64, (3, ctypes.addressof(held), len(content), 0, 0, 0)))
    assert (found.words if isinstance(found, Effect) else "") == expected and (found is PASS) == (not expected)
