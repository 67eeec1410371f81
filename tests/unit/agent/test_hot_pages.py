"""Which memory a forked process has made its own, and having it copied before it is needed."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
from collections.abc import Callable

import pytest

from celery_harness_agent import hot_pages
from celery_harness_agent.hot_pages import HotPages, own_pages

PAGE = 4096
PAGES = 64


def in_a_fork(check: Callable[[int], bool]) -> bool:
    """``check`` is given the first whole page of memory that both processes share, until one of them writes to it."""
    buffer = ctypes.create_string_buffer(b"x" * PAGE * (PAGES + 1), PAGE * (PAGES + 1))
    start = (ctypes.addressof(buffer) + PAGE - 1) // PAGE * PAGE
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            status = 0 if check(start) else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_page_is_its_own_from_the_first_write_on() -> None:
    def check(start: int) -> bool:
        def own(number: int) -> bool:
            address = start + number * PAGE
            return any(begin <= address < end for begin, end in own_pages())

        before = own(5)
        ctypes.memset(start + 5 * PAGE, 7, 1)
        return not before and own(5) and not own(20)

    assert in_a_fork(check)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_was_copied_early_costs_no_fault_later(at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """``at_once``: by a call that kernels before 6.13 do not have."""
    if not at_once:
        monkeypatch.setattr(hot_pages, "_syscall", lambda *_: -1)

    def faults(start: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for number in range(PAGES):
            ctypes.memset(start + number * PAGE, 7, 1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def early(start: int) -> bool:
        half = start + PAGES // 2 * PAGE
        HotPages([(half + 2 * PAGE, start + PAGES * PAGE), (start, half)]).copy()
        return faults(start) < PAGES // 2

    assert in_a_fork(early) and in_a_fork(lambda start: faults(start) >= PAGES // 2)


def test_memory_that_is_not_there_is_left_out() -> None:
    HotPages([(PAGE, 2 * PAGE)]).copy()

    def beside(start: int) -> bool:
        """Of two runs of which one goes away after it was asked for, the other is copied."""
        gone = mmap.mmap(-1, PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        address = ctypes.addressof(ctypes.c_char.from_buffer(gone))
        hot = HotPages([(address, address + PAGE), (start, start + PAGES * PAGE)])
        ctypes.CDLL(None).munmap(ctypes.c_void_p(address), ctypes.c_size_t(PAGE))
        hot.copy()
        return any(begin <= start and start + PAGES * PAGE <= end for begin, end in own_pages())

    assert in_a_fork(beside)
