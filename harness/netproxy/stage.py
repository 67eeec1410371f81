"""One toxic at work on one direction of one connection: a queue, and a task that empties it into the next stage."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from random import Random
from typing import TYPE_CHECKING, Protocol

from harness.netproxy.toxics import Setting, passing

if TYPE_CHECKING:
    from harness.netproxy.lane import Lane

__all__ = ["Chunk", "Onward", "Stage"]


class Chunk:
    """Bytes that came together. ``arrived``: the loop's time at which they did, or at which a latency let them go."""

    __slots__ = ("arrived", "data")

    def __init__(self, data: memoryview, arrived: float) -> None:
        self.data = data
        self.arrived = arrived


class Onward(Protocol):
    """Where chunks go: the next stage, or the socket."""

    @property
    def roomy(self) -> bool:
        """May more come now?"""

    def take(self, chunk: Chunk) -> None:
        """Have it, roomy or not: nothing is lost."""

    def end(self) -> None:
        """Nothing comes after what was taken."""


class Stage:
    """The bytes that wait in front of a toxic are in its queue until they are given on, so its task may be cancelled at any await."""

    def __init__(self, lane: "Lane", setting: Setting, onward: Onward) -> None:
        self.setting = setting
        self.onward = onward
        self.passed = 0  # bytes; kept through changes
        self.begun = False  # a part of the front chunk has been given on
        self.ended = False  # nothing more comes in
        self.closed = False  # nothing more goes out
        self._lane = lane
        self._queue: deque[Chunk] = deque()
        self._task: asyncio.Task[None] | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._holding = False  # asleep over the front chunk

    # What comes in.

    @property
    def roomy(self) -> bool:
        """May more come now? A closed stage loses everything, at once."""
        return self.closed or len(self._queue) < self.setting.kind.room

    def take(self, chunk: Chunk) -> None:
        """Into the queue."""
        if not self.closed:
            self._queue.append(chunk)
            self.wake()

    def end(self) -> None:
        """The source has ended."""
        self.ended = True
        self.wake()

    # What toxics are made of.

    async def front(self, limit: float | None = None) -> Chunk | None:
        """The chunk whose turn it is, left in the queue; None at the end. TimeoutError when none came for ``limit`` seconds."""
        due = None if limit is None else self.now() + limit
        while not self._queue:
            if self.ended:
                return None
            await self._until_woken(due)
        return self._queue[0]

    async def room(self) -> None:
        """Until the next stage takes more."""
        while not self.onward.roomy:
            await self._until_woken(None)

    async def sleep(self, seconds: float, *, holding: bool = True) -> None:
        """Wait. If a change ends the wait, and the toxic is ``holding`` a chunk back by it, the chunk goes on at once."""
        self._holding = holding and bool(self._queue)
        if math.isinf(seconds):
            await self._lane.loop.create_future()
        await asyncio.sleep(max(0.0, seconds))
        self._holding = False

    def give(self, size: int | None = None) -> None:
        """The front chunk, or its first ``size`` bytes, to the next stage."""
        chunk = self._queue[0]
        if size is not None and size < len(chunk.data):
            self.onward.take(Chunk(chunk.data[:size], chunk.arrived))
            chunk.data = chunk.data[size:]
            self.begun = True
            return
        self.onward.take(self._gone())

    def drop(self) -> None:
        """Lose the front chunk."""
        self._gone()

    def close(self) -> None:
        """End what goes out; whatever still waits is lost."""
        if not self.closed:
            self.closed = True
            self._queue.clear()
            self.onward.end()
            self._lane.closed_at(self)

    def doom(self, seconds: float) -> None:
        """Close after so long, whatever happens to the toxic meanwhile."""
        self._lane.loop.call_later(seconds, self._lane.close_at, self)

    def attribute(self, name: str) -> int:
        """As it is now."""
        return self.setting.attributes[name]

    def now(self) -> float:
        """The loop's time in seconds."""
        return self._lane.loop.time()

    def random(self) -> Random:
        """The lane's own source: the same draws for the same seed, proxy, connection and direction."""
        return self._lane.random

    # What the lane does with it.

    def start(self) -> None:
        """Roll the toxicity and work: also after each change of this toxic or of the one behind it."""
        if self.closed:
            return
        toxicity = self.setting.toxicity
        hit = toxicity >= 1 or self._lane.random.random() < toxicity
        self._task = self._lane.loop.create_task(self.setting.kind.pipe(self) if hit else passing(self))
        self._task.add_done_callback(self._lane.check)

    def interrupt(self) -> None:
        """Stop working; a chunk that was held back goes on now, the rest stays."""
        self.stop()
        if self._holding and self._queue:
            self.onward.take(self._gone())
        self._holding = False

    def stop(self) -> None:
        """No more work; bytes stay where they are."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def leave(self) -> None:
        """Out of the chain: all that waits goes on at once, and so does the end."""
        while self._queue:
            self.onward.take(self._gone())
        if self.ended:
            self.onward.end()
        self.closed = True

    def wake(self) -> None:
        """Something changed that its task may wait for."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def _gone(self) -> Chunk:
        self.begun = False
        chunk = self._queue.popleft()
        self._lane.moved(self)
        return chunk

    async def _until_woken(self, due: float | None) -> None:
        self._wakeup = wakeup = self._lane.loop.create_future()
        if due is None:
            await wakeup
            return
        left = due - self.now()
        if left <= 0:
            raise TimeoutError
        timer = self._lane.loop.call_later(left, self.wake)
        try:
            await wakeup
        finally:
            timer.cancel()
