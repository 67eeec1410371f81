"""Runs deliveries in children of one warm process, and stops each before every effect: seccomp user notification (Linux)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.explore.delivering import Delivering
from harness.explore.from_zygote import FromZygote
from harness.explore.inherited import unseen_from_the_beginning
from harness.explore.leading import Leading
from harness.explore.process_memory import ProcessMemory
from harness.explore.shared_page import SharedPage
from harness.explore.stops import Decoder
from harness.explore.targets import Targets
from harness.explore.trying import refusal
from harness.explore.zygote_client import Child, Refused, Zygote
from harness.ports.exploring import Launch

__all__ = ["EffectStops"]


class EffectStops(FromZygote):
    """See `FromZygote`."""

    name = "effects"

    def __init__(self, launch: Launch) -> None:
        self.sampled = ""
        super().__init__(launch, Zygote(launch))
        self._memory = ProcessMemory()
        self._targets = Targets(launch.services, launch.folders, launch.log)
        self._leading: Leading | None = None
        self._decoder: Decoder | None = None

    def call(self, request: Mapping[str, Any], environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """See `CallsEarly`. Not at lines: the clocks of that process are its own."""
        return self._zygote.call(request, environment, log)

    def start(self) -> Mapping[str, Any]:
        """See `FromZygote`. `Refused` where the kernel does not do what is needed."""
        if not sys.platform.startswith("linux"):
            raise Refused(f"this is {sys.platform}")
        return super().start()

    def _begin(self, told: Mapping[str, Any]) -> None:
        if why := told["no_filter"] or told["no_reaper"]:
            raise Refused(why)
        self._leading = Leading(self._launch.names)
        names = {int(number): name for number, name in told["calls"].items()}
        self._decoder = Decoder(names, self._targets, self._memory, self._zygote.pid)
        try:
            first = self._zygote.take()
            self._zygote.spare = first  # nothing has been done with it
            if why := refusal(first, self._zygote.pid, self._memory):
                raise Refused(why)
        except Refused:
            self._zygote.demand_life()
            raise
        self._memory.forget()
        self.sampled = unseen_from_the_beginning(self._zygote.pid, self._targets, told["connected"])
        if not self.sampled and (asked := told.get("asked_at_import")):
            what = f"the app reads or changes {self._targets.of_file(asked[0])} while it is imported"
            self.sampled = f"{what}, and a worker that is started again does so in another world"

    def files(self) -> Sequence[str]:
        """See `KnowsFiles`."""
        return sorted({*super().files(), *(self._decoder.given if self._decoder is not None else ())})

    def _delivery(self, child: Child, page: SharedPage, *, learns: bool) -> Delivering:
        assert self._decoder is not None and self._leading is not None
        return Delivering(
            child,
            self._zygote,
            page,
            self._decoder,
            self._targets,
            self._memory,
            self._leading,
            clock=not self.no_clock,
            wants_pages=learns,
        )

    def _end(self, child: Child) -> None:
        Delivering.end_of(child, self._zygote, self._memory)

    def _forget(self) -> None:
        self._memory.forget()
        if self._decoder is not None:
            self._decoder.forget()

    def close(self) -> None:
        """See `Mechanism`."""
        super().close()
        if self._leading is not None:
            self._leading.close()
            self._leading = None
