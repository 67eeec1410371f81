"""A tiny application with crash points, run clean twice and once with faults: what the idempotent check is fed in tests."""

from __future__ import annotations

import copy
import json
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.checks.idempotent import Idempotent, IdempotentParameters
from harness.model.finding import CheckResult
from harness.model.history import Call, Delivery, Evidence, FaultRecord, History, Message
from harness.model.scenario import LoadItem, Scenario, System
from harness.model.world import Collection, StoreState, World
from harness.ports.check import CleanPass, Recorded

#: A task: changes the world step by step; each yield is a point at which it may die.
Task = Callable[..., Iterator[None]]


@dataclass
class Table:
    key: tuple[str, ...] = ()
    surrogate: tuple[str, ...] = ()
    references: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    next_id: int = 1


class Db:
    """Tables of any store, named 'store.collection'. ``now`` and ``random`` differ from pass to pass."""

    def __init__(self, seed: int, **tables: Table) -> None:
        self.tables = {name.replace("__", "."): copy.deepcopy(t) for name, t in tables.items()}
        self.seed = seed
        self._seen: dict[str, tuple[dict[str, Any], ...]] = {}
        self.random = random.Random(f"pass/{seed}")
        self._clock = 1_700_000_000.0 + seed * 10_000

    def now(self) -> float:
        self._clock += 0.37
        return self._clock

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128)))

    def burn(self, table: str) -> int:
        """What a rolled-back INSERT does to an autoincrement."""
        self.tables[table].next_id += 1
        return self.tables[table].next_id - 1

    def insert(self, table: str, **row: Any) -> int:
        t = self.tables[table]
        made = t.next_id
        if t.surrogate:
            row = {t.surrogate[0]: made, **row}
            t.next_id += 1
        t.rows.append(row)
        return made

    def find(self, table: str, **where: Any) -> dict[str, Any] | None:
        return next((r for r in self.tables[table].rows if all(r.get(k) == v for k, v in where.items())), None)

    def upsert(self, table: str, where: dict[str, Any], **values: Any) -> None:
        row = self.find(table, **where)
        if row is None:
            self.tables[table].rows.append({**where, **values})
        else:
            row.update(values)

    def update(self, table: str, where: dict[str, Any], **values: Any) -> int:
        found = [r for r in self.tables[table].rows if all(r.get(k) == v for k, v in where.items())]
        for row in found:
            row.update(values)
        return len(found)

    def delete(self, table: str, **where: Any) -> int:
        t = self.tables[table]
        kept = [r for r in t.rows if not all(r.get(k) == v for k, v in where.items())]
        gone = len(t.rows) - len(kept)
        t.rows = kept
        return gone

    def _frozen(self, name: str, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
        """Copies; rows that are as at the last look share them, or 1,500 looks at 1,500 rows would fill the memory."""
        old = self._seen.get(name, ())
        seen = tuple(old[i] if i < len(old) and old[i] == r else copy.deepcopy(r) for i, r in enumerate(rows))
        self._seen[name] = seen
        return seen

    def world(self) -> World:
        stores: dict[str, dict[str, Collection]] = {}
        for name, t in self.tables.items():
            store, _, collection = name.partition(".")
            rows = self._frozen(name, t.rows)
            stores.setdefault(store, {})[collection] = Collection(collection, rows, t.key, t.surrogate, dict(t.references))
        return World({s: StoreState(s, c) for s, c in stores.items()})


@dataclass(frozen=True)
class Run:
    """How one call goes: its executions in order. An integer: it dies at that crash point (from 0: before anything).

    'ok': to its end. ('raise', n): an exception at that point. What comes of it follows from the last one.
    """

    executions: tuple[Any, ...] = ("ok",)
    early_ack: bool = False  # a death is a loss
    copy: bool = False  # executions after the first are injected copies
    publish: str = "ok"


def killed(at: int) -> Run:
    """Died there, and was delivered again."""
    return Run((at, "ok"))


def twice() -> Run:
    """A duplicate was injected."""
    return Run(("ok", "ok"), copy=True)


def failed(at: int) -> Run:
    """Raised there, for good."""
    return Run((("raise", at),))


def lost(at: int) -> Run:
    """Died there after an early acknowledgement."""
    return Run((at,), early_ack=True)


UNSENT = Run((), publish="unknown")


@dataclass
class Lab:
    """One application, its first world, its calls."""

    tables: dict[str, Table]
    task: Task
    calls: Sequence[tuple[Any, ...]]
    name: str = "app.task"
    setup: Callable[[Db], None] = lambda db: None
    tasks: Sequence[tuple[str, Task]] = ()  # per call, where they are not all the same
    semantics: dict[str, Any] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)
    checks: tuple[str, ...] = ("no_loss", "idempotent")

    def record(
        self, plan: dict[int, Run] | None = None, order: Sequence[int] | None = None, tamper: Callable[[Db], None] | None = None
    ) -> Recorded:
        """Two clean passes and a run by this plan; ``order``: of the run; ``tamper``: changes the world at the end."""
        numbers = list(range(1, len(self.calls) + 1))
        first, second = self._clean(1, numbers, each=True), self._clean(2, self.second_order(), each=False)
        db = self._fresh(3)
        before = db.world()
        history = History(acks_late={self.name: True}, quiet_at=100.0, stopped_at=101.0, ended=102.0)
        history.faults.append(FaultRecord(0, "worker.kill", "at 1 s", begun=0.5, ended=0.6, evidence=Evidence(True, "bit")))
        for number in order or numbers:
            self._run(db, history, number, (plan or {}).get(number, Run()))
        if tamper:
            tamper(db)
        scenario = Scenario(
            version=1,
            system=System(app="m:app", services=self.services),
            load=(LoadItem(send=self.name, count=max(1, len(numbers))),),
            semantics=self.semantics,
            checks={name: {} for name in self.checks},
        )
        return Recorded(scenario, history, {}, (first, second), before, db.world())

    def judge(
        self, plan: dict[int, Run] | None = None, *, ignore: tuple[str, ...] = (), observe: tuple[str, ...] = (), **more: Any
    ) -> CheckResult:
        return judge(self.record(plan, **more), ignore=ignore, observe=observe)

    def second_order(self) -> list[int]:
        """Another order than the first pass's wherever there is one."""
        numbers = list(range(1, len(self.calls) + 1))
        shuffled = list(numbers)
        random.Random(7).shuffle(shuffled)
        return shuffled if shuffled != numbers else numbers[::-1]

    def _fresh(self, seed: int) -> Db:
        db = Db(seed, **self.tables)
        self.setup(db)
        return db

    def _task(self, number: int) -> tuple[str, Task]:
        return self.tasks[number - 1] if self.tasks else (self.name, self.task)

    def _clean(self, seed: int, order: list[int], *, each: bool) -> CleanPass:
        db = self._fresh(seed)
        before, history, per_call = db.world(), History(quiet_at=100.0, stopped_at=101.0), {}
        for number in order:
            self._run(db, history, number, Run())
            if each:
                per_call[number] = db.world()
        return CleanPass(history, before, db.world(), per_call, tuple(order))

    def _run(self, db: Db, history: History, number: int, how: Run) -> None:
        name, task = self._task(number)
        args = self.calls[number - 1]
        due = float(len(history.calls))
        call = Call(number, name, json.dumps([list(args), {}]), due=due, sent=due, publish=how.publish)
        history.calls[number] = call
        if not how.executions:
            return
        call.root_task_id = f"id-{number}"
        message = Message(f"m{number}", f"id-{number}", name, 0, number, begun=call.due, ok=call.due)
        call.messages.append(message)
        history.messages[message.id] = message
        for i, what in enumerate(how.executions):
            self._execute(db, history, message, i, what, how, task, args)

    def _execute(self, db: Db, history: History, message: Message, i: int, what: Any, how: Run, task: Task, args: tuple[Any, ...]) -> None:
        at = message.begun + 0.1 * i + 0.01  # type: ignore[operator]
        delivery = Delivery(f"d{message.call}.{i}", message, "w-1", 1, at, f"t{message.call}.{i}", redelivered=bool(i) and not how.copy)
        delivery.copy = i if how.copy else 0
        delivery.start = at + 0.001
        message.deliveries.append(delivery)
        history.deliveries[delivery.id] = delivery
        steps = task(db, *args)
        if how.early_ack:
            delivery.ack = at
        if isinstance(what, int):
            for _ in range(what):
                next(steps, None)
            delivery.died, delivery.died_by, delivery.last_line = at + 0.01, 0, "app.py:41"
            return
        delivery.end, delivery.ack = at + 0.02, at + 0.03
        if what == "ok":
            for _ in steps:
                pass
            delivery.state = "SUCCESS"
        else:
            for _ in range(what[1]):
                next(steps, None)
            delivery.state, delivery.exception = "FAILURE", "builtins.ValueError"


def judge(recorded: Recorded, *, ignore: tuple[str, ...] = (), observe: tuple[str, ...] = ()) -> CheckResult:
    return Idempotent(IdempotentParameters(ignore=ignore, observe=observe)).judge(recorded)
