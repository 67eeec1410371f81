"""A certificate's file: its name, its text, and what makes it stale."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.model.certificate import Certificate, Counts, Grounds, Subject, Worlds

GROUNDS: dict[str, dict[str, Any]] = {
    "modules": {"shop.py": "a", "prices.py": "b"},
    "settings": {"task_acks_late": True},
    "task": {"max_retries": 3},
    "first_world": {"db.orders": "c", "db.~schema": "d"},
    "system": {"services": {"db": "sqlite"}, "env": {"DB": "${{ db.url }}"}},
    "locks": {"uv.lock": "e"},
}


def certificate(**changes: Any) -> Certificate:
    fields: dict[str, Any] = {
        "made_by": "celery-harness 1.2",
        "subject": Subject(scenario="scenarios/pay.yaml", task="shop.pay", args=(7, "é"), kwargs={"cents": 900}),
        "covers": ("the loss of the whole worker",),
        "excludes": ("power loss",),
        "worlds": Worlds(number=12, fingerprint="f", kills=2),
        "environments": {"python 3.11, celery 5.6.0, x86_64": Counts(stops=9, deliveries=20)},
        "grounds": Grounds(**GROUNDS),
    }
    return Certificate(**{**fields, **changes})


def test_its_text_is_sorted_and_says_all_of_it_again() -> None:
    made = certificate()
    text = made.text()
    assert text.endswith("}\n") and list(json.loads(text)) == sorted(json.loads(text))
    assert Certificate.model_validate_json(text) == made
    assert '   "shop.py": "a"\n' in text, "one thing per line: a change of one is a change of one line"
    backwards = Grounds(**{name: dict(reversed(found.items())) for name, found in reversed(GROUNDS.items())})
    assert certificate(grounds=backwards).text() == text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modules": {"shop.py": "x", "prices.py": "b"}}, ["module shop.py changed"]),
        ({"modules": {"shop.py": "a"}}, ["module prices.py is gone"]),
        ({"modules": {**GROUNDS["modules"], "new.py": "n"}}, ["module new.py is new"]),
        ({"settings": {"task_acks_late": False}}, ["setting task_acks_late changed"]),
        ({"task": {"max_retries": None}}, ["the task's max_retries changed"]),
        ({"first_world": {"db.orders": "c", "db.~schema": "x"}}, ["first world: db.~schema changed"]),
        ({"system": {**GROUNDS["system"], "services": {"db": "redis"}}}, ["system.services changed"]),
        ({"system": {**GROUNDS["system"], "env": {}}}, ["system.env changed"]),
        ({"locks": {"uv.lock": "x", "requirements.txt": "r"}}, ["lock file requirements.txt is new", "lock file uv.lock changed"]),
        ({}, []),
    ],
)
def test_each_ground_that_is_another_one_is_named(changes: dict[str, Any], words: list[str]) -> None:
    assert list(Grounds(**GROUNDS).changes(Grounds(**{**GROUNDS, **changes}))) == words


def test_names_are_readable_and_one_for_each_subject() -> None:
    subject = Subject(scenario="scenarios/pay.yaml", task="shop.pay", args=(7, "a/../b"), kwargs={"cents": 900})
    assert subject.name.startswith("pay-shop.pay-7_a_.._b_cents_900-") and "/" not in subject.name
    others = [
        subject.model_copy(update=change)
        for change in (
            {"scenario": "other/pay.yaml"},
            {"task": "shop.refund"},
            {"args": ("7", "a/../b")},
            {"kwargs": {}},
            {"drawn": "types"},
            {"semantics": "at_most_once"},
        )
    ]
    assert len({subject.name, *(other.name for other in others)}) == 1 + len(others)
    assert subject.name == Subject.model_validate_json(subject.model_dump_json()).name
    assert len(Subject(app="a:b", task="t" * 300, args=("x" * 900,)).name) < 150
