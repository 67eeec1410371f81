"""Lines that no task can reach are told from those that one may."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from celery_harness_agent.points import trouble_with

MODULE = '''"""A shop."""
import os

PRICES = [
    price for price in (1, 2)
]

def decorated(function):
    return function


class Shop:
    name = "shop"

    @decorated
    def pay(self, order):
        """Pay."""

        try:
            total = sum(
                PRICES
            )
        finally:
            pass
        return total


one_line = lambda: 1
def short(): return 2
'''
REACHABLE = {9, 19, 20, 21, 24, 25, 28, 29}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "till.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.mark.parametrize("line", range(1, MODULE.count("\n") + 1))
@pytest.mark.parametrize("name", ["till.py", "shop/till.py"])
def test_a_line_is_reached_where_a_function_runs_it(project: Path, name: str, line: int) -> None:
    trouble = trouble_with(name, line, str(project))
    if line in REACHABLE:
        assert trouble is None
    elif line in (22, 23):  # a bracket, or a `finally` that some versions of Python give a line of its own
        assert trouble is None or "holds no code" in trouble[0]
    else:
        assert trouble is not None
        assert trouble[1].startswith("nearest: ")


def test_what_is_wrong_is_said_with_the_nearest_line(project: Path) -> None:
    assert trouble_with("till.py", 999, str(project)) == ("till.py has 29 lines", "nearest: 29")
    assert trouble_with("till.py", 2, str(project)) == ("line 2 of till.py runs when it is imported, and in no task", "nearest: 9")
    assert trouble_with("till.py", 10, str(project)) == ("line 10 of till.py holds no code", "nearest: 9 and 19")


def test_a_file_that_is_nowhere_is_refused_and_one_that_cannot_be_read_is_not(project: Path) -> None:
    import json.decoder  # noqa: F401

    assert trouble_with("no_such_till.py", 3, str(project)) == ("there is no file no_such_till.py in the app or its project", "")
    trouble = trouble_with("decoderr.py", 3, str(project))
    assert trouble is not None and trouble[1] == "did you mean decoder.py?"
    (project / "half.py").write_text("def half(:\n")
    assert trouble_with("half.py", 1, str(project)) is None


def test_of_two_files_of_one_name_one_will_do(project: Path) -> None:
    (project / "till.py").write_text("x = 1\n")
    assert trouble_with("till.py", 19, str(project)) is None
    trouble = trouble_with("till.py", 30, str(project))
    assert trouble is not None and "lines" in trouble[0]
