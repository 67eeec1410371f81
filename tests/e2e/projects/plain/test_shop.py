import pytest
from shop import book_once


def test_once(harness):
    harness.crash(book_once, "before_ack")
    harness.send(book_once, 1, 900)
    result = harness.check()
    assert [check.name for check in result.checks] == ["no_loss", "no_duplicates", "idempotent"]


def test_twice(harness):
    harness.crash("shop.book_twice", "before_ack")
    harness.send("shop.book_twice", 1, 900)


@pytest.mark.harness(checks={"no_loss": {}})
def test_nothing_is_lost(harness):
    harness.send(book_once, 2, 100)
    harness.assert_no_loss()
