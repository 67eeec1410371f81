"""The toxics: each is a few whole-number attributes, and a coroutine that moves a stage's chunks on.

A coroutine may be cancelled wherever it waits, when its toxic is changed or a neighbour comes or goes: so bytes stay in
the stage's queue until the moment they are given on, and no coroutine ever holds any. Times are in ms unless said.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.netproxy.fields import Fields

if TYPE_CHECKING:
    from harness.netproxy.stage import Stage

__all__ = ["KINDS", "Kind", "Setting", "passing"]

_SLICE = 0.1  # seconds: how often a slow link lets a piece through


@dataclass(frozen=True)
class Kind:
    """One type of toxic. ``attributes`` in the order in which they are shown; ``room`` is how many chunks may wait in front of it."""

    name: str
    attributes: tuple[str, ...]
    pipe: Callable[["Stage"], Coroutine[Any, Any, None]]
    room: int = 2
    closes_when_removed: bool = False
    closes_by_reset: bool = False


@dataclass(eq=False)
class Setting:
    """A toxic as set on a proxy: shared by all connections of one direction, and read by their stages while they run."""

    kind: Kind
    name: str
    stream: str
    toxicity: float = 1.0
    attributes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.attributes = {name: self.attributes.get(name, 0) for name in self.kind.attributes}

    def change(self, given: Fields) -> None:
        """Take new attributes and toxicity; what is not given stays. Refusal 400 leaves all as it was."""
        inner = given.object("attributes")
        attributes = {name: inner.whole(name, old) for name, old in self.attributes.items()}
        toxicity = given.number("toxicity", self.toxicity)
        self.attributes, self.toxicity = attributes, toxicity

    def shown(self) -> dict[str, object]:
        """As the HTTP API shows it."""
        return {
            "attributes": self.attributes,
            "name": self.name,
            "type": self.kind.name,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }


async def passing(stage: "Stage") -> None:
    """Everything at once: what a toxic does to connections that its toxicity spares."""
    while await stage.front():
        await stage.room()
        stage.give()
    stage.close()


async def _latency(stage: "Stage") -> None:
    """Each chunk leaves latency ± jitter after it came, however many are under way."""
    while chunk := await stage.front():
        delay, jitter = stage.attribute("latency"), stage.attribute("jitter")
        if jitter > 0:
            delay += stage.random().randrange(2 * jitter) - jitter
        due = chunk.arrived + delay / 1000
        await stage.sleep(due - stage.now())
        chunk.arrived = due  # a second latency behind this one counts from here
        await stage.room()
        stage.give()
    stage.close()


async def _bandwidth(stage: "Stage") -> None:
    """``rate`` KB/s, in pieces of a tenth of a second; 0 holds everything and drops nothing."""
    owed = 0.0  # seconds that the bytes given so far should still have taken
    while chunk := await stage.front():
        rate = stage.attribute("rate")
        if rate <= 0:
            await stage.sleep(float("inf"))
        owed += len(chunk.data) / (rate * 1000)
        while len(chunk.data) > rate * 100:
            began = stage.now()
            await stage.sleep(_SLICE)
            await stage.room()
            stage.give(rate * 100)
            owed -= stage.now() - began
        began = stage.now()
        await stage.sleep(owed)
        owed -= stage.now() - began  # the clock is coarse: the next chunk makes up for it
        await stage.room()
        stage.give()
    stage.close()


async def _slow_close(stage: "Stage") -> None:
    """Data at once, the end after ``delay``."""
    while await stage.front():
        await stage.room()
        stage.give()
    await stage.sleep(stage.attribute("delay") / 1000)
    stage.close()


async def _timeout(stage: "Stage") -> None:
    """Every byte is lost. The connection closes after ``timeout`` without any; 0 waits for ever."""
    limit = stage.attribute("timeout") / 1000
    try:
        while await stage.front(limit if limit > 0 else None):
            stage.drop()
    except TimeoutError:
        pass
    stage.close()


async def _reset_peer(stage: "Stage") -> None:
    """At the first chunk or the end: wait, then close. That it is a RST is the sockets' doing, set when they were opened."""
    await stage.front()
    stage.doom(stage.attribute("timeout") / 1000)


async def _slicer(stage: "Stage") -> None:
    """Chunks of ``average_size`` ± ``size_variation`` bytes, ``delay`` microseconds apart."""
    due = stage.now()
    while chunk := await stage.front():
        for size in _sizes(len(chunk.data), stage):
            await stage.room()
            stage.give(size)
            # Delays below the clock's resolution add up, so that the pace is right on average.
            due = max(due, stage.now() - 0.01) + stage.attribute("delay") / 1_000_000
            await stage.sleep(due - stage.now(), holding=stage.begun)
    stage.close()


def _sizes(length: int, stage: "Stage") -> list[int]:
    """Halve, roughly, until a piece is no longer than average plus variation; a piece is at least one byte."""
    average, variation = max(1, stage.attribute("average_size")), stage.attribute("size_variation")
    open_, found = [length], []
    while open_:
        size = open_.pop()
        if size <= 1 or size - average <= variation:
            found.append(size)
            continue
        middle = size // 2
        if variation > 0:
            middle += stage.random().randrange(2 * variation) - variation
        middle = min(max(1, middle), size - 1)
        open_ += (size - middle, middle)  # the left one is looked at first
    return found


async def _limit_data(stage: "Stage") -> None:
    """Close when ``bytes`` have passed: counted per connection since the toxic came, through all its changes."""
    while chunk := await stage.front():
        await stage.room()
        left = max(0, stage.attribute("bytes") - stage.passed)
        if left:
            stage.passed += min(left, len(chunk.data))
            stage.give(min(left, len(chunk.data)))
        if stage.passed >= stage.attribute("bytes"):
            break
    stage.close()


KINDS = {
    kind.name: kind
    for kind in (
        Kind("bandwidth", ("rate",), _bandwidth),
        Kind("latency", ("latency", "jitter"), _latency, room=1024),
        Kind("limit_data", ("bytes",), _limit_data),
        Kind("noop", (), passing),
        Kind("reset_peer", ("timeout",), _reset_peer, closes_by_reset=True),
        Kind("slicer", ("average_size", "size_variation", "delay"), _slicer),
        Kind("slow_close", ("delay",), _slow_close),
        Kind("timeout", ("timeout",), _timeout, closes_when_removed=True),
    )
}
