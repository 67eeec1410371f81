"""A comparison for people: lines, words, the page, the file for programs."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from harness.model.comparing import Comparison
from harness.reporting.compare_console import comparison_lines
from harness.reporting.compare_files import write_comparison
from harness.reporting.compare_page import Scale, comparison_page
from harness.reporting.compare_words import basis, figure, interval, summary, times
from harness.reporting.ink import WIDTH, Ink
from tests.unit.reporting import compared


class _Out(io.StringIO):
    encoding = "utf-8"


def _lines(found: Comparison) -> list[str]:
    out = _Out()
    Ink(out, env={}).write(comparison_lines(found, [Path("x/compare.json"), Path("x/compare.html")]))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("name", sorted(compared.ALL))
def test_every_line_fits_the_screen(name: str) -> None:
    assert [line for line in _lines(compared.ALL[name]()) if len(line) > WIDTH] == []


def test_the_table_says_ratio_interval_and_what_it_means() -> None:
    lines = _lines(compared.comparison())
    assert "  end to end p50              100 ms     152 ms   ×1.52  1.40 to 1.66   slower" in lines
    assert "  end to end p95              100 ms     400 ms   ×4.00  over 1.10      slower" in lines
    assert any(re.fullmatch(r"  end to end p99 +100 ms +never +over 1\.60 +slower", line) for line in lines)
    assert "  run p95                     100 ms      60 ms   ×0.60  0.52 to 0.71   faster" in lines
    assert "  publish p50                 1.2 ms     1.2 ms   ×1.02  0.93 to 1.12" in lines
    assert "  retries per call                 0        0.2  A had none" in lines
    assert "  workers' memory            90.0 MB    99.0 MB   ×1.10  seconds hang together" in lines
    assert lines[-1] == "  Report  x/compare.html" and "exit 1" in " ".join(lines[-3:])


def test_of_tasks_and_phases_the_terminal_shows_p95_alone() -> None:
    lines = _lines(compared.comparison())
    after = lines[lines.index("  task orders.charge") + 1 :]
    assert after[0].startswith("  end to end p95") and after[1] == "  phase faulty"


def test_words() -> None:
    one = compared.row(low=1.4, high=None)
    assert (interval(one), times(0.05), times(12.34), figure(0.0042, one, "A")) == ("over 1.40", "×0.05", "×12.3", "4.2 ms")
    assert summary(compared.comparison()).startswith("B is worse: end to end p50 ×1.52, end to end p95 ×4.00, end to end p99")
    assert "better: run p95 ×0.60" in summary(compared.comparison())
    assert summary(compared.ALL["nothing"]()).startswith("Nothing can be said")
    assert "not whether the next two would" in basis(compared.comparison(source="seconds")) and "8 pairs" in basis(compared.comparison())


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.attributes += attrs


@pytest.mark.parametrize("name", sorted(compared.ALL))
def test_the_page_is_one_file_without_a_script(name: str) -> None:
    text = comparison_page(compared.ALL[name]())
    tags = _Tags(text)
    assert "script" not in tags.found and "img" not in tags.found and "link" not in tags.found
    assert not [key for key, _ in tags.attributes if key == "style" or key.startswith("on")]
    assert not [value for key, value in tags.attributes if key in ("src", "href") and not (value or "").startswith("#")]
    assert "default-src 'none'" in text.replace("&#39;", "'") and "\u202e" not in text and "\x1b" not in text


def test_the_scale_holds_every_end_and_one() -> None:
    scale = Scale.of(list(compared.ROWS))
    assert scale.low < 0.52 and scale.high > 4 and 0 < scale.place(1.0) < 100
    assert scale.place(scale.low / 9) == 0.0 and scale.place(1e9) == 100.0
    ticks = scale.ticks()
    assert ("1", scale.place(1.0)) in ticks and all(b[1] - a[1] >= 13 for a, b in pairwise(ticks))


def test_the_file_for_programs_reads_back(tmp_path: Path) -> None:
    found = compared.comparison()
    data, page = write_comparison(found, tmp_path)
    assert Comparison.model_validate_json(data.read_text()) == found and page.name == "compare.html"
