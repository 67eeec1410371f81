from __future__ import annotations

from typing import Any

import pytest

from harness.brokers.rabbitmq_queues import Topology, native_delay_level


def queue(name: str, **facts: Any) -> dict[str, Any]:
    arguments = {key.replace("_", "-"): value for key, value in facts.pop("x", {}).items()}
    return {"name": name, "arguments": {f"x-{key}": value for key, value in arguments.items()}, **facts}


def bound(source: str, destination: str, key: str = "", kind: str = "queue") -> dict[str, Any]:
    return {"source": source, "destination": destination, "routing_key": key, "destination_type": kind}


def places(queues: list[dict[str, Any]], bindings: list[dict[str, Any]] = [], policies: list[dict[str, Any]] = []) -> dict[str, str]:  # noqa: B006
    return {state.name: state.place for state in Topology(queues, bindings, policies).states(queues)}


@pytest.mark.parametrize(
    "name",
    ["w1@host.celery.pidbox", "0c5e4f6c-0000-3000-8000-000000000001.reply.celery.pidbox", "celeryev.a-b", "celery-harness.tap.1"],
)
def test_remote_control_events_and_our_tap_hold_no_tasks(name: str) -> None:
    assert places([queue(name)]) == {}


def test_results_on_their_way_are_no_tasks_and_other_short_lived_queues_are() -> None:
    reply = "0c5e4f6c-1111-3000-8000-000000000001"
    assert places([queue(reply, auto_delete=True), queue("bcast." + reply, auto_delete=True), queue(reply[:-1] + "2")]) == {
        "bcast." + reply: "ready",
        reply[:-1] + "2": "ready",
    }


def test_a_dead_letter_queue_through_the_default_exchange() -> None:
    work = queue("work", x={"dead_letter_exchange": "", "dead_letter_routing_key": "dead"})
    assert places([work, queue("dead")]) == {"work": "ready", "dead": "dead_letter"}


@pytest.mark.parametrize(
    ("key", "bindings"),
    [
        (None, [bound("dlx", "dead", "anything")]),
        ("gone", [bound("dlx", "dead", "gone"), bound("dlx", "other", "kept")]),
        ("a.b.c", [bound("dlx", "dead", "a.#"), bound("dlx", "other", "a.*")]),
        ("a", [bound("dlx", "dead", "a.#")]),
        ("a.b", [bound("dlx", "dead", "#.b")]),
        ("k", [bound("dlx", "second", "k", "exchange"), bound("second", "dead"), bound("second", "dlx", "", "exchange")]),
    ],
)
def test_a_dead_letter_queue_through_bindings(key: str | None, bindings: list[dict[str, Any]]) -> None:
    arguments = {"dead_letter_exchange": "dlx"} | ({"dead_letter_routing_key": key} if key else {})
    found = places([queue("work", x=arguments), queue("dead"), queue("other")], bindings)
    assert found == {"work": "ready", "dead": "dead_letter", "other": "ready"}


def test_a_policy_says_it_as_well_and_the_strongest_one_wins() -> None:
    policies = [
        {
            "pattern": "^work",
            "priority": 1,
            "apply-to": "queues",
            "definition": {"dead-letter-exchange": "", "dead-letter-routing-key": "x"},
        },
        {"pattern": "^work", "priority": 2, "apply-to": "all", "definition": {"dead-letter-exchange": "", "dead-letter-routing-key": "y"}},
        {"pattern": ".*", "priority": 9, "apply-to": "exchanges", "definition": {"dead-letter-exchange": ""}},
    ]
    assert places([queue("work"), queue("x"), queue("y")], [], policies) == {"work": "ready", "x": "ready", "y": "dead_letter"}


def test_a_queue_that_gives_back_after_a_time_delays() -> None:
    """The usual way of retrying later: rejected into a queue with a TTL, which dead-letters back to work."""
    work = queue("work", x={"dead_letter_exchange": "", "dead_letter_routing_key": "later"})
    later = queue("later", x={"dead_letter_exchange": "", "dead_letter_routing_key": "work", "message_ttl": 5000})
    assert places([work, later]) == {"work": "ready", "later": "delayed"}


def test_a_queue_that_dead_letters_into_itself_is_no_dead_letter_queue() -> None:
    assert places([queue("work", x={"dead_letter_exchange": "", "dead_letter_routing_key": "work"})]) == {"work": "ready"}


def test_a_dead_letter_exchange_without_queues_is_harmless() -> None:
    assert places([queue("work", x={"dead_letter_exchange": "nowhere"})]) == {"work": "ready"}


def worked(queues: list[dict[str, Any]], *consumed: str, bindings: list[dict[str, Any]] = []) -> dict[str, str]:  # noqa: B006
    """Places, where these have had a consumer."""
    return {state.name: state.place for state in Topology(queues, bindings, [], consumed).states(queues)}


def test_who_consumes_makes_a_queue_one_of_work_whatever_leads_to_it_or_from_it() -> None:
    expiring = queue("work", x={"message_ttl": 5000, "dead_letter_exchange": "", "dead_letter_routing_key": "second"})
    queues = [expiring, queue("second"), queue("audit")]
    assert worked(queues, "work") == {"work": "ready", "second": "resting", "audit": "resting"}
    assert worked(queues, "work", "second") == {"work": "ready", "second": "ready", "audit": "resting"}


def test_remote_control_and_somebodys_own_queue_do_not_tell_who_works_where() -> None:
    queues = [queue("work"), queue("w1.celery.pidbox"), queue("mine", exclusive=True)]
    assert worked(queues, "w1.celery.pidbox") == {"work": "ready", "mine": "ready"}


@pytest.mark.parametrize(
    ("facts", "place"),
    [
        ({"dead_letter_exchange": "", "dead_letter_routing_key": "work", "message_ttl": 5}, "delayed"),
        ({"dead_letter_exchange": "", "dead_letter_routing_key": "work"}, "delayed"),  # its messages may have TTLs of their own
        ({"dead_letter_exchange": "", "dead_letter_routing_key": "grave", "message_ttl": 5}, "resting"),
        ({"dead_letter_exchange": "", "dead_letter_routing_key": "next", "message_ttl": 5}, "delayed"),
        ({"dead_letter_exchange": "nowhere", "message_ttl": 5}, "resting"),
        ({"message_ttl": 5}, "resting"),
    ],
)
def test_a_queue_delays_if_its_messages_go_on_to_work(facts: dict[str, Any], place: str) -> None:
    onward = queue("next", x={"dead_letter_exchange": "", "dead_letter_routing_key": "work", "message_ttl": 5})
    back = (
        queue("grave", x={"dead_letter_exchange": "", "dead_letter_routing_key": "later", "message_ttl": 5})
        if place == "resting"
        else queue("grave")
    )
    found = worked([queue("work"), onward, back, queue("later", x=facts)], "work")
    assert found["later"] == place


def test_of_two_numbers_the_lower_one_holds_and_of_two_words_the_queues_own() -> None:
    own = queue("work", type="quorum", x={"max_length": 10, "overflow": "reject-publish"})
    policies = [{"pattern": "w", "apply-to": "quorum_queues", "definition": {"max-length": 5, "overflow": "drop-head", "expires": 7}}]
    operator = [{"pattern": "w", "apply-to": "queues", "definition": {"max-length": 8, "expires": 3}}]
    (rules,) = Topology([own], [], policies, (), operator).rules()
    assert rules.arguments == {"max-length": 5, "overflow": "reject-publish", "expires": 3} and rules.quorum and not rules.consumed
    policies[0]["apply-to"] = "classic_queues"
    assert Topology([own], [], policies).rules()[0].arguments["max-length"] == 10


def test_a_queue_that_does_not_run_says_so() -> None:
    queues = [queue("a", state="down"), queue("b", state="running"), queue("c", x={"expires": 5})]
    assert [(s.name, s.trouble, s.lasting) for s in Topology(queues, [], []).states(queues)] == [
        ("a", "down", True),
        ("b", "", True),
        ("c", "", False),
    ]


def test_native_delays_come_in_the_order_in_which_a_message_goes() -> None:
    levels = [
        queue(f"celery_delayed_{n}", x={"message_ttl": 2**n * 1000, "dead_letter_exchange": f"celery_delayed_{n - 1}"}) for n in (0, 9, 10)
    ]
    bindings = [bound("celery_delayed_9", "celery_delayed_9", "#"), bound("celery_delayed_-1", "celery", "#.celery")]
    found = places([queue("celery"), *levels, queue("a")], bindings)
    assert list(found.items()) == [
        ("celery_delayed_10", "delayed"),
        ("celery_delayed_9", "delayed"),
        ("celery_delayed_0", "delayed"),
        ("a", "ready"),
        ("celery", "ready"),
    ]


def test_levels_are_those_of_kombu() -> None:
    names = pytest.importorskip("kombu.transport.native_delayed_delivery")
    assert [native_delay_level(names.level_name(n)) for n in (0, 27)] == [0, 27]
    assert native_delay_level("celery") == -1
