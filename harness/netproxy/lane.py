"""One direction of one connection: from a socket, through the toxics if there are any, to the other socket.

Without toxics a chunk goes from socket to socket in one call. Both ways of working keep the bytes in order and slow the
sender down when the receiver is slow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from harness.netproxy.metrics import Counter
from harness.netproxy.stage import Chunk, Onward, Stage
from harness.netproxy.toxics import Setting

if TYPE_CHECKING:
    from harness.netproxy.connection import Side

__all__ = ["Lane"]

#: Toxics see chunks of at most this many bytes, as in Toxiproxy.
_CHUNK = 32 * 1024
_log = logging.getLogger(__name__)


class Lane:
    """``label`` names seed, proxy, connection and direction: it seeds the lane's randomness."""

    def __init__(self, source: "Side", target: "Side", counter: Counter, label: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.source = source
        self.target = target
        self.counter = counter
        self.stages: list[Stage] = []
        self.roomy = True  # as the last stage sees the socket
        self.write: Callable[[memoryview | bytes], None] = target.write
        self._label = label
        self._random: Random | None = None
        self.deaf = False  # what comes from the source is lost
        self._over = False  # the target gets nothing more

    @property
    def random(self) -> Random:
        """Made when first asked for: most lanes need none."""
        if self._random is None:
            self._random = Random(self._label)
        return self._random

    # From the source.

    def arrive(self, data: bytes) -> None:
        """A chunk, where there are toxics: without them the source hands it straight to ``write``."""
        self.counter.received += len(data)
        if self.deaf:
            return
        now, whole = self.loop.time(), memoryview(data)
        for at in range(0, len(data), _CHUNK):
            self._first.take(Chunk(whole[at : at + _CHUNK], now))
        self._regulate()

    def source_ended(self) -> None:
        """The source sent its last byte, or is gone: the target is closed once what is under way has arrived."""
        self._first.end()

    @property
    def _first(self) -> Onward:
        return self.stages[0] if self.stages else self

    # To the target: what the last stage, or the source itself, gives to.

    def take(self, chunk: Chunk) -> None:
        """Onto the socket."""
        if not self._over:
            self.counter.sent += len(chunk.data)
            self.write(chunk.data)

    def end(self) -> None:
        """Close the target; there is no half-close, as in Toxiproxy."""
        if not self._over:
            self._over = True
            self.target.close()

    def target_lost(self) -> None:
        """Nothing can arrive any more: what is under way is lost."""
        self._over = self.deaf = True
        for stage in self.stages:
            stage.stop()
            stage.closed = True
        self.source.choose()
        self._regulate()

    # Flow control.

    def target_full(self) -> None:
        """The target does not keep up."""
        self.roomy = False
        self._regulate()

    def target_drained(self) -> None:
        """The target takes more."""
        self.roomy = True
        if self.stages:
            self.stages[-1].wake()
        self._regulate()

    def moved(self, stage: Stage) -> None:
        """A chunk has left ``stage``: whoever waits for room in it may go on."""
        if self.stages and stage is self.stages[0]:
            self._regulate()
            return
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            if after is stage:
                before.wake()

    def _regulate(self) -> None:
        self.source.read_on(self.deaf or self._first.roomy)

    # Changes of the chain. Bytes under way are never lost, nor is their order, except where a toxic's removal closes.

    def furnish(self, chain: Sequence[Setting]) -> None:
        """The toxics that are there when the connection opens."""
        for setting in chain:
            self._append(setting)
        for stage in self.stages:
            stage.start()

    def add(self, setting: Setting) -> None:
        """A toxic at the end of the chain."""
        if self.stages:
            self.stages[-1].interrupt()
        self._append(setting)
        for stage in self.stages[-2:]:
            stage.start()
        self._regulate()

    def _append(self, setting: Setting) -> None:
        stage = Stage(self, setting, self)
        if self.stages:
            if self.stages[-1].closed:  # the end has passed this point already
                stage.closed = True
            self.stages[-1].onward = stage
        self.stages.append(stage)
        self.source.choose()

    def change(self, index: int) -> None:
        """The toxic at ``index`` has new settings."""
        self.stages[index].interrupt()
        self.stages[index].start()

    def remove(self, index: int) -> None:
        """The toxic at ``index`` is gone."""
        stage = self.stages[index]
        before = self.stages[index - 1] if index else None
        if before is not None:
            before.interrupt()
        stage.interrupt()
        if stage.setting.kind.closes_when_removed:
            stage.close()
        if not stage.closed:
            stage.leave()
        del self.stages[index]
        if before is not None:
            before.onward = stage.onward
            before.start()
        self.source.choose()
        self._regulate()

    def closed_at(self, stage: Stage) -> None:
        """Nothing goes past ``stage`` any more, so what is in front of it is lost, as is all that may still come."""
        self.deaf = True
        if stage in self.stages:
            for earlier in self.stages[: self.stages.index(stage)]:
                earlier.stop()
                earlier.closed = True
        self.source.choose()
        self._regulate()

    def close_at(self, stage: Stage) -> None:
        """A reset falls due at ``stage``; one that has left the chain closes the target."""
        if stage in self.stages:
            stage.close()
        else:
            self.end()

    def check(self, task: asyncio.Task[None]) -> None:
        """A toxic that broke cuts the connection: it never passes for a healthy one."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s: a toxic failed, the connection is closed", self._label, exc_info=error)
            self.source.abort()
            self.target.abort()
