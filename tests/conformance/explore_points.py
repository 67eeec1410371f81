"""One suite for both mechanisms: a test that asks for `points`, or for what is made of it, runs with each that can do what it is about."""

from __future__ import annotations

import sysconfig

import pytest

__all__ = ["EFFECTS_ALONE", "LINES_ALONE", "points", "pytest_generate_tests"]

_WORDS = "a line is told by where it is, not by what it does"
_INSIDE = "what happens inside of a line has no crash points"
_UNSEEN = "nobody sees a call that Python does not tell of: another program's, or a C library's"

#: Test -> what lines cannot do.
EFFECTS_ALONE = {
    "test_a_task_without_effects_has_no_stops": "a line without an effect is a crash point too",
    "test_files": _WORDS,
    "test_a_file_that_the_kernel_copies": _WORDS,
    "test_sqlite_with_a_rollback_journal": _WORDS,
    "test_sqlite_with_a_write_ahead_log_is_no_doubt": _WORDS,
    "test_redis_commands_with_their_keys": _WORDS,
    "test_an_http_request_and_its_body": _WORDS,
    "test_httpx_too": _WORDS,
    "test_a_program_that_the_task_starts": _INSIDE,
    "test_a_thread_that_the_task_waits_for": _WORDS,
    "test_threads_that_run_on_make_a_stop_inexact": "a thread that comes to a line of its own waits for its turn there",
    "test_shared_memory_is_a_doubt": _UNSEEN,
    "test_so_is_a_map_that_is_made_writable_later": _UNSEEN,
    "test_calls_that_write_where_nobody_can_stop_them_are_doubts": _UNSEEN,
    "test_calls_at_which_nobody_looks_are_doubts": _UNSEEN,
    "test_sockets_that_nobody_sees_connect_are_refused": _UNSEEN,
    "test_files_that_it_reads_or_gives_to_programs_are_known": "nothing is certified there",
    "test_a_file_whose_first_name_is_gone_is_seen_by_its_other_one": _WORDS,
    "test_what_nobody_else_can_notice_is_no_stop": "a line without an effect is a crash point too",
    "test_a_retry_is_told_in_words": _WORDS,
    "test_a_kill_at_each_stop_of_a_thread_does_too": "which of two threads comes to its next line first is chance",
    "test_a_kill_in_the_middle_of_a_commit_leaves_a_journal_that_rolls_it_back": _INSIDE,
    "test_all_processes_of_a_delivery_are_gone_after_a_kill": _INSIDE,
    "test_also_where_python_cannot_see_it": _UNSEEN,
    "test_also_a_datagram": _UNSEEN,
    "test_so_it_does_in_asyncio": "waits in a selector last",
    "test_where_the_kernel_refuses_it_says_so": "nothing that a kernel could refuse",
    "test_a_program_that_would_see_the_true_time_is_a_doubt": _UNSEEN,
}
#: What is about lines themselves.
LINES_ALONE = (
    "test_each_line_of_the_users_is_a_stop",
    "test_of_a_line_that_runs_often_some_turns_are_stops",
    "test_threads_that_come_to_lines_are_a_doubt",
    "test_what_a_task_forks_is_not_stopped_and_disturbs_nobody",
)
#: Where the time limit of a lock is a moment of the time of day (own_time.py of the agent), lines leave that alone.
_CLOCK = bool(sysconfig.get_config_var("HAVE_SEM_CLOCKWAIT"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """For modules that import it."""
    if "points" in metafunc.fixturenames:
        name = metafunc.function.__name__
        lines = name not in EFFECTS_ALONE and (_CLOCK or not metafunc.module.__name__.endswith("_clock"))
        chosen = [*(["effects"] if name not in LINES_ALONE else []), *(["lines"] if lines else [])]
        metafunc.parametrize("points", chosen, indirect=True, scope="module")


@pytest.fixture(scope="module")
def points(request: pytest.FixtureRequest) -> str:
    """effects or lines."""
    return str(request.param)
