"""The pages of searches in a real browser: accessible, offline, narrow, and deaf to markup in their texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.model.searching import SearchResult
from harness.reporting.capacity_files import write_search
from tests.e2e.test_report_page import WIDTHS, axe, browser, violations
from tests.parts import parts
from tests.unit.reporting.searched import ALL

__all__ = ["axe", "browser"]  # fixtures


QUICK = [(ALL[0], 400), (ALL[2], 1280)]


@pytest.mark.parametrize(
    ("one", "width"),
    parts([(one, width) for one in ALL for width in WIDTHS], quick=QUICK),
    ids=lambda one: f"{one.kind}-{one.exit_code}" if isinstance(one, SearchResult) else str(one),
)
def test_it_is_quiet_offline_narrow_and_accessible(browser: Any, axe: str, tmp_path: Path, one: SearchResult, width: int) -> None:
    _, page_file = write_search(one, tmp_path)
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="light")
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(page_file.as_uri())
        assert complaints == [] and len(asked) == 1
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert page.locator("h1").inner_text() == one.headline
        assert violations(page, axe) == []
    finally:
        page.close()
