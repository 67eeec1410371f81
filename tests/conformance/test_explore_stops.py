"""Which effects the explorer's mechanism sees, and in which words: on the kernel of this machine, through unmodified libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.exploration import Outcome
from tests.conformance.explore_points import points, pytest_generate_tests  # noqa: F401 (a fixture, and a hook)
from tests.conformance.explore_support import Mill, changes, line_of, mill, words


@pytest.fixture(scope="module")
def shared(points: str, tmp_path_factory: pytest.TempPathFactory, redis_server_program: str) -> Iterator[Mill]:  # noqa: F811
    with mill(tmp_path_factory.mktemp("mill"), points=points) as found:
        yield found


@pytest.fixture
def one(shared: Mill) -> Mill:
    shared.clean()
    return shared


def test_a_task_without_effects_has_no_stops(one: Mill) -> None:
    ending = one.run("nothing")
    assert (ending.outcome, ending.stops, ending.doubts, ending.undeclared) == (Outcome.SUCCESS, (), (), ())


def test_files(one: Mill) -> None:
    ending = one.run("write_and_rename", "flour")
    assert words(ending.stops) == ["open sheet.tmp to write", "write to sheet.tmp", "rename sheet.tmp to sheet.txt"]
    assert {stop.kind for stop in ending.stops} == {"file"} and ending.stops[2].target == "files: sheet.txt"
    assert one.files() == {"sheet.txt": "flour"}


def test_the_world_at_a_stop_is_the_one_before_the_call(one: Mill) -> None:
    seen = []
    one.run("write_and_rename", "flour", at_stop=lambda stop: seen.append(one.files()))
    assert changes(seen) == [{}, {"sheet.tmp": ""}, {"sheet.tmp": "flour"}]


def test_a_file_that_the_kernel_copies(one: Mill) -> None:
    ending = one.run("copy")
    assert "copy into to.txt" in words(ending.stops) and one.files() == {"from.txt": "x", "to.txt": "x"}


def test_sqlite_with_a_rollback_journal(one: Mill) -> None:
    one.run("insert", 1)
    told = words(one.run("insert", 2).stops)
    assert "write to mill.sqlite3-journal" in told and "write to mill.sqlite3" in told and told[-1] == "delete mill.sqlite3-journal"


def test_sqlite_with_a_write_ahead_log_is_no_doubt(one: Mill) -> None:
    """Its index is mapped into memory, but whoever opens the database first makes it anew."""
    one.run("insert", 1, "wal")
    ending = one.run("insert", 2, "wal")
    assert "write to mill.sqlite3-wal" in words(ending.stops) and ending.doubts == ()


def test_redis_commands_with_their_keys(one: Mill) -> None:
    seen = []
    ending = one.run("count", at_stop=lambda stop: seen.append((stop.words, one.store.client().get("sacks:7"))))
    assert ("INCRBY sacks:7 sent to cache", None) in seen
    assert seen[-1] == ("MULTI, SET a, SET b, EXEC sent to cache", b"1")
    assert all(stop.kind == "net" and stop.target == "cache" for stop in ending.stops)


def test_an_http_request_and_its_body(one: Mill) -> None:
    seen = []
    ending = one.run("post", at_stop=lambda stop: seen.append(len(one.api.requests)))
    assert words(ending.stops) == ["POST /charges sent to card_api", "the rest of POST /charges sent to card_api"]
    assert seen == [0, 0] and one.api.requests == [("/charges?x=1", b'{"amount": 7}')]


def test_httpx_too(one: Mill) -> None:
    ending = one.run("post_with_httpx")
    assert words(ending.stops)[0] == "POST /charges sent to card_api" and len(one.api.requests) == 1, (ending, one.log())


def test_a_program_that_the_task_starts(one: Mill) -> None:
    ending = one.run("in_a_shell")
    told = words(ending.stops)
    assert told == ["start the program sh", "open sub.txt to write", "write to sub.txt", "start the program rm", "delete sub.txt"]
    assert all(stop.exact for stop in ending.stops), "its parent waits for it"


def test_a_thread_that_the_task_waits_for(one: Mill) -> None:
    ending = one.run("in_a_thread")
    assert "write to thread.txt" in words(ending.stops) and all(stop.exact for stop in ending.stops)


def test_threads_that_run_on_make_a_stop_inexact(one: Mill) -> None:
    ending = one.run("two_threads")
    assert [stop.exact for stop in ending.stops if "busy.txt" in stop.words] == [False, False]


def test_shared_memory_is_a_doubt(one: Mill) -> None:
    ending = one.run("by_memory")
    assert ending.doubts == ("the task maps map.bin into its memory, where nobody can see it write",)


def test_so_is_a_map_that_is_made_writable_later(one: Mill) -> None:
    ending = one.run("by_memory_made_writable")
    assert ending.doubts == ("the task maps map.bin into its memory, where nobody can see it write",), ending
    one.run("nothing")


def test_calls_that_write_where_nobody_can_stop_them_are_doubts(one: Mill) -> None:
    ending = one.run("by_calls_that_nobody_can_stop")
    assert ending.outcome is Outcome.SUCCESS and [doubt.partition(",")[0] for doubt in ending.doubts] == [
        "the task writes by io_submit",
        "the task uses io_uring",
    ]


def test_calls_at_which_nobody_looks_are_doubts(one: Mill) -> None:
    ending = one.run("by_calls_at_which_nobody_looks")
    assert ending.outcome is Outcome.SUCCESS, ending
    assert [re.findall(r"\((\w+)\)", doubt) for doubt in ending.doubts] == [["kill"], ["keyctl"], ["mq_open"], ["shmget"], ["setns"]]


def test_signals_to_its_own_processes_are_none(one: Mill) -> None:
    ending = one.run("signals_to_its_own")
    assert (ending.outcome, ending.doubts) == (Outcome.SUCCESS, ()), ending


def test_sockets_that_nobody_sees_connect_are_refused(one: Mill) -> None:
    ending = one.run("by_sockets_that_nobody_sees_connect")
    assert ending.outcome is Outcome.SUCCESS, ending
    assert ending.undeclared == ("AF_PACKET socket", "raw IP socket")


def test_a_file_whose_first_name_is_gone_is_seen_by_its_other_one(one: Mill) -> None:
    told = words(one.run("by_another_name").stops)
    assert told == [
        "open first (deleted) to write",
        "link first (deleted) as second",
        "delete first (deleted)",
        "write to second",
        "delete second",
    ]


def test_files_that_it_reads_or_gives_to_programs_are_known(one: Mill) -> None:
    before = set(one.stops.files())  # of other tests, to whose programs files were given
    one.run("read_and_give_to_a_program")
    found = sorted(Path(path).name for path in {*one.stops.files()} - before)
    assert [name for name in found if name.endswith(".txt")] == ["helper.txt", "prices.txt"]


def test_what_nobody_else_can_notice_is_no_stop(one: Mill) -> None:
    ending = one.run("unseen")
    assert words(ending.stops) == ["open buffered.txt to write"] and one.files() == {"buffered.txt": ""}
    assert "grinding" in one.log() and "still grinding" in one.log()


def test_identities_are_those_of_another_execution(one: Mill) -> None:
    first, second = one.run("insert", 1), None
    one.clean()
    second = one.run("insert", 1)
    assert [stop.identity for stop in first.stops] == [stop.identity for stop in second.stops]


def test_lines_of_the_users(one: Mill) -> None:
    ending = one.run("write_and_rename", "flour", lines=True)
    places = [stop.place for stop in ending.stops]
    assert all(place is not None and (place.module, place.file) == ("mill", "mill.py") for place in places)
    assert ("write_and_rename", line_of("rename"), 1) in [(place.function, place.line, place.hit) for place in places if place]


def test_hits_of_a_line_are_counted(one: Mill) -> None:
    ending = one.run("many", 3, lines=True)
    assert changes([stop.place.hit for stop in ending.stops if stop.place and stop.place.line == line_of("many")]) == [1, 2, 3]


def test_lines_of_a_thread_and_of_a_library_that_calls_back(one: Mill) -> None:
    ending = one.run("in_a_thread", lines=True)
    found = {stop.place.function for stop in ending.stops if stop.place}
    assert found == {"append"} if one.points == "effects" else found >= {"append", "in_a_thread"}


def test_each_line_of_the_users_is_a_stop(one: Mill) -> None:
    ending = one.run("write_and_rename", "flour")
    write, rename = line_of("write"), line_of("rename")
    of_path = f"line {line_of('path')} of mill.path"
    with_open, writing, renaming = (f"line {line} of mill.write_and_rename" for line in (write - 1, write, rename))
    called = [of_path, f"the rest of {with_open}", writing, with_open, renaming, *([of_path, f"the rest of {renaming}"] * 2)]
    assert words(ending.stops) == [with_open, *called]
    assert [stop.identity for stop in ending.stops[-2:]] == [f"mill:path:{line_of('path')}:3", f"mill:write_and_rename:{rename}:1:back:2"]
    assert {(stop.call, stop.kind, stop.target, stop.exact) for stop in ending.stops} == {("line", "other", "mill.py", True)}


def test_of_a_line_that_runs_often_some_turns_are_stops(one: Mill) -> None:
    ending = one.run("many", 100)
    hits = [stop.place.hit for stop in ending.stops if stop.place and stop.place.line == line_of("many")]
    assert changes(hits) == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64]
    assert ending.doubts == ("a line that ran often was tried at some of its turns only",)
    assert one.run("many", 3).doubts == ()


def test_threads_that_come_to_lines_are_a_doubt(one: Mill) -> None:
    (doubt,) = one.run("in_a_thread").doubts
    assert doubt == "threads of the task run beside one another: which comes to its next line first is chance"


def test_what_a_task_forks_is_not_stopped_and_disturbs_nobody(one: Mill) -> None:
    ending = one.run("in_a_fork")
    assert (ending.outcome, ending.result, one.files()) == (Outcome.SUCCESS, "'x'", {"fork.txt": "x"})
    assert not any("append" in stop.words for stop in ending.stops)


def test_a_retry_is_told_in_words(one: Mill) -> None:
    assert "message of mill.again published to broker" in words(one.run("again").stops)


def test_a_retry_is_a_message_that_the_app_publishes(one: Mill) -> None:
    assert one.run("again").outcome is Outcome.RETRY
    message = one.taken()
    assert message.retries == 1 and message.raw["headers"]["eta"]
    assert one.deliver(message).outcome is Outcome.RETRY and one.files() == {"again.txt": "xx"}


@pytest.mark.parametrize(
    ("task", "outcome", "error"),
    [
        ("fail", Outcome.FAILURE, "LookupError: no such sack"),
        ("reject", Outcome.REJECTED, "Reject: not wanted"),
        ("ignore", Outcome.IGNORED, "Ignore: "),
        ("step_down", Outcome.DIED, "SystemExit: 1"),
    ],
)
def test_how_celery_ends_it(one: Mill, task: str, outcome: Outcome, error: str) -> None:
    ending = one.run(task)
    assert (ending.outcome, ending.requeue) == (outcome, task == "reject") and ending.error.startswith(error.rstrip()), ending


def test_an_error_has_the_users_own_lines(one: Mill) -> None:
    ending = one.run("fail")
    assert ending.place is not None and (ending.place.file, ending.place.line) == ("mill.py", line_of("fail"))
    assert ending.place.function == "deeper" and "site-packages" not in ending.traceback and "in fail" in ending.traceback
