"""The page of an exploration in a real browser: accessible, offline, narrow, deaf to markup, and its map is right for a known task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.model.exploration import Exploration
from harness.reporting.exploration_files import Told, write_page
from tests.e2e.test_report_page import WATCH, WIDTHS, axe, browser, violations
from tests.parts import parts
from tests.unit.reporting import explored

__all__ = ["axe", "browser"]  # fixtures
PAGES: dict[str, Callable[[], list[Exploration]]] = {
    "one": lambda: [explored.failing()],
    "all": lambda: [explored.certified(), explored.certified(40), explored.undecided(), explored.failing(), explored.hostile()],
}


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    (tmp_path / "shop.py").write_text("def charge():\n    post('" + "x" * 300 + "')\n    save()\n")
    pages = []

    def open_page(name: str, width: int, tag: str = "") -> Any:
        found = PAGES[name]()
        file = write_page(
            [Told(one, "shop.yaml", f"celery-harness explore shop.yaml --task {one.task}") for one in found], tmp_path, tmp_path
        )
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="light")
        pages.append(page)
        page.complaints, page.asked = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.add_init_script(WATCH)
        page.goto(file.as_uri() + tag)
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize(("name", "width"), parts([(name, width) for name in PAGES for width in WIDTHS], quick=[("all", 400)]))
def test_it_is_quiet_offline_narrow_and_accessible(opened: Callable[..., Any], axe: str, name: str, width: int) -> None:
    page = opened(name, width)
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert page.complaints == [] and page.evaluate("broken") == [] and len(page.asked) == 1
    assert sum(page.evaluate("shifts")) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate("window.pwned") is None and page.evaluate("document.querySelectorAll('main script, main img').length") == 0
    assert page.locator("h1").inner_text() and "\u202e" not in page.locator("body").inner_text()
    assert violations(page, axe) == []


#: (left, right) of each cell of a row, in columns of the stops.
SPANS = """sel => { const stops = [...document.querySelectorAll('.stop')].map(e => e.getBoundingClientRect());
  return [...document.querySelectorAll(sel)].map(e => { const b = e.getBoundingClientRect();
    const inside = stops.flatMap((s, i) => s.left + s.width / 2 > b.left && s.left + s.width / 2 < b.right ? [i] : []);
    return [inside[0], inside.at(-1), e.textContent]; }); }"""


def test_worlds_stand_below_the_stops_that_leave_them(opened: Callable[..., Any]) -> None:
    page = opened("one", 1280)
    assert page.evaluate(SPANS, ".wld:not(.out)") == [[0, 1, "nothing"], [2, 3, "1 × POST /charges"], [4, 4, "+ db.orders: status 'paid'"]]
    assert [end[2] for end in page.evaluate(SPANS, ".wld.out")] == ["same", "EFFECT: 2 × POST /charges, expected 1", "same"]
    assert page.locator(".stop.fail").count() == 2
    assert page.locator(".src tr.hot .no").inner_text() == "2"


def test_chips_show_one_verdict_and_an_address_opens_its_task(opened: Callable[..., Any]) -> None:
    page = opened("all", 1280, "#task-4")
    assert page.evaluate("document.getElementById('task-4').open")
    seen = "sel => [...document.querySelectorAll(sel)].filter(e => e.checkVisibility()).length"
    assert [page.evaluate(seen, sel) for sel in (".all tbody tr", "details")] == [5, 5]
    page.get_by_role("button", name="certified 2").click()
    assert [page.evaluate(seen, sel) for sel in (".all tbody tr", "details")] == [2, 2]
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every(e => e.open && e.checkVisibility())")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 2
