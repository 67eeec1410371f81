"""Where an exchange leads, and which rules of a queue explain that a message is gone: only where the broker counted it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.routing import Binding, Routes
from harness.model.rules import (
    DROPPED,
    OVER_DELIVERIES,
    OVER_LENGTH,
    OVER_TIME,
    WITH_QUEUE,
    BrokerRules,
    QueueRules,
    destinations,
    dropped_by,
    refused_unheard,
)


def test_the_default_exchange_leads_to_the_queue_of_that_name() -> None:
    assert Routes().reached("", "pay") == {"pay"}
    assert Routes().reached("", None) == set() == Routes().reached("nowhere", "pay")


def test_bindings_lead_on_to_further_exchanges_and_round_in_circles() -> None:
    routes = Routes([Binding("a", "b", "k.#", True), Binding("b", "a", "", True), Binding("b", "q", "k.*"), Binding("a", "other", "z")])
    assert routes.reached("a", "k.1") == {"q"}
    assert routes.reached("a", "k.1.2") == set()
    assert routes.reached("a", None) == {"q", "other"}


def test_a_delayed_message_goes_where_its_own_key_leads() -> None:
    rules = BrokerRules({"pay": QueueRules("pay", {}, True)}, (Binding("celery_delayed_delivery", "pay", "#.pay"),))
    found = destinations(rules, Routes(rules.bindings), "celery_delayed_27", "pay")
    assert [queue.name for queue in found] == ["pay"]
    assert destinations(rules, Routes(rules.bindings), None, "pay") == [], "an exchange that nobody recorded leads nowhere"


def explained(arguments: dict[str, Any], dropped: dict[str, int], *, waited: float = 10.0, deliveries: int = 0, **facts: Any) -> str:
    queue = QueueRules("pay", arguments, True, **facts)
    found = dropped_by(BrokerRules({"pay": queue}, (), dropped), [queue], waited=waited, deliveries=deliveries)
    assert found is None or "'pay'" in found[1]
    return found[0] if found else ""


@pytest.mark.parametrize(
    ("arguments", "dropped", "facts", "cause"),
    [
        ({"max-length": 2}, {"maxlen": 1}, {}, OVER_LENGTH),
        ({"max-length-bytes": 2, "overflow": "drop-head"}, {"maxlen": 1}, {}, OVER_LENGTH),
        ({"max-length": 2}, {"maxlen": 0}, {}, ""),
        ({}, {"maxlen": 3}, {}, ""),
        ({"max-length": 2, "overflow": "reject-publish"}, {"maxlen": 1}, {}, ""),
        ({"max-length": 2}, {"maxlen": 1}, {"keeps_dropped": True}, ""),
        ({"delivery-limit": 3}, {"delivery_limit": 1}, {"quorum": True, "deliveries": 4}, OVER_DELIVERIES),
        ({}, {"delivery_limit": 1}, {"quorum": True, "deliveries": 4}, OVER_DELIVERIES),
        ({"delivery-limit": 3}, {"delivery_limit": 1}, {"quorum": True}, ""),
        ({"delivery-limit": 3}, {"delivery_limit": 1}, {"deliveries": 4}, ""),
        ({"message-ttl": 5000}, {"expired": 1}, {}, OVER_TIME),
        ({"message-ttl": 5000}, {"expired": 1}, {"waited": 4.9}, ""),
        ({"message-ttl": 5000}, {}, {}, ""),
        ({"expires": 100}, {}, {"gone": True}, WITH_QUEUE),
        ({"expires": 100}, {}, {}, ""),
        ({"max-length": 2, "message-ttl": 5000}, {"maxlen": 1, "expired": 2}, {}, DROPPED),
    ],
)
def test_a_rule_explains_what_the_broker_counted(arguments: Any, dropped: Any, facts: Any, cause: str) -> None:
    assert explained(arguments, dropped, **facts) == cause


def test_a_queue_beside_the_one_for_work_explains_nothing() -> None:
    rules = BrokerRules(dropped={"maxlen": 5})
    work, audit = QueueRules("pay", {}, True), QueueRules("audit", {"max-length": 1}, False)
    assert dropped_by(rules, [audit, work], waited=1.0, deliveries=0) is None
    assert dropped_by(rules, [audit], waited=1.0, deliveries=0) is not None


def test_a_full_queue_refuses_and_nobody_hears_of_it() -> None:
    assert "reject-publish" in refused_unheard([QueueRules("pay", {"max-length": 1, "overflow": "reject-publish"}, True)])
    assert refused_unheard([QueueRules("pay", {"max-length": 1}, True), QueueRules("b", {"overflow": "reject-publish"}, True)]) == ""
