"""What is remembered of one server, by all who look into it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from harness.brokers import rabbitmq_memory as module
from harness.brokers.rabbitmq_memory import Memory, memory_of
from harness.model.rules import QueueRules
from harness.ports.broker import Endpoint


def test_one_server_of_one_run_has_one_memory() -> None:
    endpoint = Endpoint("127.0.0.1", 1, "a")
    assert memory_of(endpoint) is memory_of(replace(endpoint, user="somebody"))
    assert memory_of(endpoint) is not memory_of(replace(endpoint, password="b"))


def test_a_queue_that_is_no_more_keeps_its_rules() -> None:
    memory = Memory()
    memory.see([QueueRules("a", {"expires": 1}, True), QueueRules("b", {}, False)])
    memory.see([QueueRules("b", {}, True)])
    assert memory.queues["a"].gone and memory.queues["a"].arguments == {"expires": 1}
    assert not memory.queues["b"].gone and memory.queues["b"].consumed
    memory.see([QueueRules("a", {}, False)])
    assert not memory.queues["a"].gone and memory.queues["b"].gone


def test_drops_count_from_the_reset_on_or_from_the_nodes_own_start() -> None:
    memory = Memory()
    assert memory.dropped({"maxlen": 2}) == {"maxlen": 2}
    memory.forget(Counter(maxlen=2, expired=1))
    assert memory.dropped({"maxlen": 5, "expired": 1}) == {"maxlen": 3, "expired": 0}
    assert memory.dropped({"maxlen": 1, "expired": 0}) == {"maxlen": 1, "expired": 0}, "it was restarted meanwhile"


def test_what_we_take_ourselves_from_a_quorum_queue_is_no_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    memory = Memory()
    memory.take_from("dead")
    now = 101.0
    memory.note_consumers({"dead", "classic", "other"}, quorum={"dead", "other"})
    assert memory.consumed == {"classic", "other"}
    now = 102.0
    memory.note_consumers({"dead"}, quorum={"dead"})
    assert "dead" in memory.consumed
    memory.forget(Counter())
    assert memory.consumed == set()
