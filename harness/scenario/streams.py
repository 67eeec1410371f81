"""What must hold within one stream of the load, told at the key that is wrong: words of another arrival, and what cannot be prepared."""

from __future__ import annotations

from harness.model.quantities import format_duration
from harness.model.scenario import LoadItem, Scenario
from harness.scenario.errors import Problems
from harness.scenario.extent import at_most_calls
from harness.scenario.names import listed
from harness.scenario.tree import Fields, find, place_of

__all__ = ["MAX_PREPARED", "check_streams"]

#: Messages that are made before the load begins lie in the producer's memory, about 4 KB each.
MAX_PREPARED = 500_000

#: Key -> the arrivals that it means something to.
_BELONGS = {
    "start_rate": ("ramp",),
    "rates": ("step",),
    "peak": ("spike",),
    "peak_at": ("spike",),
    "peak_for": ("spike",),
    "low": ("diurnal",),
    "period": ("diurnal",),
    "every": ("burst",),
    "trace": ("trace",),
    "speed": ("trace",),
}
#: What an arrival has no use for, and why.
_USELESS = {
    "step": {"rate": "the steps' rates stand in `rates`", "count": "its `rates` and `for` say how many"},
    "burst": {"rate": "its `count` calls come at once"},
    "ramp": {"count": "its rates and `for` say how many"},
    "spike": {"count": "its rates and `for` say how many"},
    "diurnal": {"count": "its rates and `for` say how many"},
    "trace": {
        "rate": "its lines say when",
        "count": "its lines say how many",
        "for": "its lines say how long",
    },
}
_WRITTEN = {"ramp": "a ramp", "step": "a step", "spike": "a spike", "diurnal": "a diurnal stream", "burst": "a burst", "trace": "a trace"}
_SINGLE = ("args", "kwargs", "queue", "countdown", "eta", "expires", "priority")
_FROM_THE_PUBLISH = ("countdown", "eta", "expires")


def check_streams(scenario: Scenario, tree: Fields, problems: Problems) -> None:
    """Every stream of the load."""
    for number, item in enumerate(scenario.load):
        written = {key for key in (*_BELONGS, "rate", "count", "for", *_SINGLE) if find(tree, "load", number, key) is not None}
        stream = _Stream(number, item, written, tree, problems)
        stream.check_arrival()
        stream.check_shape()
        stream.check_single()
        if item.prepare:
            stream.check_prepared()


class _Stream:
    def __init__(self, number: int, item: LoadItem, written: set[str], tree: Fields, problems: Problems) -> None:
        self.number, self.item, self.written, self.tree, self.problems = number, item, written, tree, problems

    def wrong(self, key: str, what: str, hint: str = "") -> None:
        self.problems.add(place_of(self.tree, ("load", self.number, key), key=True), what, hint)

    def check_arrival(self) -> None:
        """Words that the stream's kind of arrival would silently ignore."""
        arrival = self.item.arrival
        for key, owners in _BELONGS.items():
            if key in self.written and arrival not in owners:
                self.wrong(key, f"`{key}` belongs to arrival: {listed(owners, 'or')}")
        for key, why in _USELESS.get(arrival, {}).items():
            if key in self.written:
                self.wrong(key, f"{_WRITTEN[arrival]} has no `{key}`: {why}")

    def check_shape(self) -> None:
        """Shapes that would not be what they are called."""
        item = self.item
        if item.arrival == "spike" and item.duration is not None and item.peak_at is not None and item.peak_for is not None:
            over = item.peak_at + item.peak_for
            if over > item.duration:
                self.wrong("peak_for", f"the peak is over after {format_duration(over)}, the stream after {format_duration(item.duration)}")
        if item.arrival == "diurnal" and item.rate is not None and (item.low or 0.0) > item.rate:
            self.wrong("low", "`low` is above `rate`: a day begins with its lowest rate")

    def check_single(self) -> None:
        if self.item.send is None:
            for key in _SINGLE:
                if key in self.written:
                    self.wrong(key, f"`{key}` belongs to the single calls of a chain, group or chord, not beside it")

    def check_prepared(self) -> None:
        """A message that is made before the load must not depend on when it is sent."""
        for key in ("chain", "group", "chord"):
            if getattr(self.item, key):
                self.wrong("prepare", f"a {key} cannot be prepared: what it sends depends on results", "prepare single calls (`send`)")
        for key in _FROM_THE_PUBLISH:
            if key in self.written:
                self.wrong(key, f"`{key}` counts from the publish, so messages with it cannot be prepared", "leave out `prepare`")
        calls = at_most_calls(self.item)
        if calls > MAX_PREPARED:
            what = f"about {calls:,} messages would be prepared; at most {MAX_PREPARED:,} fit into the producer's memory"
            self.wrong("prepare", what, "lower `rate` or `for`, or leave out `prepare`")
