"""What the page of an exploration is made of, and the files beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.errors import UsageError
from harness.model.exploration import Exploration
from harness.reporting.exploration_files import SCHEMA_FILE, Told, read_told, schema_text, write_exploration, write_page
from harness.reporting.exploration_words import advice_for, leaves_text
from tests.unit.reporting import explored


def told(*found: Exploration) -> list[Told]:
    return [Told(one, "shop.yaml", f"celery-harness explore shop.yaml --task {one.task}") for one in found]


def written(folder: Path, *found: Exploration) -> tuple[str, dict[str, Any]]:
    page = write_page(told(*found), folder, folder).read_text()
    block = re.search(r'id="data">(.*?)</script>', page, re.S)
    assert block is not None
    return page, json.loads(block.group(1))


def test_stops_alike_stand_together_and_a_world_spans_those_that_leave_it(tmp_path: Path) -> None:
    _, data = written(tmp_path, explored.failing())
    drawn = data["tasks"][0]["map"]
    assert [(stop["first"], stop["last"], stop["short"]) for stop in drawn["stops"]] == [
        (1, 1, "shop.py:1"),
        (2, 2, "shop.py:2"),
        (3, 4, "shop.py:3"),
        (5, 5, "shop.py:3"),
        (6, 6, ""),
    ]
    assert [(world["at"], world["span"], world["leaves"], world["ends"], world["look"]) for world in drawn["worlds"]] == [
        (0, 2, "nothing", "same", "pass"),
        (2, 2, "1 × POST /charges", "EFFECT: 2 × POST /charges, expected 1", "fail"),
        (4, 1, "+ db.orders: status 'paid'", "same", "pass"),
    ]
    assert (
        drawn["caption"]
        == "The first delivery can crash at 6 points, which leave 3 worlds. Crashes at 3 of them end wrong, without any further one."
    )


def test_a_finding_has_its_lines_its_rows_and_its_commands(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def charge():\n\tpost()\n\tsave()\n\n\n")
    _, data = written(tmp_path, explored.failing())
    task = data["tasks"][0]
    flaw = task["flaws"][0]
    assert flaw["source"] == [[1, "def charge():", False], [2, "    post()", True], [3, "    save()", False]]
    assert flaw["differences"] == [["api.requests: POST /charges, order 7", "0", "2", "1"]]
    assert [row["kind"] for row in flaw["story"]] == ["kill", "world", "again", "did", "wrong"]
    assert (task["place"], task["command"]) == ("shop.py:2", "celery-harness explore shop.yaml --task shop.charge")
    assert flaw["replay"] == "celery-harness replay plans/shop.charge-1.yaml --confirm"
    assert flaw["proof"] == "Confirmed by true SIGKILLs. 2 other paths lead to the same."


def test_the_most_telling_first_and_a_certificate_verbatim(tmp_path: Path) -> None:
    _, data = written(tmp_path, explored.certified(), explored.undecided(), explored.failing())
    assert [task["verdict"] for task in data["tasks"]] == ["fails", "inconclusive", "certified"]
    assert (data["look"], data["headline"]) == ("fail", "1 of 3 tasks fails, 1 is undecided, 1 is certified.")
    assert [(task["covered"], task["excluded"]) for task in data["tasks"]] == [
        ([], []),
        ([], []),
        (["the loss of the whole worker"], ["power loss"]),
    ]
    (doubt,) = data["tasks"][1]["doubts"]
    assert doubt["what"] == "the bound of 5 worlds left out 12" and "--worlds" in doubt["advice"]
    assert data["tasks"][1]["map"]["worlds"][1]["ends"] == "not followed"


def test_nothing_in_it_can_end_its_script(tmp_path: Path) -> None:
    page, _ = written(tmp_path, explored.hostile(), explored.hostile())
    assert page.count("</script") == 2 and page.count("<script") == 2 and "<img" not in page
    assert "\u202e" not in page and "\\u202e" not in page and "style=" not in page.split('id="data">')[0]


def test_what_is_new_in_a_world_is_told_against_the_one_before() -> None:
    wakes = explored.failing().wakes
    assert leaves_text(wakes[2], None) == "db.orders: status 'paid'; 1 × POST /charges"
    assert leaves_text(wakes[1], wakes[2]) == "db.orders: number 7 as before the call"


def test_advice_looks_into_drawn_sets() -> None:
    assert "Declare under `services`" in advice_for("with shop.pay(3): the task changes nothing that is observed")
    assert advice_for("undeclared service, connection refused: api:443; declare it") == ""


def test_the_files_are_read_back_and_fit_the_committed_schema(tmp_path: Path) -> None:
    found = [explored.failing(), explored.certified(), explored.undecided(), explored.hostile()]
    data, page = write_exploration(told(*found), tmp_path, tmp_path)
    assert page.name == "report.html"
    assert json.loads(json.dumps([one.found.headline for one in read_told(data)])) == [one.headline for one in found]
    assert write_page(read_told(data), tmp_path / "anew", tmp_path).read_text() == page.read_text()
    Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(json.loads(data.read_text()))
    assert SCHEMA_FILE.read_text() == schema_text(), "write it anew: harness.reporting.exploration_files.write_schema()"


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"version": 0}]', '[{"version": 1, "task": 3}]', "no json"])
def test_what_is_no_exploration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "exploration.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="exploration"):
        read_told(path)
