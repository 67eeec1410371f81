"""'Did you mean'."""

from __future__ import annotations

import pytest

from harness.scenario.names import known, listed, nearest

FAULTS = ["worker.kill", "worker.kill_child", "worker.pause", "message.duplicate", "broker.restart"]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("worker.kil", "worker.kill"),
        ("worker_pause", "worker.pause"),
        ("Worker.Kill", "worker.kill"),
        ("duplicate", "message.duplicate"),
        ("dupliacte", "message.duplicate"),
        ("kill", "worker.kill"),
        ("kill_child", "worker.kill_child"),
    ],
)
def test_nearest(word: str, found: str) -> None:
    assert nearest(word, FAULTS) == f"; did you mean `{found}`?"


@pytest.mark.parametrize("word", ["", "zzz", "1"])
def test_nothing_is_near(word: str) -> None:
    assert nearest(word, FAULTS) == ""


def test_no_candidates() -> None:
    assert nearest("worker.kill", []) == ""


def test_the_order_of_candidates_does_not_matter() -> None:
    assert nearest("ab", ["abx", "aby"]) == nearest("ab", ["aby", "abx"])


def test_lists() -> None:
    assert [listed([]), listed(["a"]), listed("ab"), listed("abc", "or")] == ["", "a", "a and b", "a, b or c"]
    assert known(["b", "a", "b"]) == "known: a and b"
    assert known([]) == "none is known"
