from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.checks.effects_seen import _Running, effect_steps
from harness.model.history import Call, Delivery, History, Message, SideEvent


def history(*runs: tuple[str, int, float, float | None, float | None]) -> History:
    """Runs: (task id, call, start, end, died)."""
    found = History()
    for number, (task_id, call, start, end, died) in enumerate(runs):
        message = found.messages.setdefault(task_id, Message(task_id, task_id, "pay", 0, call))
        found.calls.setdefault(call, Call(call, "pay", f"[[{call}], {{}}]", 0.0))
        delivery = Delivery(f"d{number}", message, f"w-{number}", 10 + number, start, "x", False, start=start, end=end, died=died)
        message.deliveries.append(delivery)
        found.deliveries[delivery.id] = delivery
    return found


def posted(found: History, at: float, order: int, outcome: str = "accepted", status: int | None = 200) -> None:
    detail: dict[str, Any] = {"outcome": outcome, "collection": "requests", "row": {"path": "/charges", "body": {"order": order}}}
    detail["status"] = status
    found.events.append(SideEvent("effect", at, "card_api", "POST /charges", detail))


def told(found: History, task_id: str) -> list[tuple[str, float, str]]:
    return [(s.kind, s.at, s.lane) for s in effect_steps(found, found.messages[task_id].deliveries)]


_MOMENT = st.integers(0, 12).map(float)
_RUN = st.tuples(_MOMENT, st.none() | st.integers(0, 6), st.none() | st.integers(0, 6))


@given(st.lists(_RUN, max_size=12), _MOMENT)
def test_who_ran_at_a_moment_is_known_without_asking_everybody(runs: list[tuple[float, int | None, int | None]], at: float) -> None:
    ended = [(start, *(None if took is None else start + took for took in (end, died))) for start, end, died in runs]
    found = history(*(("a", 1, *run) for run in ended))
    ran = {
        f"d{number}" for number, (start, *ends) in enumerate(ended) if start <= at <= min((t for t in ends if t is not None), default=at)
    }
    assert {d.id for d in _Running(found.deliveries.values()).at(at)} == ran


def test_the_same_content_a_second_time_is_told_as_such() -> None:
    found = history(("a", 1, 0.0, None, 1.0), ("a", 1, 2.0, 3.0, None))
    posted(found, 0.5, 1)
    posted(found, 2.5, 1)
    assert told(found, "a") == [("effect", 0.5, "w-0"), ("effect_again", 2.5, "w-1")]


def test_other_content_is_another_effect() -> None:
    found = history(("a", 1, 0.0, 3.0, None))
    posted(found, 0.5, 1)
    posted(found, 0.6, 2)
    assert [kind for kind, *_ in told(found, "a")] == ["effect", "effect"]


def test_a_repeat_that_was_recognised_is_no_effect() -> None:
    found = history(("a", 1, 0.0, 3.0, None))
    posted(found, 0.5, 1)
    posted(found, 0.6, 1, "repeated")
    posted(found, 0.7, 1, "refused")
    assert [kind for kind, *_ in told(found, "a")] == ["effect", "repeat", "repeat"]


def test_what_the_caller_was_told_stands_in_the_row() -> None:
    found = history(("a", 1, 0.0, 3.0, None))
    posted(found, 0.1, 1, "refused", 503)
    posted(found, 0.2, 1, status=0)
    posted(found, 0.3, 1, status=0)
    posted(found, 0.4, 1, "repeated")
    posted(found, 0.5, 1, "refused", None)
    assert [step.text for step in effect_steps(found, found.messages["a"].deliveries)] == [
        "refused (503): POST /charges",
        "POST /charges accepted, unanswered",
        "POST /charges accepted again, unanswered",
        "POST /charges recognised: no second effect",
        "POST /charges refused",
    ]


def test_of_two_tasks_at_once_the_one_whose_arguments_it_names_is_the_cause() -> None:
    found = history(("a", 1, 0.0, 3.0, None), ("b", 2, 0.0, 3.0, None))
    posted(found, 0.5, 2)
    assert told(found, "a") == []
    assert told(found, "b") == [("effect", 0.5, "w-1")]


def test_what_cannot_be_told_apart_is_told_of_nobody() -> None:
    found = history(("a", 1, 0.0, 3.0, None), ("b", 2, 0.0, 3.0, None))
    posted(found, 0.5, 7)
    assert told(found, "a") == []
    assert told(found, "b") == []


def test_nothing_that_happened_after_a_death_is_the_dead_ones() -> None:
    found = history(("a", 1, 0.0, None, 1.0))
    posted(found, 1.5, 1)
    assert told(found, "a") == []
