from __future__ import annotations

import os
import sqlite3
import sys
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


def test_what_a_worker_that_is_started_again_would_take_away(tmp_path: Path) -> None:
    """Also where there is nothing yet; tables that are made are not rows."""
    asked = AskedAtImport()
    listeners = asked.beside({"open": lambda event, arguments: None})
    armed = [True]
    sys.addaudithook(lambda event, arguments: listeners[event](event, arguments) if armed and event in listeners else None)
    asked.watch([str(tmp_path)])
    try:
        (tmp_path / "log").open("a").close()
        for name in ("made", "emptied"):
            connection = sqlite3.connect(tmp_path / name)
            connection.execute("CREATE TABLE IF NOT EXISTS orders (number)")
            if name == "emptied":
                connection.execute("DELETE FROM orders WHERE number = 7")
            connection.close()
        (tmp_path / "ledger").open("w").close()
        (tmp_path / "spool").write_text("")
        (tmp_path / "spool").unlink()
    finally:
        armed.clear()
        found = asked.taken()
    assert [Path(path).name for path in found] == ["emptied", "ledger", "spool"]


def test_what_is_asked_about_without_opening_it(tmp_path: Path) -> None:
    """But not by who only makes sure that a folder is there."""
    asked, before = AskedAtImport(), os.stat
    asked.watch([str(tmp_path)])
    try:
        os.makedirs(tmp_path / "sub" / "deeper", exist_ok=True)  # noqa: PTH103 (as apps do it)
        (tmp_path / "sub").mkdir(exist_ok=True)
        assert tmp_path.is_dir() and not os.path.exists(tmp_path / "done")  # noqa: PTH110 (as above)
        assert not (tmp_path / "flag").exists() and not os.access(tmp_path / "may", os.R_OK)
        assert os.path.getsize(tmp_path)  # noqa: PTH202 (as above)
    finally:
        found = asked.taken()
    assert [Path(path).name for path in found] == ["done", "flag", "may", tmp_path.name] and os.stat is before
