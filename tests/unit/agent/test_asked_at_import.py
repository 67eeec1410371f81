from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery_harness_agent.asked_at_import import AskedAtImport


def test_what_is_read_of_the_services_while_it_is_watched(tmp_path: Path) -> None:
    told: list[Any] = []
    asked = AskedAtImport()
    tell = asked.beside({name: lambda event, arguments: told.append(event) for name in ("open", "import")})
    tell["open"]("open", (str(tmp_path / "early"), "r", os.O_RDONLY))
    asked.watch([str(tmp_path), "/elsewhere/db.sqlite3"])
    for path in (tmp_path / "rates.json", 7, "/etc/hostname", "/elsewhere/db.sqlite3"):
        tell["open"]("open", (path, "r", os.O_RDONLY))
    tell["open"]("open", (tmp_path / "log", "a", os.O_WRONLY | os.O_APPEND))
    assert asked.taken() == [str(tmp_path / "rates.json"), "/elsewhere/db.sqlite3"]
    tell["open"]("open", (tmp_path / "late", "r", os.O_RDONLY))
    assert asked.taken() == [str(tmp_path / "rates.json"), "/elsewhere/db.sqlite3"] and len(told) == 7
