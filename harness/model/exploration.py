"""What the explorer visits and what it says about a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["Coverage", "Delivery", "Ending", "Exploration", "Flaw", "Message", "Outcome", "Place", "Stop"]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the user's code. ``file`` relative to the project; ``hit``: how often the line had run in this delivery, from 1."""

    module: str
    function: str  # qualified name
    file: str
    line: int
    hit: int = 1


@dataclass(frozen=True, slots=True)
class Stop:
    """The task stands before a call to the kernel that others can notice. A SIGKILL here: the call never happens.

    ``number`` counts from 1 in its delivery. ``identity``: what makes two stops of two executions the same, equal on every run of a
    task that is deterministic: the call and what it is done to, without numbers that vary (descriptors, addresses, ports).
    """

    number: int
    call: str  # sendto, pwrite64, rename, …
    kind: str  # net, file, other
    target: str  # service and what of it, as far as known: "card_api", "db: shop.sqlite3-journal", "files: invoice.pdf"
    words: str  # "POST /charges sent to card_api", "rename invoice.tmp to invoice.pdf"
    identity: str
    place: Place | None = None  # only where lines are recorded
    slept: float = 0.0  # seconds by which the task's clock had gone on while it slept, up to here
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
    place: Place | None = None  # of an error: the user's innermost line
    doubts: tuple[str, ...] = ()  # why what was seen is not all there is: mmap, io_uring, threads
    undeclared: tuple[str, ...] = ()  # connections that were refused: "api.example.com:443"
    slept: float = 0.0  # seconds by which the task's clock went on while it slept, which cost no time


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
    saved: str = ""  # the scenario that repeats it, for `replay --confirm`, as a path from where the command ran


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
    replayed: int = 0  # nodes of the graph that were reached again by true SIGKILLs, and were equal


@dataclass(frozen=True, slots=True)
class Exploration:
    """The verdict on one task with one set of arguments: certified, fails or inconclusive."""

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    verdict: str
    headline: str
    coverage: Coverage
    flaws: tuple[Flaw, ...] = ()
    doubts: tuple[str, ...] = ()  # of inconclusive: why
    first: tuple[Stop, ...] = ()  # the crash points of the first execution, with their lines
    seconds: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
