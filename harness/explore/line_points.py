"""Runs deliveries in children of one warm process, and stops each at every line of the user's: where the kernel stops nobody at effects.

Nothing but fork, a socket and signals is asked of the machine. What happens inside of a line is one step here, so nothing is proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.explore.from_zygote import FromZygote
from harness.explore.line_delivery import LineDelivery, end_of
from harness.explore.shared_page import SharedPage
from harness.explore.zygote_client import Child, Zygote
from harness.ports.exploring import Launch

__all__ = ["LinePoints"]


class LinePoints(FromZygote):
    """See `FromZygote`."""

    name = "lines"
    sampled = "only lines were tried: effects inside a line were not; nothing is certified"

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch, Zygote(replace(launch, command=[*launch.command, "lines"]), filtered=False))

    def _begin(self, told: Mapping[str, Any]) -> None:
        self._zygote.order()

    def _delivery(self, child: Child, page: SharedPage, *, learns: bool) -> LineDelivery:
        return LineDelivery(child, self._zygote, page, clock=not self.no_clock)

    def _end(self, child: Child) -> None:
        end_of(child, self._zygote)

    def _forget(self) -> None:
        """Each delivery has its own."""
