"""The page of a comparison in a real browser: accessible, offline, narrow, and deaf to markup in its texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.reporting.compare_files import write_comparison
from tests.e2e.test_report_page import WIDTHS, axe, browser, violations
from tests.parts import parts
from tests.unit.reporting import compared

__all__ = ["axe", "browser"]  # fixtures


def _opened(browser: Any, folder: Path, name: str, width: int) -> Any:
    _, page_file = write_comparison(compared.ALL[name](), folder)
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="light")
    page.complaints, page.asked = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(page_file.as_uri())
    return page


QUICK = [("worse", 400), ("hostile", 1280)]


@pytest.mark.parametrize(("name", "width"), parts([(name, width) for name in sorted(compared.ALL) for width in WIDTHS], quick=QUICK))
def test_it_is_quiet_offline_narrow_and_accessible(browser: Any, axe: str, tmp_path: Path, name: str, width: int) -> None:
    page = _opened(browser, tmp_path, name, width)
    try:
        assert page.complaints == [] and len(page.asked) == 1
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert page.evaluate("window.pwned") is None and page.locator("h1").inner_text()
        assert violations(page, axe) == []
    finally:
        page.close()


def test_points_stand_where_their_ratios_are(browser: Any, tmp_path: Path) -> None:
    page = _opened(browser, tmp_path, "worse", 1280)
    try:
        places = page.evaluate(
            "[...document.querySelectorAll('tbody tr')].filter(r => r.querySelector('circle')).map(r => {"
            " const of = e => { const b = e.getBoundingClientRect(); return b.left + b.width / 2; };"
            " return [parseFloat(r.children[3].textContent.slice(1)), of(r.querySelector('circle')) - of(r.querySelector('.unity'))]; })"
        )
        assert len(places) == 9
        ordered = [x for _, x in sorted(places)]
        assert ordered == sorted(ordered) and all((ratio > 1) == (x > 0) for ratio, x in places)
    finally:
        page.close()
