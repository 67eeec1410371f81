"""Which line is named where an effect happens in a function that several others call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.explore.callers import Callers, effects_of, plain
from harness.explore.clean import Clean
from harness.explore.shared_page import Called
from harness.explore.story import at
from harness.model.exploration import Ending, Outcome, Place, Stop
from harness.model.world import World
from harness.ports.exploring import Node

TOOLS = """
def post(path):
    connect()
    send(path)  # post(


class Work:
    def __exit__(self, *_):
        commit()


def transfer(db):
    take(db)
    give(db)


def charge_customer(number):
    send(number)
"""
ORDERS = """
def charge(number):
    post("/charges")
    with Work():
        note(number)
    transfer(number)
    charge_customer(number)


def refund(number):
    post("/refunds")
    transfer(-number)
    charge.delay(number)
"""


def stop(*places: str) -> Stop:
    """At a line, called by others: "file:line function"."""
    told = [Place("", text.split()[1], text.split(":")[0], int(text.split()[0].split(":")[1])) for text in places]
    first = told[0]
    return Stop(1, "sendto", "net", "api", "POST", "POST", Called("", first.function, first.file, first.line, by=tuple(told[1:])))


@pytest.fixture
def callers(tmp_path: Path) -> Callable[..., Callers]:
    for name, text in (("tools", TOOLS), ("orders", ORDERS)):
        (tmp_path / f"{name}.py").write_text(text)
    modules = {name: str(tmp_path / f"{name}.py") for name in ("tools", "orders")}
    return lambda *effects: Callers(modules, {"file": modules["orders"], "line": 2}, effects)


POST = stop("tools.py:4 post", "orders.py:3 charge")
EXIT = stop("tools.py:9 Work.__exit__", "orders.py:4 charge")
TAKE, GIVE = stop("tools.py:13 transfer", "orders.py:6 charge"), stop("tools.py:14 transfer", "orders.py:6 charge")
ONCE = stop("tools.py:18 charge_customer", "orders.py:7 charge")


@pytest.mark.parametrize(
    ("struck", "effects", "words"),
    [
        (POST, (POST, EXIT), " (orders.py:3, charge, by tools.py:4, post)"),
        (EXIT, (POST, EXIT), " (orders.py:4, charge, by tools.py:9, Work.__exit__)"),
        (TAKE, (TAKE, GIVE), " (tools.py:13, transfer)"),  # beside one another in one call of it
        (TAKE, (TAKE, POST), " (orders.py:6, charge, by tools.py:13, transfer)"),
        (ONCE, (POST, ONCE), " (tools.py:18, charge_customer)"),  # nobody else calls it
        (stop("tools.py:4 post"), (), " (tools.py:4, post)"),
        (stop("orders.py:3 charge", "wrap.py:9 wrapper"), (), " (orders.py:3, charge)"),  # the task's own
    ],
)
def test_the_line_that_is_named(callers: Callable[..., Callers], struck: Stop, effects: tuple[Stop, ...], words: str) -> None:
    named = callers(*effects).named(struck).place
    assert type(named) is Place and at(named) == words
    assert type(plain([struck])[0].place) is Place


def test_only_what_made_another_world_is_an_effect() -> None:
    stops = tuple(replace(POST, number=number) for number in (1, 2, 3, 4))
    nodes = [Node(key, World({}), (), None) for key in ("first", "first", "second", "second")]
    seen = {(0, number): node for number, node in enumerate(nodes, 1)}
    clean = Clean((Ending(Outcome.SUCCESS, stops),), nodes[-1], seen)
    assert [stop.number for stop in effects_of(clean)] == [2]
    assert [stop.number for stop in effects_of(replace(clean, end=replace(nodes[0], key="third")))] == [2, 4]
