"""A search as text, JSON lines, page and file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import pytest

from harness.model.searching import SearchResult
from harness.reporting.capacity_console import SearchConsole, SearchJson, chart_lines
from harness.reporting.capacity_files import SCHEMA_FILE, schema_text, write_search
from harness.reporting.capacity_page import Axis, search_page
from tests.unit.reporting.searched import ALL, TRIALS


@pytest.mark.parametrize("one", ALL, ids=lambda one: f"{one.kind}-{one.exit_code}")
def test_a_page_is_one_file_without_a_script_in_which_texts_stay_texts(one: SearchResult) -> None:
    page = search_page(one)
    assert "<script" not in page and "http://" not in page and "https://" not in page and "\x1b" not in page and "\u202e" not in page
    assert "&lt;script&gt;" in page and "nan" not in page and "inf," not in page
    assert f"{one.kind}.json" in page and "default-src" in page


def test_a_page_draws_what_was_found() -> None:
    assert 'class="band"' in search_page(ALL[0]) and search_page(ALL[0]).count('r="5"') == len(TRIALS)
    assert search_page(ALL[1]).count("<polyline") == 3 and "not within 5.0 s" in search_page(ALL[1])
    assert "+70.0 MB/h" in search_page(ALL[2]) and "3 windows, 12 needed" in search_page(ALL[2])


@pytest.mark.parametrize("one", ALL, ids=lambda one: f"{one.kind}-{one.exit_code}")
def test_the_file_holds_to_its_schema_and_comes_back(one: SearchResult, tmp_path: Path) -> None:
    (data, page) = write_search(one, tmp_path)
    assert (data.name, page.name) == (f"{one.kind}.json", f"{one.kind}.html")
    jsonschema.validate(json.loads(data.read_text()), json.loads(SCHEMA_FILE.read_text()))
    assert SearchResult.model_validate_json(data.read_text()) == one


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "write it anew: harness.reporting.capacity_files.write_schema()"


@pytest.mark.parametrize("one", ALL, ids=lambda one: f"{one.kind}-{one.exit_code}")
def test_on_paper_everything_is_plain(one: SearchResult) -> None:
    out = io.StringIO()
    telling = SearchConsole(out)
    telling.begun(one.scenario, one.runtime, one.kind, one.wanted, one.notes)
    telling.live("nobody sees this")
    for made in one.trials:
        telling.trial(made)
    telling.finished(one, [Path("reports/x.html")])
    telling.close()
    text = out.getvalue()
    assert "\x1b" not in text and "nobody sees this" not in text and f"exit {one.exit_code}" in text and "reports/x.html" in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_a_line_per_trial() -> None:
    out = io.StringIO()
    telling = SearchConsole(out)
    for made in TRIALS:
        telling.trial(made)
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["1", "20/s", "kept", "p50", "10", "ms", "p95", "100", "ms", "served", "20/s"]
    assert "p95 never" in lines[1] and "unfinished calls pile up" in lines[2] and "generator short" in lines[-2]


def test_a_bar_per_rate_in_order() -> None:
    texts = ["".join(text for _, text in line) for line in chart_lines(ALL[0])]
    assert [text.split()[0] for text in texts if "█" in text] == ["20/s", "28.3/s", "40/s"]


def test_one_object_per_line() -> None:
    out = io.StringIO()
    telling = SearchJson(out)
    telling.begun("orders", "processes", "capacity", ["p95"], [])
    telling.live("nothing")
    telling.trial(TRIALS[0])
    telling.finished(ALL[0], [Path("capacity.json")])
    telling.close()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["begun", "trial", "result"]
    assert events[1]["rate"] == 20.0 and events[2]["result"]["capacity"]["estimate"] == 25.0


@pytest.mark.parametrize(
    "axis", [Axis.over([3.0, 900.0], 100.0, logarithmic=True), Axis.over([0.2], 100.0), Axis.over([], 100.0), Axis(5.0, 5.1, 100.0)]
)
def test_an_axis_has_round_ticks_within_it(axis: Axis) -> None:
    places = [axis.at(value) for value in axis.ticks()]
    assert places == sorted(places) and 1 <= len(places) <= 12 and all(0 <= place <= 100 for place in places)
