"""Which child a delivery gets, and what the next ones are told before they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.explore.from_zygote import FromZygote
from harness.explore.zygote_client import Pages
from harness.model.exploration import Ending, Message, Outcome
from harness.ports.exploring import Decision, Job, Launch


class Child:
    def __init__(self, pid: int) -> None:
        self.pid, self.closed = pid, False

    def close(self) -> None:
        self.closed = True


class Zygote:
    """Says what it is asked for."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.children: list[Child] = []

    def take(self) -> Child:
        self.children.append(Child(len(self.children) + 1))
        return self.children[-1]

    def order(self) -> None:
        self.said.append("order")

    def prepare(self, names: Sequence[str], pages: Pages, *, renew: bool) -> None:
        self.said.append((list(names), list(pages), renew))

    def close(self) -> None:
        self.said.append("close")


class Delivery:
    """One of a task that imports json in its first delivery. ``raises``: whoever looks at it does."""

    modules: Mapping[str, str] = {}
    imported: Sequence[str] = ("json",)
    read: Sequence[str] = ("/srv/shop/prices.json",)

    def __init__(self, pages: Pages | None, raises: bool) -> None:
        self.pages, self.at_rest, self._raises, self.ended = pages, False, raises, False

    def run(self, job: Job, at_stop: Any) -> Ending:
        if self._raises:
            raise RuntimeError("the observer is broken")
        self.at_rest = True
        return Ending(Outcome.SUCCESS, ())

    def end(self) -> None:
        self.ended = True


class Here(FromZygote):
    name, sampled = "here", ""

    def __init__(self) -> None:
        self.zygote: Any = Zygote()
        super().__init__(Launch((), {}, Path(), Path(), Path(), {}, {}), self.zygote)
        self._page: Any = object()
        self.learns: list[bool] = []
        self.ended: list[int] = []
        self.raises = False
        self.forgotten = 0

    def _begin(self, told: Mapping[str, Any]) -> None:
        raise AssertionError

    def _delivery(self, child: Any, page: Any, *, learns: bool) -> Any:
        self.learns.append(learns)
        self.child = child
        self.delivery = Delivery([[4096, 8192]] if learns else None, self.raises)
        return self.delivery

    def _end(self, child: Any) -> None:
        self.ended.append(child.pid)

    def _forget(self) -> None:
        self.forgotten += 1

    def run(self, task: str, *, warm: bool = False) -> list[Any]:
        """What the zygote was told meanwhile."""
        self.zygote.said.clear()
        self.deliver(Job(Message("1", task, 0, False, 0.0, {}), warm=warm), lambda stop: Decision.GO_ON)
        return list(self.zygote.said)


def test_memory_is_learnt_from_the_second_delivery_of_each_task() -> None:
    """The first imports what the others have already."""
    here, pages = Here(), [[4096, 8192]]
    assert here.run("a") == [(["json"], [], True), "order"]
    assert here.run("a") == [(["json"], pages, True), "order"]
    assert here.run("a") == ["order", (["json"], pages, False), "order"], "what waits then is as good, so the next comes while it runs"
    assert here.run("b") == [(["json"], [], True), "order"], "another task: what the first one writes to would hide what this one does"
    assert here.run("a") == ["order", (["json"], pages, False), "order"]
    assert here.learns == [False, True, False, False, False]


def test_a_child_that_has_ended_its_job_is_kept_for_one_that_is_warm() -> None:
    here = Here()
    here.run("a")
    here.run("a", warm=True)
    assert [child.pid for child in here.zygote.children] == [1] and here.ended == []
    here.run("a")
    assert [child.pid for child in here.zygote.children] == [1, 2] and here.ended == [1] and here.zygote.children[0].closed


def test_one_whose_delivery_was_broken_off_is_ended_and_not_kept() -> None:
    here = Here()
    here.raises = True
    with pytest.raises(RuntimeError, match="observer"):
        here.run("a")
    assert here.delivery.ended and here.child.closed and here.forgotten == 1
    here.raises = False
    here.run("a", warm=True)
    assert here.child.pid == 2 and here.learns == [False, False], "nothing was learnt from what had no end"
