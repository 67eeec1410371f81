"""The observers of a run: told what happens, never in its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.model.history import Depth, Usage
from harness.ports.observer import Observer
from harness.ports.reporter import Progress

__all__ = ["Watch"]


class Watch:
    """All observers as one. One that raises is noted and asked no more, but for being told to end."""

    def __init__(
        self, observers: Sequence[Observer] = (), scenario: str = "", say: Callable[[Progress], None] = lambda event: None
    ) -> None:
        self._scenario = scenario
        self._all = tuple(observers)
        self._asked = list(observers)
        self._say = say

    def begin(self, t0: float) -> None:
        """The load begins; what they want the user to know is said."""

        def tell(observer: Observer) -> None:
            if text := observer.begin(self._scenario, t0):
                self._say(Progress(phase="note", text=text))

        self._each(tell)

    def see(self, records: Sequence[Mapping[str, Any]]) -> None:
        """New records."""
        if records and self._asked:
            self._each(lambda observer: observer.see(records))

    def sample(self, depth: Depth | None, usage: Usage | None) -> None:
        """What was sampled just now."""
        if depth is not None or usage is not None:
            self._each(lambda observer: observer.sample(depth, usage))

    def end(self) -> None:
        """It is over; also twice."""
        self._asked = list(self._all)
        self._each(lambda observer: observer.end())
        self._asked = []

    def _each(self, ask: Callable[[Observer], None]) -> None:
        for observer in list(self._asked):
            try:
                ask(observer)
            except Exception as exc:  # whatever it is, the run goes on
                self._asked.remove(observer)
                text = f"{type(observer).__name__} failed and is asked no more: {type(exc).__name__}: {exc}"
                self._say(Progress(phase="note", text=text))
