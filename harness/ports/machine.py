"""What timings depend on: the processor, how many of it there are, and the kernel."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path

import psutil

__all__ = ["machine", "processor"]


@lru_cache(maxsize=1)
def processor() -> str:
    """``Intel(R) Xeon(R) CPU @ 2.20GHz, 2 cores``."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:  # not Linux
        model = platform.processor()
    cores = psutil.cpu_count() or 1
    return f"{model or 'unknown processor'}, {cores} core{'' if cores == 1 else 's'}"


def machine() -> str:
    """As a run's report has it: ``Linux 6.1.0, x86_64, Intel(R) Xeon(R) CPU @ 2.20GHz, 2 cores``."""
    return f"{platform.system()} {platform.release()}, {platform.machine()}, {processor()}"
