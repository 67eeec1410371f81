from __future__ import annotations

from harness.egress.listener import Call
from harness.explore.pieces import Pieces

REST = "the rest of POST /files sent to company"


def call(thread: int = 7, descriptor: int = 3) -> Call:
    return Call(1, thread, 44, 0xC000003E, (descriptor, 0, 0, 0, 0, 0))


def test_pieces_that_follow_one_another_are_one() -> None:
    pieces = Pieces()
    told = ["POST /files sent to company", REST, REST, REST, "write to list.txt", REST, REST, "POST /files sent to company", REST]
    assert [pieces.goes_on(call(), words) for words in told] == [False, False, True, True, False, False, True, False, False]


def test_not_of_another_connection_or_thread_nor_after_one_that_comes_once_more() -> None:
    pieces = Pieces()
    assert [pieces.goes_on(one, REST) for one in (call(), call(8), call(8, 4), call(8, 4))] == [False, False, False, True]
    pieces.forget()
    assert not pieces.goes_on(call(8, 4), REST)


def test_what_may_be_several_commands_is_never_one() -> None:
    pieces = Pieces()
    assert not any(pieces.goes_on(call(), "data sent to cache") for _ in range(3))
