"""What the explorer is made of: something that runs one delivery stop by stop, and the world around it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from harness.model.exploration import Ending, Message, Stop
from harness.model.world import Row, World
from harness.ports.beginning import Calling
from harness.ports.queues import Queues

__all__ = [
    "AnswersFor",
    "AtStop",
    "BeginsAnew",
    "CountsAttempts",
    "Decision",
    "Doubts",
    "ExploresHere",
    "ForeseesReturns",
    "Forgets",
    "ImportsAnew",
    "Job",
    "KnowsFiles",
    "KnowsLives",
    "KnowsModules",
    "KnowsOrder",
    "KnowsTemporary",
    "KnowsTurns",
    "Launch",
    "LetsGo",
    "LooksWhereChanged",
    "Mechanism",
    "NamesWorlds",
    "Node",
    "PassesTime",
    "Repeat",
    "SeesRepeats",
    "SkipsNumbers",
    "Surroundings",
]


class Decision(Enum):
    """What is done about a task that stands at a stop."""

    GO_ON = "go on"
    KILL = "kill"  # SIGKILL while the call is pending: it never happens


AtStop = Callable[[Stop], Decision]


@dataclass(frozen=True, slots=True)
class Job:
    """One delivery. ``later``: seconds that the task's wall clock is ahead of ours.

    ``lines``: record the user's line of each stop (slower). ``warm``: in the process that ran the job before, with its module
    memory and connections, where that has ended well; else in a fresh one.
    """

    message: Message
    later: float = 0.0
    lines: bool = False
    warm: bool = False
    anew: bool = False  # as if the worker had been started again since the message was published: as all that is redelivered
    limit: float = 30.0  # seconds without a stop or an end before it counts as ENDLESS
    at_sleep: Callable[[float], None] | None = None  # told of every sleep, which costs the task no time: may let it pass for the services


@dataclass(frozen=True, slots=True)
class Launch:
    """How a runtime starts the explorer's warm process (the agent's program `zygote`), and what its effects can reach.

    ``services``: (host, port) -> name as the scenario has it, 'broker' and 'backend' too; every other connection is refused.
    ``folders``: of stores that are files, or the files themselves. ``names``: of hosts that services stand for, as in the agent's settings
    them. ``log``: takes the app's own output.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path  # where it runs
    root: Path  # the user's project
    log: Path
    services: Mapping[tuple[str, int], str]
    folders: Mapping[Path, str]
    names: Sequence[Mapping[str, Any]] = ()


@runtime_checkable
class ExploresHere(Protocol):
    """A system whose app can be explored: it runs on this machine, under this kernel."""

    def examining(self, request: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
        """As `LiveSystem.examine`, which goes on while the system opens; what is returned waits for the answer, and is called once."""

    def zygote(self) -> Launch:
        """Of the system as it is open now; it starts nothing itself."""

    def drawer(self) -> Launch:
        """Likewise the process that draws arguments (the agent's program `draw`), which can reach nothing."""

    def begin_exploring(self, *rows: Any, setup: bool = True, calling: Calling | None = None) -> None:
        """A fresh world as the user's setup leaves it, called with ``rows``, and services that fail nothing on purpose.

        Without ``setup``: as it is before that. ScenarioError where the setup fails. ``calling``: who runs it; None: a new process.

        After `open`; what `queues` and `zygote` gave before is of no use any more.
        """

    def queues(self) -> Mapping[str, Queues]:
        """'broker', and 'backend' where there is one; the caller closes them. ScenarioError where such a server cannot be explored."""


class Mechanism(Protocol):
    """Runs deliveries of tasks in children of one warm process, and stops each before every effect, or every line of the user's.

    Everything that it starts, `close` ends.
    """

    name: str  # effects (seccomp), lines; known once it has started
    sampled: str  # '' where each crash point is visited; else why it is not, in words: nothing is certified then

    def start(self) -> Mapping[str, Any]:
        """Import the app. What it is: versions, the tasks with their settings as the journal's `settings` has them, modules of the user's.

        ScenarioError where the import fails (with file:line), EnvironmentFault where the process cannot be had.
        """

    def publish(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], later: float = 0.0) -> None:
        """Call ``apply_async`` once in a child that is not stopped: then the broker has the message. ``later``: so far its clock is ahead.

        ScenarioError where the task refuses the arguments.
        """

    def deliver(self, job: Job, at_stop: AtStop) -> Ending:
        """Run it. ``at_stop`` is called at each stop, in this thread, while the whole task stands as far as it can be made to."""

    def close(self) -> None:
        """No process is left; never raises; also twice."""


@dataclass(frozen=True, slots=True)
class Node:
    """A state of everything that the next delivery can see.

    ``key`` is equal for two only if no task could tell them apart, but by what varies by itself.
    """

    key: Hashable
    world: World  # of the scenario's services
    pending: tuple[Message, ...]  # in the broker, oldest first
    image: Any  # opaque: what `restore` needs
    deadlines: tuple[float, ...] = ()  # seconds from now after which something in it changes by itself: TTL, ETA, a time that a row names
    later: float = 0.0  # how far the clock is ahead here
    dated: str = ""  # "row" or "file": it says when something was done; how long ago that is changes by itself, and is no deadline
    at: float = 0.0  # the time that the task's wall clock shows: seconds since some moment that is the same for all nodes


class Surroundings(Protocol):
    """All stores, the broker's queues and the result backend, as one thing."""

    def reset(self) -> float:
        """As after the user's setup. Looks for itself what has to be undone, and makes sure of it. Returns what `restore` does."""

    def settle(self) -> None:
        """Wait until every service has dealt with all that was sent to it. EnvironmentFault after 10 s."""

    def touched(self, kind: str = "") -> Hashable:
        """Cheap; equal at two moments only if nothing changed. Settles first.

        ``kind``: only what an effect of this kind (net, file) can reach; '' is all.
        """

    def look(self, later: float = 0.0, kind: str = "") -> Node:
        """Everything as others see it now, with an image of it. Disturbs nothing. Settles first.

        ``kind``: since the last look (or the last `touched` of the other kind that found nothing) only effects of this kind happened,
        so only what they can reach is read anew.
        """

    def again(self, node: Node) -> Node:
        """The same node, with its key as it is by what has been learnt since. Nothing is read or moved."""

    def restore(self, node: Node, wait: float = 0.0) -> float:
        """Back to it, as it is ``wait`` seconds later: what expires by then has expired. Nothing that a real store keeps is rewound.

        How far the task's wall clock has to be ahead of ours from now on (`Job.later`, `look`): `Node.later` and ``wait``, less the
        time that has passed for us since the look. Without this a lease that a row holds would run out while other worlds are visited.
        """

    def take(self, node: Node, message: int) -> None:
        """A worker takes this message of ``node.pending``: it is no longer in the queue."""

    def put_back(self, message: Message) -> None:
        """The broker delivers it again: into its queue, marked as redelivered."""

    def learn(self, nodes: Sequence[Node]) -> None:
        """What differs between these nodes, to which equal paths led, varies by itself, from now on in `look` and `differences`.

        The ends of clean runs; and, so that values that are gone at the end are known too, what the same stop of each of them saw: one
        call each, what was learnt before stays. Keys of nodes that were looked at before are not comparable with later ones.
        """

    def differences(self, expected: Node, found: Node, before: Node, *, whole: bool = False) -> tuple[Mapping[str, Any], ...]:
        """Between two worlds, up to what varies by itself and the numbers that stores give: collection, row, before, after, expected.

        ``whole``: all of them, with values as they are; else so few and so short that people read them. None only where there is none.
        """


@runtime_checkable
class LetsGo(Protocol):
    """A mechanism that keeps the process of a delivery for another one."""

    def let_go(self) -> None:
        """There will be none: it may end while other things are done. The next delivery waits for that."""


@runtime_checkable
class ForeseesReturns(Protocol):
    """Surroundings that know what the broker will hold when it gives a message back."""

    def with_message(self, node: Node, message: Message) -> Node | None:
        """As a look would show it after `restore` and `put_back`, and nothing is moved; None where that has to be done."""


@runtime_checkable
class LooksWhereChanged(Protocol):
    """Surroundings that find out at one moment whether something has changed, and what."""

    def look_if_changed(self, later: float, kind: str, service: str) -> Node | None:
        """As `Surroundings.look`, of what an effect of this kind on this service can reach ('': on any); None where nothing has changed.

        Since the last look, of either kind.
        """


@runtime_checkable
class KnowsLives(Protocol):
    """Surroundings in which some things expire."""

    def lives(self, node: Node) -> Mapping[tuple[str, str], float]:
        """(collection, key) -> seconds that are left to it there."""


@runtime_checkable
class KnowsOrder(Protocol):
    """Surroundings that know in which order rows came."""

    def orders(self, node: Node) -> Mapping[str, Sequence[str]]:
        """Collection -> what has come there since the first world, up to what varies; only where that is not all alike."""


@runtime_checkable
class ImportsAnew(Protocol):
    """A mechanism with a second process that has imported the app for itself, where `Job.anew` and what is redelivered runs."""

    @property
    def imports_anew(self) -> bool:
        """Known once it has started: not every app can be imported twice."""


@runtime_checkable
class KnowsModules(Protocol):
    """A mechanism that says what it has run."""

    def modules(self) -> Mapping[str, str]:
        """Name -> file of the user's modules that were imported up to now, by the app or by a delivery."""


@runtime_checkable
class KnowsFiles(Protocol):
    """A mechanism that says what else its deliveries rested on."""

    def files(self) -> Sequence[str]:
        """Absolute paths: what the app or a delivery has read, and what programs that it started were given to run or to read."""


@runtime_checkable
class NamesWorlds(Protocol):
    """Surroundings whose worlds can be compared with those of another run."""

    def fingerprint(self, node: Node) -> str:
        """By what has been learnt until now: the same for the same world in every run, on every machine and Python."""

    @property
    def plain(self) -> Callable[[str], str]:
        """Takes out of texts what belongs to this run alone: its folders and addresses."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request that a service took for a repeat of another one, since both had one key, although they ask for different things."""

    collection: str  # 'company.requests'
    row: Row
    first: Row


@runtime_checkable
class SeesRepeats(Protocol):
    """Surroundings whose services say which requests they took for repeats."""

    def repeats(self) -> Sequence[Repeat]:
        """Of all since the services were started, in order. Settles first."""


@runtime_checkable
class SkipsNumbers(Protocol):
    """Surroundings with counters that do nothing but give numbers."""

    def skip_numbers(self, count: int) -> Sequence[int]:
        """The first goes on by so many, the second by twice as many, and so on: by how many each did; none where there are none."""

    def learn(self, nodes: Sequence[Node], skipped: Sequence[int] = ()) -> None:
        """As `Surroundings.learn`, from two nodes: in the second these numbers were skipped."""


@runtime_checkable
class Doubts(Protocol):
    """Surroundings that say what they could not see."""

    def doubts(self) -> Sequence[str]:
        """In words, of everything since the first `reset`: why worlds that look alike may not be."""

    def excludes(self) -> Sequence[str]:
        """Likewise what was done that may be nothing of the task's."""


@runtime_checkable
class KnowsTemporary(Protocol):
    """Surroundings that have learnt which rows are temporary."""

    def is_temporary(self, key: str) -> bool:
        """Is this key, mostly a path, a name that is drawn for something temporary?"""


@runtime_checkable
class BeginsAnew(Protocol):
    """Surroundings whose first world can be the first one of another exploration: of the same task with other arguments."""

    def anew(self) -> Surroundings:
        """The same first world, and nothing learnt: what varies with some arguments may be exact with others. `reset` goes back to it."""


@runtime_checkable
class AnswersFor(Protocol):
    """Surroundings whose broker may hold messages for others too."""

    def answer_for(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """By their settings, as the journal has them. Messages of any other task are never pending: they are another app's, and count
        as what was sent.
        """


@runtime_checkable
class CountsAttempts(Protocol):
    """Surroundings whose nodes tell retries by their number."""

    def count_attempts_to(self, most: int) -> None:
        """Retries with this number and higher ones are alike in keys from now on: for tasks that retry without a limit."""


@runtime_checkable
class KnowsTurns(Protocol):
    """Surroundings in which each crash may take a number up, such as the fence of a lease."""

    def turning(self, nodes: Sequence[Node], known: Sequence[Node], again: Callable[[Node], Node]) -> bool:
        """``nodes``: what crashes one after another left. Where these raised numbers and changed nothing else, higher ones than any of
        ``known`` has are alike in keys from now on; ``again`` makes a node's key anew. Whether that was so."""


@runtime_checkable
class PassesTime(Protocol):
    """Surroundings whose services' clocks can be moved on where they stand, without going back to an image."""

    def pass_time(self, seconds: float) -> None:
        """The task has slept so long: what expires within that time has expired, and the rest has so much less to live."""

    def let_pass(self, node: Node, wait: float) -> float:
        """As `Surroundings.restore`, in the world that was just looked at: only what lives for a time is moved. For replays."""


@runtime_checkable
class Forgets(Protocol):
    """Surroundings that keep what they have read."""

    def forget(self) -> None:
        """The next look reads everything anew, whatever seems not to have changed."""
