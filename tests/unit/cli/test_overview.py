"""What several runs say together: nothing for one, a table that comes at the end or grows, and the exit code."""

from __future__ import annotations

import io

import pytest

from harness.cli.overview import Overview
from harness.errors import EnvironmentFault, ScenarioError
from tests.unit.reporting import sample


class Out(io.StringIO):
    encoding = "utf-8"


def filled(out: Out, *, total: int = 3, quiet: bool = False, growing: bool = False) -> Overview:
    overview = Overview(total, quiet=quiet, growing=growing, out=out)
    overview.add("one", sample.passing())
    overview.add_error("two", ScenarioError("no task `a`", where="x.yaml:3:5", hint="known: b"))
    overview.add_error("three", EnvironmentFault("no port"))
    return overview


def test_the_table_comes_at_the_end() -> None:
    out = Out()
    overview = filled(out)
    assert out.getvalue() == ""
    assert overview.close() == 2
    lines = out.getvalue().splitlines()
    assert [line.split()[-1] for line in lines if line.startswith(("  ✓", "  !"))] == ["one", "two", "three"]
    assert "      x.yaml:3:5: no task `a`" in lines and "known: b" not in out.getvalue()
    assert lines[-1].startswith("! REFUSED  3 runs: 1 passed, 1 not judged, 1 refused")


def test_a_growing_table_is_written_as_runs_end_and_once() -> None:
    out = Out()
    overview = filled(out, growing=True)
    assert out.getvalue().count("verdict ") == 1 and "three" in out.getvalue()
    before = len(out.getvalue())
    overview.close()
    assert out.getvalue()[before:].strip().startswith("! REFUSED")


@pytest.mark.parametrize(("total", "quiet"), [(1, False), (3, True)])
def test_one_run_and_programs_get_no_table(total: int, quiet: bool) -> None:
    out = Out()
    overview = Overview(total, quiet=quiet, out=out)
    overview.add("one", sample.failing())
    assert overview.close() == 1 and out.getvalue() == ""


def test_what_cut_the_runs_short_is_the_exit_code() -> None:
    out = Out()
    overview = Overview(5, out=out)
    overview.add("one", sample.passing())
    assert overview.close(143) == 143
    assert "? INTERRUPTED  5 runs: 1 passed, 4 not ended" in out.getvalue() and "exit 143" in out.getvalue()


@pytest.mark.parametrize(("status", "code"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (-9, 3)])
def test_a_run_of_which_only_the_status_is_known(status: int, code: int) -> None:
    overview = Overview(2, out=Out())
    overview.add_ended("one", status, "")
    assert overview.close() == code
