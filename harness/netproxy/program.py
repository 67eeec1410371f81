"""Which server to start where there are no containers: `toxiproxy-server` where it is installed, else ours."""

from __future__ import annotations

import shutil
import sys

__all__ = ["arguments", "find"]

_INSTALLED = "toxiproxy-server"


def find() -> tuple[list[str], str]:
    """How to start it (the first words of a command line), and what it is, in words for a person."""
    if path := shutil.which(_INSTALLED):
        return [path], f"{_INSTALLED} at {path}"
    return [sys.executable, "-m", "harness.netproxy"], "the embedded Toxiproxy"


def arguments(host: str, port: int, seed: int) -> list[str]:
    """The rest of the command line, for either. ``port`` 0: the embedded one takes a free port and prints which."""
    return ["-host", host, "-port", str(port), "-seed", str(seed), "-proxy-metrics"]
