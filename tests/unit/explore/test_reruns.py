"""Which findings real workers can repeat, and why not the others."""

from __future__ import annotations

import pytest

from harness.explore.confirm import Replayed
from harness.explore.graph import Suspicion
from harness.explore.judge import Fault
from harness.explore.reruns import rerun_of
from harness.explore.spots import Spot, Step
from harness.model.exploration import Delivery, Ending, Message, Outcome, Rerun
from harness.model.world import World
from harness.ports.exploring import Node

_FIRST = Message("a", "shop.charge", 0, False, 0.0, {})
_RETRY = Message("a", "shop.charge", 1, False, 60.0, {})
_OTHER = Message("b", "shop.mail", 0, False, 0.0, {})
_KILLED, _DONE = (Delivery(0, 4), Outcome.KILLED), (Delivery(), Outcome.SUCCESS)
_Way = tuple[Delivery, Outcome]


def rerun(
    *way: _Way,
    word: str = "EFFECT",
    messages: tuple[Message, ...] = (),
    slept: float = 0.0,
    deadlines: tuple[float, ...] = (),
    waiting: int = 0,
    worker: str = "",
) -> Rerun:
    told = messages or (_FIRST,) * len(way)
    steps = [Step(delivery, message, None, None, None) for (delivery, _), message in zip(way, told, strict=True)]
    node = Node("", World({}), (_FIRST,) * waiting, None, deadlines)
    endings = tuple(Ending(outcome, (), slept=slept) for _, outcome in way)
    replayed = Replayed(endings, (node,) * len(way), (None,) * len(way))
    return rerun_of(Suspicion(Fault(word, ({"row": worker},) if worker else (), "done"), Spot(node, tuple(steps))), replayed)


def test_a_crash_and_its_redelivery() -> None:
    found = rerun(_KILLED, _DONE)
    assert (found.refused, found.redelivery, found.ends) == ("", 5.0, (Outcome.KILLED, Outcome.SUCCESS))


def test_a_redelivery_comes_after_what_it_waits_for_and_not_while_the_task_sleeps() -> None:
    assert rerun(_KILLED, (Delivery(0, None, 62.0), Outcome.SUCCESS)).redelivery == 63.0
    assert rerun(_KILLED, _DONE, slept=20.0).redelivery == 45.0


def test_a_retry_comes_when_it_is_due() -> None:
    found = rerun((Delivery(), Outcome.RETRY), (Delivery(0, None, 60.0), Outcome.SUCCESS), messages=(_FIRST, _RETRY))
    assert (found.refused, found.seconds) == ("", 60.0)
    assert found.redelivery == 65.0  # or Redis would give it to a second worker while the first waits until it is due


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (rerun(_KILLED, _DONE, word="STORM"), "it has no end"),
        (rerun(_KILLED, (Delivery(), Outcome.ENDLESS)), "it has no end"),
        (rerun(_KILLED, (Delivery(warm=True), Outcome.SUCCESS)), "the process that has run it"),
        (rerun(_KILLED, _DONE, messages=(_FIRST, _OTHER)), "messages beside the one of shop.charge"),
        (rerun(_KILLED, _DONE, worker="explorer-0a1b@celery-harness"), "another worker's name"),
        (rerun(_KILLED, _DONE, waiting=2), "two messages at a time"),
        (rerun(_KILLED, (Delivery(), Outcome.DIED)), "ends as DIED without a crash of ours"),
        (rerun(_KILLED, (Delivery(0, None, 90061.0), Outcome.SUCCESS)), "25 h 1 min would have to pass for real"),
        (rerun(_KILLED, _DONE, deadlines=(10.0,)), "before 10.0 s have passed"),
        (rerun(_KILLED, (Delivery(0, 2, 62.0), Outcome.KILLED), _DONE), "at once after one crash, and later after another"),
    ],
)
def test_what_only_the_explorer_can_do_is_refused(found: Rerun, words: str) -> None:
    assert words in found.refused
