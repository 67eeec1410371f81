"""A spot of the graph: what a crash, or the end of a delivery, leaves, and how it came to that."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from harness.model.exploration import Delivery, Ending, Message, Outcome, Stop
from harness.ports.exploring import Node

__all__ = ["FINAL", "Spot", "Step", "is_the_same", "killed_spot"]

#: Ends after which the caller is told something; a retry or a kill is none.
FINAL = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED, Outcome.REJECTED, Outcome.DIED, Outcome.ENDLESS)


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery of a path, as it went.

    ``struck``: the stop where it was killed; None where it ran to its end. ``effect``: the stop whose call was the last that changed
    anything before that. ``ending``: None of one that was killed.
    """

    delivery: Delivery
    message: Message
    struck: Stop | None
    effect: Stop | None
    ending: Ending | None
    forked: bool = False  # what it had published stays, and its own message comes back
    origin: Hashable = None  # key of the spot in which it was delivered


@dataclass(frozen=True)
class Spot:
    """``back``: the message that the broker gives back, not yet in the node's queue. ``ends``: task id -> how it ended last.

    ``lost``: a delivery was killed after its message had been acknowledged. ``excused``: likewise, of a task that is declared to be
    lost like that, which is not the one that is explored.
    """

    node: Node
    steps: tuple[Step, ...] = ()
    back: Message | None = None
    ends: Mapping[str, Outcome] = field(default_factory=dict)
    lost: bool = False
    excused: bool = False

    @property
    def path(self) -> tuple[Delivery, ...]:
        """What leads here from the first node."""
        return tuple(step.delivery for step in self.steps)

    @property
    def kills(self) -> int:
        """How many of its deliveries were killed, or had their ack lost."""
        return sum(step.delivery.killed_at is not None for step in self.steps)

    @property
    def waiting(self) -> int:
        """How many messages will be in the broker."""
        return len(self.node.pending) + (self.back is not None)

    @property
    def kills_after_fork(self) -> int:
        """Kills after one that left what its delivery had published beside the message itself. -1 where there was none."""
        forked = next((n for n, step in enumerate(self.steps) if step.forked), None)
        return -1 if forked is None else sum(step.delivery.killed_at is not None for step in self.steps[forked + 1 :])

    @property
    def undisturbed(self) -> int:
        """Deliveries since the last kill."""
        return len(self._since_the_last_kill())

    @property
    def chain(self) -> tuple[Hashable, ...]:
        """Keys of the spots that it went through since the last kill."""
        return tuple(step.origin for step in self._since_the_last_kill())

    def _since_the_last_kill(self) -> tuple[Step, ...]:
        killed = [n for n, step in enumerate(self.steps, 1) if step.delivery.killed_at is not None]
        return self.steps[killed[-1] if killed else 0 :]

    @cached_property
    def key(self) -> Hashable:
        """Equal only for spots that no delivery could tell apart, and that would be judged alike.

        How an earlier delivery of a message ended counts no more once it is delivered again.
        """
        open_ids = {message.id for message in self.node.pending} | ({self.back.id} if self.back else set())
        ends = frozenset((i, outcome) for i, outcome in self.ends.items() if i not in open_ids)
        back = self.back and (self.back.id, self.back.retries, self.back.redelivered, repr(sorted(self.back.raw.items(), key=str)))
        return (self.node.key, back, ends, (self.lost, self.excused), self.kills_after_fork)


def killed_spot(
    spot: Spot, delivery: Delivery, message: Message, back: Message | None, left: Node, stop: Stop, effect: Stop | None, *, excused: bool
) -> Spot:
    """What a kill at a stop leaves. ``back``: the message, where the broker gives it back; ``excused``: else it may be lost."""
    step = Step(delivery, message, stop, effect, None, forked=len(left.pending) >= spot.waiting, origin=spot.key)
    lost, excused = back is None and not excused, back is None and excused
    return Spot(left, (*spot.steps, step), back, spot.ends, spot.lost or lost, spot.excused or excused)


def is_the_same(one: Node, other: Node) -> bool:
    """Of two stops of one delivery: is it one world, row by row? A transaction makes many such stops."""
    return one.key == other.key and one.world == other.world
