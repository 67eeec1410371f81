"""Verdicts as pytest has them: judged in the call phase, told as a story, an environment that failed as an error.

Registered when a harness or a scenario is first used, so that sessions without any run none of these hooks.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

from harness.errors import EnvironmentFault, HarnessError
from harness.reporting.words import printable
from harness.testing.harness import Harness
from harness.testing.outcomes import Breaks, Failed, Inconclusive, Terminated, TooLate, Undecided, Unstable
from harness.testing.shared import SharedHarness
from harness.testing.workshop import Workshop

__all__ = ["Judge", "attach", "detach"]

_HELD = pytest.StashKey[list[Harness]]()
_TOLD = (HarnessError, Breaks, Failed, Inconclusive, TooLate, Undecided, Unstable)
#: Frames of these say nothing to a reader: ours, and what is installed.
_INSTALLED = [Path(sysconfig.get_paths()[key]) for key in ("stdlib", "purelib", "platlib")]
_NOT_THE_USERS = tuple(folder.resolve() for folder in (Path(__file__).parents[1], *_INSTALLED))


def attach(node: pytest.Item | pytest.Collector, harness: Harness) -> None:
    """Judge it with every test below this node that uses it."""
    node.stash.setdefault(_HELD, []).append(harness)


def detach(node: pytest.Item | pytest.Collector, harness: Harness) -> None:
    """It is over."""
    node.stash[_HELD].remove(harness)


def _held_by(item: pytest.Item) -> Iterator[Harness]:
    for node in item.listchain():
        held: list[Harness] = node.stash.get(_HELD, [])
        yield from tuple(held)


class Judge:
    """The plugin of a session in which something of ours is used."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._terminated = False

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """By whom?"""
        self._terminated = isinstance(excinfo.value, Terminated)

    @pytest.hookimpl(trylast=True)  # fixtures that are still up end first
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop what was kept: a process of xdist's is given little time after this."""
        self._workshop.close()
        if self._terminated:
            session.exitstatus = Terminated.status

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """After the test's own code: whoever has not asked for a verdict gets it now; after a test that raised, nothing is judged."""
        for harness in _held_by(item):
            if isinstance(harness, SharedHarness):
                harness.begin_test(item.nodeid)
        try:
            outcome = yield
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as exc:
            for harness in _held_by(item):
                _abandon(item, harness, exc)
            for harness in _held_by(item):
                harness.drawn.conclude(exc)
            raise
        for harness in _held_by(item):
            harness.drawn.conclude()
            if isinstance(harness, SharedHarness):
                harness.after_test()
            elif harness.used:
                harness.check()
        return outcome

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Our own exceptions without our own frames, under the phase that gives them their place among failures or errors."""
        report = yield
        if call.excinfo is None or not report.failed or not isinstance(call.excinfo.value, _TOLD):
            return report
        if not item.config.getoption("fulltrace"):
            report.longrepr = _told(item, call.excinfo)
        if isinstance(call.excinfo.value, EnvironmentFault):
            report.when = "setup" if report.when == "call" else report.when
        elif report.when == "teardown" and not isinstance(call.excinfo.value, HarnessError):
            report.when = "call"
        return report


def _abandon(item: pytest.Item, harness: Harness, why: BaseException) -> None:
    if not harness.used:
        return
    folder = harness.folder
    harness.abandon(why)
    page = folder / "report.html" if folder is not None else None
    if page is not None and page.is_file() and not isinstance(why, pytest.skip.Exception):
        item.add_report_section("call", "harness", f"nothing was judged, since the test itself ended early; the report: {page}\n")


def _told(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> ReprExceptionInfo:
    """The test's own lines, then the text. Made of pytest's own parts, which xdist carries and every `--tb` knows."""
    notes = getattr(excinfo.value, "__notes__", [])  # Hypothesis's: the example, and the blob that repeats it
    text = printable("\n".join([str(excinfo.value), *(f"\n{note}" for note in notes)]))
    lines, where, line = list(_lines(item, excinfo)), str(item.path), (item.location[1] or 0) + 1
    for entry in excinfo.traceback:
        if _is_the_users(Path(entry.path)):
            where, line = str(entry.path), entry.lineno + 1
    crash = ReprFileLocation(where, line, _first_line(excinfo.value, text))
    shown = ReprEntryNative([f"{text_line}\n" for text_line in [*lines, "", *text.splitlines()]])
    return ReprExceptionInfo(reprcrash=crash, reprtraceback=ReprTraceback([shown], None, "native"))


def _first_line(error: BaseException, text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"environment: {first}" if isinstance(error, EnvironmentFault) else first


def _lines(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> Iterator[str]:
    """``tests/test_shop.py:12: in test_charge`` and the statement, of every frame that is the user's; of the test where there is none."""
    found = False
    for entry in excinfo.traceback:
        if _is_the_users(Path(entry.path)):
            found = True
            yield f"{_relative(item.config, Path(entry.path))}:{entry.lineno + 1}: in {entry.name}"
            yield from (f"    {line}" for line in str(entry.statement).strip().splitlines())
    if not found:
        yield f"{_relative(item.config, item.path)}:{(item.location[1] or 0) + 1}: {item.name}"


def _is_the_users(path: Path) -> bool:
    return not any(path.resolve().is_relative_to(folder) for folder in _NOT_THE_USERS)


def _relative(config: pytest.Config, path: Path) -> Any:
    invoked = config.invocation_params.dir
    return path.relative_to(invoked) if path.is_relative_to(invoked) else path
