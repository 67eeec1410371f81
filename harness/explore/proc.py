"""The files below /proc that tell about a process."""

from __future__ import annotations

import os

__all__ = ["link", "numbers"]


def link(path: str) -> str:
    """What it leads to, as the kernel words it; OSError. As text: this is asked at every stop, and a Path costs four times as much."""
    return os.readlink(path)  # noqa: PTH115


def numbers(folder: str) -> list[int]:
    """Names in it that are numbers: of processes, threads or descriptors; [] where it is gone."""
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208 (as above)
    except OSError:
        return []
