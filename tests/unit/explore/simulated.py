"""A simulated task over a small world: programs of effects, and both ports of the explorer over them.

A program is a tuple of operations; each effect is one stop. What the world holds:

* ``rows``: a database's values, by key; ``sent``: requests that a service accepted; ``locks``: key -> when it expires, None for never;
  ``stamps``: key -> when it was written.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.model.exploration import Ending, Message, Outcome, Place, Stop
from harness.model.world import Collection, StoreState, World
from harness.ports.exploring import AtStop, Decision, Job, Node

Op = tuple[Any, ...]
Program = tuple[Op, ...]

SETTINGS = {"acks_late": True, "reject_on_worker_lost": True, "acks_on_failure_or_timeout": True, "max_retries": 3}


@dataclass
class State:
    """Everything that is not the task's process. ``queue``: (id, retries, redelivered, due)."""

    rows: dict[str, Any] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    locks: dict[str, float | None] = field(default_factory=dict)
    queue: list[tuple[str, int, bool, float]] = field(default_factory=list)
    stamps: dict[str, float] = field(default_factory=dict)
    now: float = 0.0

    def age(self, seconds: float) -> None:
        """So much later."""
        self.now += seconds
        self.locks = {key: end for key, end in self.locks.items() if end is None or end > self.now}

    def shape(self, attempts: int = 1000) -> str:
        """Equal for worlds that nobody could tell apart. ``attempts``: higher ones are alike."""
        locks = {key: None if end is None else round(end - self.now, 3) for key, end in self.locks.items()}
        queue = sorted((i, min(n, attempts), r, round(due - self.now, 3)) for i, n, r, due in self.queue)
        return json.dumps([self.rows, sorted(self.sent), locks, queue, sorted(self.stamps)], sort_keys=True)


class Failed(Exception):
    """The task raised."""


class AskedAgain(Exception):
    """The task rejected its message, and it comes again."""


class Retried(Exception):
    """The task published its retry."""


@dataclass(frozen=True)
class Context:
    """What an execution knows. ``memory``: of its process."""

    id: str
    retries: int
    redelivered: bool
    memory: set[str]
    max_retries: int | None = 3


def steps(program: Sequence[Op], state: State, context: Context) -> Iterator[tuple[str, str]]:
    """Yields (kind, words) before each effect; the effect happens when it is resumed."""
    for op in program:
        name, *rest = op
        if name == "set":
            yield "file", f"set {rest[0]}"
            state.rows[rest[0]] = rest[1]
        elif name == "add":
            value = state.rows.get(rest[0], 0)
            yield "file", f"add to {rest[0]}"
            state.rows[rest[0]] = value + rest[1]
        elif name == "insert":
            yield "file", f"insert {rest[0]}"
            if rest[0] in state.rows:
                raise Failed(f"UNIQUE constraint failed: {rest[0]}")
            state.rows[rest[0]] = 1
        elif name == "post":
            yield "net", f"post {rest[0]}"
            if rest[0] not in state.sent or rest[0].startswith("plain"):
                state.sent.append(rest[0])
        elif name == "unless":
            if rest[0] not in state.rows:
                yield from steps(rest[1], state, context)
        elif name == "first":  # only on a first delivery
            if not context.redelivered:
                yield from steps(rest[0], state, context)
        elif name == "stamp":
            yield "file", f"stamp {rest[0]}"
            state.stamps[rest[0]] = state.now
        elif name == "add_stamped":  # one effect
            yield "file", f"add to {rest[1]} and stamp {rest[0]}"
            state.rows[rest[1]] = state.rows.get(rest[1], 0) + 1
            state.stamps[rest[0]] = state.now
        elif name == "unless_since":  # by how long ago it was stamped
            if state.now - state.stamps.get(rest[0], -1e15) >= rest[1]:
                yield from steps(rest[2], state, context)
        elif name == "wait_for":  # a lease that is told by when it was taken
            if state.now - state.stamps.get(rest[0], -1e15) < rest[1]:
                yield from _retry(state, context, rest[2])
        elif name == "by_period":  # a request under a key that is another every so many days
            yield "net", "post by period"
            state.sent.append(f"period-{int(state.now // (rest[0] * 86400))}")
        elif name == "after_days":
            if state.now > rest[0] * 86400:
                yield from steps(rest[1], state, context)
        elif name == "unstamp":
            yield "file", f"take the stamp off {rest[0]}"
            state.stamps.pop(rest[0], None)
        elif name == "memo":
            if rest[0] not in context.memory:
                yield from steps(rest[1], state, context)
                context.memory.add(rest[0])
        elif name == "lock":
            yield "net", f"lock {rest[0]}"
            if rest[0] in state.locks:
                if rest[2] == "return":
                    return
                yield from _retry(state, context, rest[3])
            state.locks[rest[0]] = None if rest[1] is None else state.now + rest[1]
        elif name == "unlock":
            yield "net", f"unlock {rest[0]}"
            state.locks.pop(rest[0], None)
        elif name == "retry":  # once
            if context.retries == 0:
                yield from _retry(state, context, rest[0])
        elif name == "call":  # so many other messages, which are of the same program
            for number in range(rest[0]):
                yield "net", f"publish part {number}"
                state.queue.append((f"part{number}", 0, False, state.now))
        elif name == "in":  # only in messages whose id begins so
            if context.id.startswith(rest[0]):
                yield from steps(rest[1], state, context)
        elif name == "fail":
            raise Failed(rest[0])
        elif name == "again":  # Reject, requeue
            raise AskedAgain
        else:
            raise AssertionError(name)


def _retry(state: State, context: Context, countdown: float) -> Iterator[tuple[str, str]]:
    if context.max_retries is not None and context.retries >= context.max_retries:
        raise Failed("retries exceeded")
    yield "net", "publish the retry"
    state.queue.append((context.id, context.retries + 1, False, state.now + countdown))
    raise Retried


class Simulated:
    """`Mechanism` and `Surroundings` at once."""

    name = "simulated"
    sampled = ""

    def __init__(
        self, program: Program, settings: Mapping[str, Any] | None = None, setup: Callable[[State], None] = lambda state: None
    ) -> None:
        self.program, self.setup = program, setup
        self.settings = {**SETTINGS, **(settings or {})}
        self.state = State()
        self.delivered = 0
        self.attempts = 1000
        self.part: Mapping[str, Any] | None = None  # settings of what it calls, where that is another task
        self.no_clock = ""  # why the task's clock cannot be set
        self.memory: set[str] | None = None  # of the process that ended well last
        self.wander: Callable[[State, int], None] = lambda state, delivered: None  # for tasks that are not deterministic

    # --- Mechanism ----------------------------------------------------------------------------------------------

    def start(self) -> Mapping[str, Any]:
        tasks = {"shop.pay": self.settings, "celery.backend_cleanup": {}}
        tasks |= {"shop.part": {**self.settings, **self.part}} if self.part is not None else {}
        return {"tasks": tasks, "python": "3.11.7", "celery": "5.6.3", "no_clock": self.no_clock}

    def publish(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], later: float = 0.0) -> None:
        self.state.queue.append(("one", 0, False, self.state.now))

    def deliver(self, job: Job, at_stop: AtStop) -> Ending:
        assert abs(job.later - (0 if self.no_clock else self.state.now)) < 1e-6, "the task's clock is not the world's"
        self.delivered += 1
        memory = self.memory if job.warm and self.memory is not None else set()
        context = Context(job.message.id, job.message.retries, job.message.redelivered, memory, self.settings["max_retries"])
        stops: list[Stop] = []
        self.wander(self.state, self.delivered)
        try:
            for number, (kind, words) in enumerate(steps(self.program, self.state, context), 1):
                place = Place("shop", "pay", "shop.py", 10 + number) if job.lines else None
                stops.append(Stop(number, "call", kind, "", words, words, place))
                if at_stop(stops[-1]) is Decision.KILL:
                    return Ending(Outcome.KILLED, tuple(stops))
        except Failed as exc:
            outcome, error = Outcome.FAILURE, str(exc)
        except Retried:
            outcome, error = Outcome.RETRY, ""
        except AskedAgain:
            outcome, error = Outcome.REJECTED, ""
        else:
            outcome, error = Outcome.SUCCESS, ""
        self.memory = memory
        return Ending(outcome, tuple(stops), error=error, requeue=outcome is Outcome.REJECTED)

    def close(self) -> None:
        pass

    # --- Surroundings -------------------------------------------------------------------------------------------

    def reset(self) -> float:
        self.state = State()
        self.setup(self.state)
        return 0.0

    def settle(self) -> None:
        pass

    def touched(self, kind: str = "") -> str:
        parts = {"file": [self.state.rows, self.state.stamps], "net": [self.state.sent, self.state.locks, self.state.queue]}
        return json.dumps(parts.get(kind, [parts["file"], parts["net"]]), sort_keys=True)

    def again(self, node: Node) -> Node:
        return replace(node, key=node.image.shape(self.attempts))

    def look(self, later: float = 0.0, kind: str = "") -> Node:
        state = copy.deepcopy(self.state)
        pending = tuple(Message(i, self._task(i), n, r, max(0.0, due - state.now), {"id": i}) for i, n, r, due in state.queue)
        ends = {end - state.now for end in state.locks.values() if end is not None}
        waits = tuple(sorted(ends | {message.eta for message in pending if message.eta}))
        return Node(state.shape(self.attempts), _world(state), pending, state, waits, state.now, "row" if state.stamps else "", state.now)

    def _task(self, message: str) -> str:
        return "shop.part" if self.part is not None and message.startswith("part") else "shop.pay"

    def restore(self, node: Node, wait: float = 0.0) -> float:
        self.state = copy.deepcopy(node.image)
        self.state.age(wait)
        return self.state.now

    def take(self, node: Node, message: int) -> None:
        del self.state.queue[message]

    def put_back(self, message: Message) -> None:
        self.state.queue.append((message.id, message.retries, True, self.state.now))

    def count_attempts_to(self, most: int) -> None:
        self.attempts = most

    def learn(self, nodes: Sequence[Node]) -> None:
        pass

    def lives(self, node: Node) -> Mapping[tuple[str, str], float]:
        return {("cache.keys", f"lock:{key}"): end - node.image.now for key, end in node.image.locks.items() if end is not None}

    def differences(self, expected: Node, found: Node, before: Node, *, whole: bool = False) -> tuple[Mapping[str, Any], ...]:
        flat = [_flat(node.image) for node in (before, found, expected)]
        keys = sorted(set(flat[1]) | set(flat[2]))
        return tuple(
            {
                "collection": c,
                "row": row,
                "before": flat[0].get((c, row)),
                "after": flat[1].get((c, row)),
                "expected": flat[2].get((c, row)),
            }
            for c, row in keys
            if flat[1].get((c, row)) != flat[2].get((c, row))
        )


def _world(state: State) -> World:
    rows = tuple({"key": key, "value": value} for key, value in sorted(state.rows.items()))
    return World({"db": StoreState("db", {"rows": Collection("rows", rows, key=("key",))})})


def _flat(state: State) -> dict[tuple[str, str], Any]:
    flat: dict[tuple[str, str], Any] = {("db.rows", key): value for key, value in state.rows.items()}
    flat |= {("api.requests", name): state.sent.count(name) for name in state.sent}
    return flat | {("cache.keys", f"lock:{key}"): "held" for key in state.locks}


# --- all crashes, one after the other, without a graph -----------------------------------------------------------------


@dataclass
class Brute:
    """What all schedules with at most so many kills lead to. ``left``: shapes after each kill; ``ends``: (shape, outcome) when quiet."""

    left: set[str] = field(default_factory=set)
    ends: set[tuple[str, str]] = field(default_factory=set)
    schedules: int = 0


def brute_force(program: Program, kills: int, settings: Mapping[str, Any] | None = None, waits: Sequence[float] = (0.0,)) -> Brute:
    """Every kill at every stop, up to ``kills`` of them, each message in each order, after each of these waits."""
    found = Brute()
    start = State(queue=[("one", 0, False, 0.0)])
    _go_on(program, start, kills, {**SETTINGS, **(settings or {})}, waits, "", found, 0)
    return found


def _go_on(
    program: Program, state: State, kills: int, settings: Mapping[str, Any], waits: Sequence[float], told: str, found: Brute, depth: int
) -> None:
    if not state.queue:
        found.ends.add((state.shape(), told))
        found.schedules += 1
        return
    assert depth < 30
    for number, (i, retries, redelivered, due) in enumerate(state.queue):
        for wait in waits:
            begun = copy.deepcopy(state)
            begun.age(max(0.0, due - state.now) + wait)
            del begun.queue[number]
            context = Context(i, retries, redelivered, set(), settings["max_retries"])
            after, outcome, stops = _until(program, begun, context, None)
            end = told if outcome == "RETRY" else outcome
            _go_on(program, after, kills, settings, waits, end, found, depth + 1)
            if not kills:
                continue
            for kill in [*range(1, stops + 1), None]:
                crashed = after if kill is None else _until(program, begun, context, kill)[0]
                found.left.add(crashed.shape())
                crashed = copy.deepcopy(crashed)
                crashed.queue.append((i, retries, True, crashed.now))
                _go_on(program, crashed, kills - 1, settings, waits, told, found, depth + 1)


def _until(program: Program, begun: State, context: Context, kill: int | None) -> tuple[State, str, int]:
    state, number = copy.deepcopy(begun), 0
    try:
        for number, _ in enumerate(steps(program, state, replace(context, memory=set())), 1):
            if number == kill:
                return state, "KILLED", number
    except Failed:
        return state, "FAILURE", number
    except Retried:
        return state, "RETRY", number
    return state, "SUCCESS", number
