from __future__ import annotations

from pathlib import Path

from harness.explore.out_of_sight import looks_at_ages, own_clocks, untold
from harness.model.exploration import Place, Stop


def stop(words: str, line: int = 0) -> Stop:
    place = Place("shop", "pay", "shop.py", line) if line else None
    return Stop(1, "sendto", "net", "", words, words, place)


def test_a_service_that_is_asked_for_the_time_is_named_with_the_line() -> None:
    asked = "the task asks cache for the time (shop.py:7), and the clock of that cannot be set"
    assert own_clocks([stop("GET TIME sent to cache", 5), stop("GET k, TIME sent to cache"), stop("TIME sent to cache", 7)]) == asked
    assert own_clocks([stop("TIME, GET k sent to cache", 7)]) == asked
    pending = "the task asks cache how long entries have been pending (XPENDING) (shop.py:9), and the clock of that cannot be set"
    assert own_clocks([stop("XADD jobs sent to cache"), stop("XPENDING jobs sent to cache", 9)]) == pending
    until = "the task tells cache by the time of day until when a key lives (EXAT) (shop.py:3), and the clock of that cannot be set"
    assert own_clocks([stop("GET k, SET lock:7 EXAT sent to cache", 3)]) == until == own_clocks([stop("EXPIREAT k sent to cache", 3)])
    assert own_clocks([stop("SET EXAT sent to cache"), stop("SET lock:7 sent to cache")]) == ""
    assert own_clocks([stop("GET TIME sent to cache", 5), stop("SET TIME:7 sent to cache", 5)]) == ""


def test_what_is_told_to_a_channel_is_said_not_to_be_covered() -> None:
    told = ["how often cache was told something for the channel sold: nobody keeps it"]
    assert untold([stop("SADD buyers, PUBLISH sold sent to cache"), stop("PUBLISH sold sent to cache")]) == told
    assert untold([stop("GET PUBLISH sent to cache")]) == []


def test_only_code_that_looks_at_the_times_of_files_does(tmp_path: Path) -> None:
    other, looks = tmp_path / "a.py", tmp_path / "b.py"
    other.write_text("from datetime import datetime; datetime.now().ctime()")
    looks.write_text("def old(path): return path.stat().st_mtime < 7")
    locks, own, tells = tmp_path / "c.py", tmp_path / "d.py", tmp_path / "e.py"
    locks.write_text("import json, filelock as locks")
    own.write_text("from . import e\nfrom shop.e import f\nimport os.path, shop.e as g  # and filelock\nfrom celery.app import base")
    tells.write_text("import stat\nold = stat.ST_MTIME")
    assert not looks_at_ages({"a": str(other), "shop.d": str(own)})
    assert looks_at_ages({"shop.c": str(locks)}) and looks_at_ages({"shop.e": str(tells)})
    assert looks_at_ages({"a": str(other), "b": str(looks)}) and looks_at_ages({"c": str(tmp_path / "gone.py")})
