"""The report in a real browser: accessible, still, offline, narrow, and deaf to markup in the run's texts."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.reporting import HtmlWriter
from tests.e2e.support import wait_until
from tests.parts import parts
from tests.unit.reporting import sample

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Layout shifts since the first paint, also those without an input; installed before the page's own script.
WATCH = """window.shifts = []; window.broken = [];
new PerformanceObserver(l => l.getEntries().forEach(e => shifts.push(e.value))).observe({ type: 'layout-shift', buffered: true });
addEventListener('securitypolicyviolation', e => broken.push(e.violatedDirective + ' ' + e.blockedURI));"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api") if not os.environ.get("CI") else __import__("playwright.sync_api").sync_api
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def axe() -> str:
    package = pytest.importorskip("axe_playwright_python") if not os.environ.get("CI") else __import__("axe_playwright_python")
    return Path(package.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a sample's page and collects what the browser complains about and asks for."""
    pages = []

    @cache
    def written(name: str) -> str:
        return HtmlWriter().write(sample.ALL[name](), tmp_path / name).as_uri()

    def open_page(name: str, width: int = 1280, scheme: str = "light", tag: str = "") -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=False)
        pages.append(page)
        page.complaints, page.asked = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.add_init_script(WATCH)
        page.goto(written(name) + tag)
        page.evaluate("document.fonts.ready.then(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))))")
        return page

    yield open_page
    for page in pages:
        page.close()


#: The rules that look at colours: what is light or dark is the style's alone.
COLOURS = ["color-contrast", "link-in-text-block"]


def violations(page: Any, axe: str) -> list[tuple[str, str, list[str]]]:
    """What axe finds in light, and in dark by the rules that can find something else there: (scheme, rule, elements)."""
    page.evaluate(axe)
    found = []
    for scheme, rules in (("light", None), ("dark", COLOURS)):
        page.emulate_media(color_scheme=scheme)
        options = {"resultTypes": ["violations"], **({"runOnly": {"type": "rule", "values": rules}} if rules else {})}
        told = page.evaluate("options => axe.run(document, options)", options)["violations"]
        found += [(scheme, rule["id"], [node["html"][:200] for node in rule["nodes"]][:3]) for rule in told]
    return found


WIDTHS = (1280, 400)
QUICK = [("failing", 1280), ("large", 400), ("hostile", 1280)]


@pytest.mark.parametrize(("name", "width"), parts([(name, width) for name in sorted(sample.ALL) for width in WIDTHS], quick=QUICK))
def test_every_result_draws_quietly(opened: Callable[..., Any], name: str, width: int) -> None:
    page = opened(name, width)
    assert page.complaints == [] and page.evaluate("broken") == []
    assert [url for url in page.asked if not url.startswith("file:")] == [] and len(page.asked) == 1
    assert sum(page.evaluate("shifts")) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.locator("h1").inner_text() and page.evaluate("document.querySelectorAll('[style*=expression]').length") == 0


JUDGED = ("failing", "inconclusive", "environment", "one")


@pytest.mark.parametrize(("name", "width"), parts([(name, width) for name in JUDGED for width in WIDTHS], quick=[("failing", 400)]))
def test_axe_finds_nothing(opened: Callable[..., Any], axe: str, name: str, width: int) -> None:
    assert violations(opened(name, width), axe) == []


def test_injected_markup_stays_text(opened: Callable[..., Any]) -> None:
    page = opened("hostile")
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.querySelectorAll('main script, main img, main iframe, body > img').length") == 0
    assert page.locator("h1").inner_text().startswith("<script>window.pwned=1</script>")
    assert "\u202e" not in page.locator("body").inner_text() and "\u202e" not in page.title()


def test_the_verdict_fits_the_first_screen(opened: Callable[..., Any]) -> None:
    page = opened("failing")
    assert page.evaluate("document.querySelector('.strip').getBoundingClientRect().bottom") <= 900


def test_the_cursor_is_a_slider(opened: Callable[..., Any]) -> None:
    page = opened("failing")
    slider = page.get_by_role("slider")
    slider.focus()
    for key, value in (("Home", "0.0"), ("f", "5.0"), ("f", "12.0"), ("ArrowRight", "12.5"), ("End", "33.0")):
        page.keyboard.press(key)
        assert slider.get_attribute("aria-valuenow") == value
    page.keyboard.press("Home")
    page.keyboard.press("f")
    said = slider.get_attribute("aria-valuetext")
    assert said.startswith("5.0 seconds, during worker.kill. ") and "finished" in said and "p95" in said


def test_steps_of_the_story_by_keyboard(opened: Callable[..., Any]) -> None:
    page = opened("failing")
    current = page.locator("button.step[aria-current=true]")
    assert "SIGKILL" in current.inner_text()
    current.focus()
    page.keyboard.press("ArrowDown")
    assert "delivery 2" in page.locator("button.step[aria-current=true]").inner_text()
    page.keyboard.press("ArrowUp")
    assert page.locator(".src tr.now .no").inner_text() == "41"


def test_rows_are_windowed_searched_and_addressed(opened: Callable[..., Any]) -> None:
    page = opened("large")
    assert page.locator(".list tbody tr").count() < 60
    page.get_by_role("searchbox").fill("cardapiunavailable")
    assert re.fullmatch(r"20 of 10,000", page.locator(".find > .quiet").inner_text())
    page.get_by_role("searchbox").fill("")
    page.locator(".list").evaluate("e => { e.scrollTop = e.scrollHeight; }")
    last = "[...document.querySelectorAll('.list tbody tr')].some(r => r.getAttribute('aria-rowindex') === '10001')"
    wait_until(lambda: page.evaluate(last), "the last row is drawn")  # wait_for_function would eval, which the page's own policy forbids
    page.get_by_role("button", name="EFFECT 2").click()
    assert page.locator(".list tbody tr").count() == 2
    assert page.evaluate("getComputedStyle(document.querySelector('.heat0')).fill") != ""


def test_a_task_has_an_address(opened: Callable[..., Any]) -> None:
    page = opened("failing", tag="#task-700")
    assert page.locator("#one h3").inner_text().startswith("orders.charge 1700")
    assert page.locator(".list tr.sel button").inner_text() == "1700"


def test_print_shows_everything_once(opened: Callable[..., Any]) -> None:
    page = opened("failing", scheme="dark")
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".list tbody tr").count() == 40
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".find").is_visible() and not page.locator(".hand").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".list tbody tr").count() < 40


def test_without_data_there_are_no_empty_parts(opened: Callable[..., Any]) -> None:
    page = opened("environment")
    assert page.evaluate("[...document.querySelectorAll('section')].map(s => s.id)") == ["verdict", "environment"]
    assert [a.inner_text() for a in page.locator(".bar nav a").all()] == ["Environment"]
