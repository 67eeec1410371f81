"""What the network faults share: toxics on every link between two parts, lifted again, and the traffic meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.errors import HarnessError
from harness.faults._base import BaseFault, never_begun
from harness.faults._signs import Span, contested, evidence_of, felt, idle, passed, sent_within, span_of, touched
from harness.model.history import Evidence, FaultRecord, History
from harness.ports.fault import Begun, FaultParameters
from harness.ports.network import Link, ShapesNetwork, Stream, Toxic, Traffic

__all__ = ["BetweenParameters", "Direction", "NetworkFault", "SlowNetworkFault"]

Direction = Literal["both", "upstream", "downstream"]

#: Numbers the faults of this process: two of them on one link must not lift each other's toxics.
_numbers = itertools.count(1)
_IDLE = "no task ran and nothing was sent meanwhile"
_POLLED = "nothing was sent meanwhile: a worker that only asks for work loses none"


class BetweenParameters(FaultParameters):
    """Two parts that talk to one another, in either order."""

    between: tuple[str, ...] = Field(
        min_length=2,
        max_length=2,
        description="a worker group, one replica or `producer`; and broker, backend or a service with an address",
    )
    direction: Direction = Field(
        default="both", description="upstream: what the client (worker, producer) sends; downstream: what it receives"
    )


class NetworkFault(BaseFault):
    """Adds `toxics` to each link between the two parts; subclasses that do more override `apply`, `lift` and `lifted`."""

    Parameters: ClassVar[type[FaultParameters]] = BetweenParameters
    needs: ClassVar[tuple[type[Any], ...]] = (ShapesNetwork,)

    def __init__(self, parameters: Any, rng: random.Random) -> None:
        super().__init__(parameters, rng)
        self.number = next(_numbers)
        self.kept_words = "bytes held"
        self._hit: dict[tuple[str, str], Link] = {}  # also one that was hit in part only
        self._done: set[tuple[str, str]] = set()
        self._before: dict[tuple[str, str], Traffic] = {}
        self._meanwhile: Traffic | None = None  # all links together; None: not counted
        self._started = time.monotonic()
        self._applied = 0.0  # seconds after its beginning: when the last link was hit
        self._lifted = float("inf")  # the same: when healing began

    # --- what subclasses say ------------------------------------------------------------------------------------

    def toxics(self) -> Sequence[Toxic]:
        """What is done to each link."""
        return ()

    def toxic(self, type: str, stream: Stream, **attributes: int) -> Toxic:
        """One under a name that is this fault's own."""
        return Toxic(type, stream, attributes, name=f"fault{self.number}-{type}-{stream}")

    def streams(self) -> Sequence[Stream]:
        """The directions that are hit."""
        asked: Direction = self.parameters.direction
        return ("upstream", "downstream") if asked == "both" else (asked,)

    def apply(self, link: Link) -> None:
        """Disturb one link."""
        for toxic in self.toxics():
            link.add(toxic)

    def lift(self, link: Link) -> None:
        """Undo it, however much of it was done."""
        for toxic in self.toxics():
            link.remove(toxic.label)

    def lifted(self, link: Link) -> bool:
        """Probe: is nothing of this fault left on the link?"""
        return not {toxic.label for toxic in self.toxics()} & set(link.toxics())

    # --- the fault ----------------------------------------------------------------------------------------------

    def begin(self, system: ShapesNetwork) -> Begun:
        """Hit every link; where one fails, those that were hit are healed before the error is told."""
        self._started = time.monotonic()
        with self.healing_what_fails(system):
            self._hit_links(system)
        self._applied = time.monotonic() - self._started
        first, second = self.parameters.between
        links = len(self._hit)
        return Begun(f"{first} and {second}", note=f"{links} link{'s' if links != 1 else ''}")

    def tick(self, system: ShapesNetwork) -> None:
        """A worker that came meanwhile brings links of its own."""
        self._hit_links(system)

    def _hit_links(self, system: ShapesNetwork) -> None:
        for link in system.links(self.parameters.between):
            key = (link.client, link.dependency)
            if key in self._done:
                continue
            if key not in self._hit:
                with contextlib.suppress(HarnessError):  # a proxy that does not count can be disturbed all the same
                    self._before[key] = link.traffic()
                self._hit[key] = link
            self.apply(link)
            self._done.add(key)

    def end(self, system: ShapesNetwork) -> None:
        """Count what went through, then lift: a link that cannot be healed keeps no other from it."""
        self._lifted = min(self._lifted, time.monotonic() - self._started)
        if self._meanwhile is None:
            with contextlib.suppress(HarnessError):
                self._meanwhile = self._traffic()
        failed: HarnessError | None = None
        for link in self._hit.values():
            try:
                self.lift(link)
            except HarnessError as exc:
                failed = failed or exc
        if failed is not None:
            raise failed

    def healed(self, system: ShapesNetwork) -> bool:
        """Nothing of it is left on any link."""
        return all(self.lifted(link) for link in self._hit.values())

    # --- evidence -----------------------------------------------------------------------------------------------

    def _traffic(self) -> Traffic | None:
        """Since it began, on the links whose proxy counts while connections are open; None where no proxy does.

        The Go Toxiproxy adds a connection's bytes to its counters when it ends, those of its whole life: such a sum says
        nothing about a fault, and the link says so by ``counts_live = False``.
        """
        counted = [
            link.traffic().since(self._before[key])
            for key, link in self._hit.items()
            if key in self._before and getattr(link, "counts_live", True)
        ]
        if not counted:
            return None
        return Traffic(*(sum(getattr(t, name) for t in counted) for name in Traffic.__slots__))

    @property
    def kept(self) -> int:
        """Bytes that a link took in and did not give out while the fault lasted."""
        return self._meanwhile.kept if self._meanwhile is not None else 0

    @property
    def clients(self) -> frozenset[str]:
        """Whose links were hit: pay-1, producer."""
        return frozenset(client for client, _ in self._hit)

    @property
    def dependency(self) -> str:
        """What they lead to."""
        return next((dependency for _, dependency in self._hit), "")

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """What clients felt of it. Bytes that did not come through are told beside that and prove nothing alone: a worker with nothing
        to do asks for work all the same, a pool keeps its connections alive while a task does something else, and a proxy that counts too
        late sees none of it: one scenario has one verdict on each.
        """
        if record.begun is None:
            return never_begun(record)
        seen = felt(record, history, self.clients, self.dependency)
        if self.dependency == "broker":
            return self._of_broker(record, history, seen)
        if seen:
            return evidence_of({**({self.kept_words: float(self.kept)} if self.kept else {}), **seen}, quiet=None, otherwise="")
        counted = f"{self.kept} {self.kept_words}" if self.kept else "no byte was seen held"
        if idle(history, self.clients, span_of(record)):
            return evidence_of({}, quiet=True, otherwise=f"{counted}, while no task ran and nothing was sent" if self.kept else _IDLE)
        whose = ", of whom is not known, and" if self.kept else ", and"
        return evidence_of({}, quiet=None, otherwise=f"{counted}{whose} nobody is known to have noticed")

    def _of_broker(self, record: FaultRecord, history: History, seen: dict[str, float]) -> Evidence:
        """By what their work needed of the broker: that is known wherever it runs, and whoever counts the bytes."""
        if sent := sum(sent_within(history, self.clients, self._cut_between(record.begun or 0.0))) if self.holds_what_is_sent else 0:
            seen = {**seen, "sent": float(sent)}
        work = touched(history, self.clients, span_of(record))
        if self.kept and (seen or work):
            seen = {self.kept_words: float(self.kept), **seen}
        if work:
            return evidence_of(seen, quiet=None, otherwise="no byte was seen held, and nobody is known to have noticed")
        if contested(record, history, self.clients):
            return evidence_of(seen, quiet=None, otherwise="what was noticed, another fault explains as well")
        return evidence_of(seen, quiet=True, otherwise=_POLLED)

    @property
    def holds_what_is_sent(self) -> bool:
        """Whatever its clients send does not arrive while it lasts."""
        return "upstream" in self.streams()

    def _cut_between(self, begun: float) -> Span:
        """When no link let anything through: making and healing it take their time."""
        return Span(begun + self._applied, begun + self._lifted)


class SlowNetworkFault(NetworkFault):
    """Everything arrives, later: it bit where something went through."""

    def evidence(self, record: FaultRecord, history: History) -> Evidence:
        """What is known to have passed while it lasted; nothing: nobody was slowed. Bytes prove nothing alone, as in `NetworkFault`."""
        if record.begun is None:
            return never_begun(record)
        span = span_of(record)
        seen = {name: count for name, count in felt(record, history, self.clients, self.dependency).items() if name == "slowed"}
        if self.dependency == "broker":
            if work := touched(history, self.clients, span):
                seen = {**self._passed(), "passed": float(work)}
            return evidence_of(seen, quiet=True, otherwise=_POLLED)
        if messages := passed(history, self.clients, self.dependency, span):
            seen = {"passed": float(messages), **seen}
        if seen:
            return evidence_of({**self._passed(), **seen}, quiet=None, otherwise="")
        through = self._meanwhile.passed if self._meanwhile is not None else None
        if through == 0:
            return evidence_of({}, quiet=True, otherwise="no byte passed while it lasted")
        if idle(history, self.clients, span):
            return evidence_of(
                {}, quiet=True, otherwise=_IDLE if through is None else f"{through} bytes passed, while no task ran and nothing was sent"
            )
        counted = "the proxy counts too late to tell whether anything passed" if through is None else f"{through} bytes passed"
        return evidence_of({}, quiet=None, otherwise=f"{counted}; nothing that a task did is known to be among it")

    def _passed(self) -> dict[str, float]:
        return {"bytes passed": float(self._meanwhile.passed)} if self._meanwhile is not None and self._meanwhile.passed else {}
