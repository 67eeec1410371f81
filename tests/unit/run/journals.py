"""Writes journals as the agent leaves them: records at seconds after a start, in a file that ends in zeros."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

T0 = 1_000.0
WALL = 1_700_000_000.0  # wall seconds at CLOCK_MONOTONIC 0


class Source:
    """One process's journal."""

    def __init__(self, folder: Path, pid: int, name: str = "w-1", role: str = "worker", ppid: int = 1, header: bool = True) -> None:
        self.pid = pid
        self.path = folder / f"{pid}-{round((T0 - 2) * 1e9)}.journal"
        self.path.write_bytes(b"")
        if header:
            self.put("open", -2, v=1, w=round((WALL + T0 - 2) * 1e9), pid=pid, ppid=ppid, name=name, role=role)

    def put(self, kind: str, at: float, **fields: Any) -> None:
        self.raw(self.line(kind, at, **fields))

    def line(self, kind: str, at: float, **fields: Any) -> bytes:
        return json.dumps({"k": kind, "m": round((T0 + at) * 1e9), **fields}).encode() + b"\n"

    def raw(self, data: bytes) -> None:
        with self.path.open("ab") as stream:
            stream.write(data)
