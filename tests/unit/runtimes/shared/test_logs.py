from __future__ import annotations

from pathlib import Path

from harness.runtimes.shared.logs import append_new


def test_each_runs_part_is_appended_once(tmp_path: Path) -> None:
    written, first, second = (tmp_path / name for name in ("output", "first", "second"))
    written.write_text("one ")
    first.write_text("before ")
    place = append_new(written, 0, first)
    place = append_new(written, place, first)
    written.open("a").write("two")
    assert append_new(written, place, second) == 7
    assert (first.read_text(), second.read_text()) == ("before one ", "two")


def test_a_log_of_ones_own_is_complete_and_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("all of it")
    assert append_new(own, 0, own) == 0 and own.read_text() == "all of it"
    assert append_new(tmp_path / "nowhere", 3, own) == 3 and own.read_text() == "all of it"
