"""What the explorer visits and what it says about a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = [
    "Coverage",
    "Delivery",
    "Drawn",
    "DrawnSet",
    "Ending",
    "Exploration",
    "Flaw",
    "Message",
    "Outcome",
    "Place",
    "Rerun",
    "Stop",
    "Wake",
]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the user's code. ``file`` relative to the project; ``hit``: how often the line had run in this delivery, from 1.

    ``inner``: the line where it happened, "tools.py:41, request", where that is in a function that this one calls and others call too.
    """

    module: str
    function: str  # qualified name
    file: str
    line: int
    hit: int = 1
    inner: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """The task stands before a call to the kernel that others can notice, or before a line of the user's. A SIGKILL here: it never happens.

    ``number`` counts from 1 in its delivery. ``identity``: what makes two stops of two executions the same, equal on every run of a
    task that is deterministic: the call and what it is done to, without numbers that vary (descriptors, addresses, ports).
    """

    number: int
    call: str  # sendto, pwrite64, rename, …; line
    kind: str  # net, file, other
    target: str  # service and what of it, as far as known: "card_api", "db: shop.sqlite3-journal", "files: invoice.pdf"
    words: str  # "POST /charges sent to card_api", "rename invoice.tmp to invoice.pdf"
    identity: str
    place: Place | None = None  # only where lines are recorded
    slept: float = 0.0  # seconds by which the task's clock had gone on while it slept, up to here; less those for which it stood at stops
    exact: bool = True  # False: other threads or processes of the task run on while it stands: what is seen may not last


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the task that a worker would get, as the broker holds it.

    ``raw``: headers, properties and body as they were published, what a child needs to run it. ``eta`` in seconds after now at the
    time of observation, 0 for at once.
    """

    id: str
    task: str
    retries: int
    redelivered: bool
    eta: float
    raw: Mapping[str, Any]


class Outcome(str, Enum):
    """How an execution ended, in Celery's words; KILLED: we did it; DIED: it ended by itself without an answer; ENDLESS: over its limit."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    RETRY = "RETRY"
    IGNORED = "IGNORED"
    REJECTED = "REJECTED"
    KILLED = "KILLED"
    DIED = "DIED"
    ENDLESS = "ENDLESS"


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of one delivery."""

    outcome: Outcome
    stops: tuple[Stop, ...]
    result: str = ""  # repr, cut
    error: str = ""  # "IntegrityError: UNIQUE constraint failed: …"
    traceback: str = ""
    requeue: bool = False  # of REJECTED
    returned: bool = False  # of FAILURE: the task did its work, but its result could not be stored
    place: Place | None = None  # of an error: the user's innermost line; where it returned, if its result could not be stored
    doubts: tuple[str, ...] = ()  # why what was seen is not all there is: mmap, io_uring, threads
    undeclared: tuple[str, ...] = ()  # connections that were refused: "api.example.com:443"
    slept: float = 0.0  # seconds by which the task's clock went on while it slept, which cost no time; less those for which it stood


@dataclass(frozen=True, slots=True)
class Delivery:
    """One step of a path: after ``wait`` seconds the message at this place among those pending is run.

    ``killed_at``: number of the stop where it is killed; None: it runs to its end.
    """

    message: int = 0
    killed_at: int | None = None
    wait: float = 0.0
    warm: bool = False  # in a process that has run the task before


@dataclass(frozen=True, slots=True)
class Rerun:
    """How real workers on a real broker go the way of a flaw. ``refused``: why they cannot; '' where they can."""

    ends: tuple[Outcome, ...]  # of each delivery of the path; one that was to be killed and was not has had its ack lost
    against: str  # what `differences` are from: done, what a clean execution leaves; undone, the world before the call
    redelivery: float = 0.0  # seconds after which the broker gives a message back
    seconds: float = 0.0  # that pass in it for real, about
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Flaw:
    """A way by which the task leaves what it must not. ``word``: EFFECT, PARTIAL, LOST, STATE, STORM, STUCK, LEAK (design, "Words")."""

    word: str
    headline: str
    story: tuple[str, ...]  # sentences, in order
    path: tuple[Delivery, ...]  # the shortest that was found
    stops: tuple[Stop, ...]  # where each kill of the path struck
    differences: tuple[Mapping[str, Any], ...]  # collection, row, before, after, expected
    fix: str
    confirmed: bool | None = None  # by true SIGKILLs; None: not tried
    place: Place | None = None  # of the effect that lasts although the rest was lost, else where it was killed
    alike: int = 0  # further paths that end the same way
    rerun: Rerun | None = None  # None: nobody has asked
    saved: str = ""  # the scenario that repeats it, for `replay --confirm`, as a path from where the command ran


@dataclass(frozen=True, slots=True)
class Wake:
    """What a crash before any of the stops ``first`` to ``last`` of the first delivery leaves, and how it ends without another one.

    One more than there are stops: it ran to its end, and the ack was lost. ``world``: a number from 1; equal worlds have the same.
    ``ends``: same (as allowed), open (a bound kept it from being followed), or the word of a flaw.
    """

    first: int
    last: int
    world: int
    holds: tuple[Mapping[str, Any], ...]  # against the world before the call: collection, row, before, after; the first few
    changed: int  # how many there are
    ends: str
    differences: tuple[Mapping[str, Any], ...] = ()  # of a flaw: collection, row, after, expected; the first few


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was visited, and what was not."""

    worlds: int
    deliveries: int
    stops: int  # crash points of the first execution
    kills: int  # successive crashes on the longest path that was needed
    unvisited: int = 0  # worlds that a bound left out
    bounds: tuple[str, ...] = ()  # which, in words
    waits: tuple[str, ...] = ()  # the moments of redelivery beside "at once"
    excluded: tuple[str, ...] = ()  # what is not covered, in words
    covered: tuple[str, ...] = ()  # what is, of one that is certified
    replayed: int = 0  # nodes of the graph that were reached again by true SIGKILLs, and were equal


@dataclass(frozen=True, slots=True)
class DrawnSet:
    """A set of arguments that was tried. ``rows``: what `setup` was given; None: nothing was drawn for it.

    ``verdict``: as an exploration has it; '' where this set says nothing, for a reason that ``why`` has.
    """

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    rows: Any
    verdict: str
    why: str = ""
    worlds: int = 0


@dataclass(frozen=True, slots=True)
class Drawn:
    """Where the sets came from. ``sets``: in order, up to the first that fails; ``smaller``: how many more were tried to make it smaller.

    ``source``: module:strategy, 'types', or '' where only rows were drawn; ``rows``: module:strategy, or ''.
    """

    source: str
    rows: str
    seed: int
    sets: tuple[DrawnSet, ...]
    smaller: int = 0
    smallest_rows: Any = None  # of the smallest set that fails
    bounded: bool = False  # no more were tried although there may be smaller ones

    @property
    def words(self) -> str:
        """``10 sets of arguments, drawn from shop.testing:charges with seed 7``."""
        what = "sets of arguments" if not self.rows else "sets of first rows" if not self.source else "sets of arguments and first rows"
        source = "the task's type hints" if self.source == "types" else self.source
        count = len(self.sets)
        named = " and ".join(filter(None, [source, self.rows]))
        return f"{count:,} {what if count != 1 else what.replace('sets', 'set', 1)}, drawn from {named} with seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Exploration:
    """The verdict on one task with one set of arguments: certified, fails or inconclusive.

    Of drawn arguments (``drawn``): those of the smallest set that fails, else of the one with the most worlds; figures are of all.
    """

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    verdict: str
    headline: str
    coverage: Coverage
    flaws: tuple[Flaw, ...] = ()
    doubts: tuple[str, ...] = ()  # of inconclusive: why
    first: tuple[Stop, ...] = ()  # the crash points of the first execution, with their lines
    wakes: tuple[Wake, ...] = ()  # what a crash of the first delivery leaves, in the order of its stops
    seconds: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    drawn: Drawn | None = None  # where its arguments were drawn
    proof: str = ""  # of one that is certified: a fingerprint of all its worlds, the same in every run
