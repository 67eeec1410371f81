"""What a terminal shows of an exploration."""

from __future__ import annotations

import io
from pathlib import Path

from harness.model.exploration import Coverage, Delivery, Exploration, Flaw, Place, Stop, Wake
from harness.reporting.exploration_text import call_text, exploration_lines, last_line
from harness.reporting.ink import Ink

PLACE = Place("shop", "charge", "shop.py", 2)
STOPS = (
    *(Stop(n, "write", "file", "db", "write to db", "write db", PLACE) for n in (1, 2, 3)),
    Stop(4, "sendto", "net", "api", "POST /charges sent to api", "POST", Place("shop", "charge", "shop.py", 3)),
)


def shown(found: Exploration, root: Path) -> str:
    out = io.StringIO()
    Ink(out, env={"NO_COLOR": "1"}).write([*exploration_lines(found, root, "celery-harness explore shop:app"), last_line(found)])
    return out.getvalue()


def exploration(verdict: str, **fields: object) -> Exploration:
    coverage = Coverage(worlds=5, deliveries=8, stops=5, kills=1, excluded=("power loss",), replayed=4)
    given = {"task": "shop.charge", "args": [7], "kwargs": {"cents": 900}, "headline": "It holds.", "coverage": coverage, "first": STOPS}
    return Exploration(**{**given, **fields}, verdict=verdict)  # type: ignore[arg-type]


def test_a_certificate(tmp_path: Path) -> None:
    text = shown(exploration("certified", seconds=2.1), tmp_path)
    assert "  1-3    write to db" in text and "shop.py:2" in text
    assert "5, by up to 1 crash one after another" in text
    assert "4 worlds at random reached again by true SIGKILLs" in text
    assert "  Not covered:\n  - power loss" in text
    assert "Reproduce" not in text
    assert text.endswith("shop.charge(7, cents=900)   2.1 s   exit 0\n")


def test_a_flaw_with_its_line_and_its_fix(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def charge():\n    post()\n    save()\n")
    flaw = Flaw("EFFECT", "Charged twice.", ("Killed before save.",), (Delivery(0, 4),), STOPS[3:], (), "Send a key.", True, PLACE, 3)
    text = shown(exploration("fails", flaws=(flaw,)), tmp_path)
    assert "EFFECT  Charged twice.\n  - Killed before save.\n" in text
    assert "2 " in text and "post()" in text
    assert "  Fix  Send a key." in text
    assert "Confirmed by true SIGKILLs; 3 other paths to the same." in text
    assert "  Reproduce  celery-harness explore shop:app" in text
    assert "exit 1" in text


def test_doubts_and_what_a_bound_left_out(tmp_path: Path) -> None:
    coverage = Coverage(worlds=5, deliveries=8, stops=5, kills=1, unvisited=12, bounds=("5 worlds",))
    text = shown(exploration("inconclusive", coverage=coverage, doubts=("the bound of 5 worlds left out 12",)), tmp_path)
    assert "12, for the bound of 5 worlds" in text
    assert "  - the bound of 5 worlds left out 12" in text
    assert "exit 4" in text


def test_controls_in_what_the_task_says_never_reach_the_terminal(tmp_path: Path) -> None:
    text = shown(exploration("inconclusive", doubts=("\x1b[31mred",)), tmp_path)
    assert "\x1b" not in text


def test_a_call_as_it_is_written() -> None:
    assert call_text("shop.charge", [7, "a"], {"cents": None}) == 'shop.charge(7, "a", cents=null)'


def test_stops_where_a_crash_alone_ends_wrong_have_a_cross_and_long_words_are_whole(tmp_path: Path) -> None:
    long = Stop(
        3,
        "write",
        "file",
        "db",
        "write to a_file_with_a_name_that_is_long.sqlite3-journal",
        "w",
        Place("shop", "f", "a/long/way/to/shop.py", 7),
    )
    wakes = (Wake(1, 1, 1, (), 0, "same"), Wake(2, 3, 2, (), 1, "EFFECT"), Wake(4, 4, 3, (), 1, "open"))
    text = shown(exploration("inconclusive", first=(*STOPS[:2], long, STOPS[3]), wakes=wakes), tmp_path)
    assert (
        "\n  1      write to db" in text
        and "\nx 2      write to db" in text
        and "\nx 3      write to" in text
        and "\n  4      POST" in text
    )
    assert "a_file_with_a_name_that_is_long.sqlite3-journal" in text and "a/long/way/to/shop.py:7" in text


def test_a_certificate_says_what_it_covers_and_a_doubt_what_to_do(tmp_path: Path) -> None:
    coverage = Coverage(5, 8, 5, 1, excluded=("power loss",), covered=("the loss of the whole worker",))
    assert "  Covered:\n  - the loss of the whole worker\n  Not covered:\n  - power loss\n" in shown(
        exploration("certified", coverage=coverage), tmp_path
    )
    assert "Give it more room" in shown(exploration("inconclusive", doubts=("the bound of 5 worlds left out 12",)), tmp_path)
