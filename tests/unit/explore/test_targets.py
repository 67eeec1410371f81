"""What paths lead to: also by way of what a process has open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.explore.targets import Targets


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A service's, and a file of it that this process has open."""
    (tmp_path / "list.txt").write_text("")
    descriptor = os.open(tmp_path / "list.txt", os.O_RDWR)
    yield tmp_path, descriptor
    os.close(descriptor)


def linked(folder: Path) -> Path:
    """Another name of it, somewhere else."""
    link = folder.with_name(f"{folder.name}-link")
    link.symlink_to(folder)
    return link


WAYS: dict[str, Callable[[Path, int], str]] = {
    "its name": lambda folder, number: str(folder / "list.txt"),
    "dots": lambda folder, number: f"{folder}/other/.././list.txt",
    "a descriptor of its own": lambda folder, number: f"/proc/self/fd/{number}",
    "of its thread": lambda folder, number: f"/proc/thread-self/fd/{number}",
    "of its number": lambda folder, number: f"/proc/{os.getpid()}/task/{os.getpid()}/fd/{number}",
    "the folder of descriptors": lambda folder, number: f"/dev/fd/{number}",
    "a link to its folder": lambda folder, number: f"{linked(folder)}/list.txt",
    "the root": lambda folder, number: f"/proc/self/root{folder}/list.txt",
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_leads_to_the_same_file(folder: tuple[Path, int], tmp_path: Path, way: str) -> None:
    targets = Targets({}, {tmp_path: "documents"}, Path("/nowhere/log"))
    path = targets.absolute(os.getpid(), None, WAYS[way](*folder))
    assert str(targets.of_file(path)) == "documents: list.txt"


def test_what_no_file_stands_behind_nobody_sees(folder: tuple[Path, int], tmp_path: Path) -> None:
    targets = Targets({}, {tmp_path: "documents"}, Path("/nowhere/log"))
    for path in ("/proc/self/fd/987654", "/proc/self/comm", "/dev/null", "/dev/fd/987654"):
        assert targets.of_file(targets.absolute(os.getpid(), None, path)).kind == ""
