"""What the broker holds once a message has come back to its queue: read once, and the same whenever that message comes back to that."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from harness.explore.confirm import Contradiction
from harness.explore.lives import OUR_ERROR
from harness.model.exploration import Message
from harness.ports.exploring import ForeseesReturns, Node, Surroundings
from harness.ports.queues import Kept

__all__ = ["Returning", "Returns"]

_REMEMBERED = 200
#: Of so many times that a message comes back one is looked at, although it is known what will be there.
_LOOKED_AT = 8


class Returns:
    """Is told of what happens to the broker, in order."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Kept] = OrderedDict()
        self._now: Kept | None = None  # what it holds, where that is known
        self._asked: Hashable = None  # what is learnt by the next reading

    def moved(self, to: Kept | None = None) -> None:
        """It holds this now; None: nobody knows."""
        self._now, self._asked = to, None

    def came(self, message: Message) -> None:
        """To its queue."""
        self._now, self._asked = None, _key(self._now, message) if self._now is not None else None

    def read(self, kept: Kept) -> None:
        """This is what it held."""
        if self._asked is not None:
            self._known[self._asked] = kept
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        self._asked = None

    def of(self, kept: Kept, message: Message) -> Kept | None:
        """What it would hold; None where it was never read."""
        key = _key(kept, message)
        return None if key is None else self._known.get(key)


class Returning:
    """Worlds with a message back in its queue."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._foresees = surroundings if isinstance(surroundings, ForeseesReturns) else None
        self._times = 0

    def back(self, node: Node, message: Message) -> Node:
        """This one, as a look would show it; now and then it does. Contradiction where that shows something else than was foreseen."""
        foreseen = self._foresees.with_message(node, message) if self._foresees is not None else None
        self._times += 1
        if foreseen is not None and self._times % _LOOKED_AT:
            return foreseen
        later = self._surroundings.restore(node)
        self._surroundings.put_back(message)
        found = self._surroundings.look(later)
        if foreseen is not None and foreseen.key != found.key:
            raise Contradiction("a message came back to its queue, and another world is there than was foreseen", hint=OUR_ERROR)
        return found


def _key(kept: Kept, message: Message) -> Hashable:
    """None where an image cannot be compared."""
    key = (kept.image, message.id, message.retries, repr(sorted(message.raw.items(), key=str)))
    try:
        hash(key)
    except TypeError:
        return None
    return key
