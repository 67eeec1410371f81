"""Which memory a forked process has made its own, and having it copied before it is needed."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable

from celery_harness_agent.hot_pages import own_pages, prefault

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


def test_what_was_copied_early_costs_no_fault_later() -> None:
    def faults(start: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for number in range(PAGES):
            ctypes.memset(start + number * PAGE, 7, 1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def early(start: int) -> bool:
        prefault([(start, start + PAGES * PAGE)])
        return faults(start) < PAGES // 2

    assert in_a_fork(early) and in_a_fork(lambda start: faults(start) >= PAGES // 2)


def test_memory_that_is_not_there_is_left_out() -> None:
    prefault([(PAGE, 2 * PAGE)])
