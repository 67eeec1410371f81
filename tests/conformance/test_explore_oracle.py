"""The graph's worlds and verdicts against brute force: a true SIGKILL at each stop, and all double crashes.

The oracle shares no reset, observer or stub with the graph: files in a new folder, a database of its own, an HTTP server of its own that
remembers keys, and its own way to read them. It has the kernel's stops from the same mechanism, which has tests of its own.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import choose_runtime, exploring_parts, registry, system_plan
from harness.explore import exploration as exploring
from harness.explore.graph import Graph, Survey
from harness.explore.mechanism import EffectStops
from harness.explore.rules import Question
from harness.model.exploration import Message, Outcome
from harness.model.world import World
from harness.ports.clock import MonotonicClock
from harness.ports.exploring import Decision, Job, Launch
from harness.scenario import load_scenarios
from tests.parts import parts

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = ROOT / "sample_tasks" / "crashes" / "explore.yaml"

#: Each with all single and all double crashes.
TASKS = (
    "journal.rewritten",
    "journal.appended",
    "invoice.replaced",
    "invoice.half",
    "right.same_temporary_file",
    "right.random_id_in_log",
    "charge.keyed",
    "charge.checked",
    "lines.together",
    "lines.one_by_one",
)
DOUBLE = 2
#: What is tried: one that is right, and the single crashes of one that is not, in `make test`; the others in `make exhaustive`.
TRIED = parts([*((task, DOUBLE) for task in TASKS), ("charge.checked", 1)], quick=[("journal.rewritten", DOUBLE), ("charge.checked", 1)])


class Company(http.server.ThreadingHTTPServer):
    """Takes a repeated key for the same request."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.keys: set[tuple[str, str]] = set()
        company = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                text = self.rfile.read(length)
                if len(text) < length:
                    self.close_connection = True  # its sender died: this was no request
                    return
                body = json.loads(text)
                key = (self.path, self.headers.get("Idempotency-Key") or "")
                if not key[1] or key not in company.keys:
                    company.taken.append(json.dumps(["request", self.path, body, key[1]], sort_keys=True))
                company.keys.add(key)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@dataclass
class Oracle:
    """Runs schedules from scratch. ``seen``: what crashes left; ``ends``: what was there when nothing was pending, and how it ended."""

    folder: Path
    company: Company
    stops: EffectStops
    message: Message
    seen: set[str] = field(default_factory=set)
    ends: set[tuple[str, str]] = field(default_factory=set)
    schedules: int = 0
    first: str = ""
    clean: tuple[str, str] = ("", "")

    def try_all(self, crashes: int) -> None:
        """Every schedule with at most so many."""
        self._begin_anew()
        self.first = self.world()
        self._play(())
        (self.clean,) = self.ends
        self._extend((), crashes)

    def _extend(self, kills: tuple[int, ...], crashes: int) -> None:
        stops = self._play(kills)
        if crashes:
            for number in range(1, stops + 2):
                self._extend((*kills, number), crashes - 1)

    def _play(self, kills: tuple[int, ...]) -> int:
        """From the very beginning: kill where it is said, and then let it run to its end; how many stops that had."""
        self._begin_anew()
        self.schedules += 1
        for number, kill in enumerate(kills):
            self._deliver(number, kill)
            self.seen.add(self.world())
        ending = self._deliver(len(kills), None)
        self.ends.add((self.world(), ending.outcome.value))
        print(f"killed at {kills}: {ending.outcome.value} {ending.error}")  # shown where the test fails
        return len(ending.stops)

    def _deliver(self, number: int, kill: int | None) -> Any:
        """Beyond its last stop it has run to its end, and only the ack is lost."""
        message = replace(self.message, redelivered=number > 0)
        return self.stops.deliver(Job(message), lambda stop: Decision.KILL if stop.number == kill else Decision.GO_ON)

    def _begin_anew(self) -> None:
        for part in ("documents", "database"):
            shutil.rmtree(self.folder / part, ignore_errors=True)
            (self.folder / part).mkdir()
        shutil.copyfile(self.folder / "first.sqlite3", self.folder / "database" / "own.sqlite3")
        self.company.taken.clear()
        self.company.keys.clear()

    def world(self) -> str:
        """As somebody sees it who comes now."""
        lines = list(self.company.taken)
        documents = self.folder / "documents"
        for path in sorted(documents.rglob("*")):
            if path.is_file():
                lines.append(json.dumps(["file", str(path.relative_to(documents)), path.read_text()]))
        look = self.folder / "look"
        shutil.rmtree(look, ignore_errors=True)
        shutil.copytree(self.folder / "database", look)
        with contextlib.closing(sqlite3.connect(look / "own.sqlite3")) as db:
            for table in ("accounts", "lines", "orders", "outbox", "payments"):
                names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
                rows = [dict(zip(names, row, strict=True)) for row in db.execute(f"SELECT * FROM {table}")]
                lines += [_row(table, row) for row in rows]
        return "\n".join(sorted(lines))


def _row(table: str, row: Mapping[str, Any]) -> str:
    """Without ids that the database makes up, and without the time."""
    return json.dumps([table, {name: value for name, value in sorted(row.items()) if name not in ("id", "updated_at")}])


def _text(world: World) -> str:
    """The graph's world as the oracle would write it."""
    lines = []
    for name, collection in world.collections().items():
        store, _, part = name.partition(".")
        for row in collection.rows:
            if store == "company":
                lines.append(json.dumps(["request", row["path"], row["body"], row["key"] or ""], sort_keys=True))
            elif store == "documents" and row.get("text") is not None:
                lines.append(json.dumps(["file", row["path"], row["text"]]))
            elif store == "db":
                lines.append(_row(part, row))
    return "\n".join(sorted(lines))


@contextlib.contextmanager
def _oracle(folder: Path, launch: Launch, message: Message) -> Iterator[Oracle]:
    """The app on services of the oracle's own; its broker is never reached, as these tasks publish nothing."""
    folder.mkdir()
    for part in ("documents", "database"):
        (folder / part).mkdir()
    company = Company()
    address = ("127.0.0.1", company.server_port)
    threading.Thread(target=company.serve_forever, args=(0.05,), daemon=True).start()
    settings = json.loads(Path(launch.environment["CELERY_HARNESS_AGENT"]).read_text())
    own = folder / "settings.json"
    own.write_text(json.dumps({**settings, "allow": [*settings["allow"], list(address)]}))
    environment = {
        **launch.environment,
        "CELERY_HARNESS_AGENT": str(own),
        "DATABASE_URL": f"sqlite:///{folder / 'database' / 'own.sqlite3'}",
        "COMPANY_URL": f"http://127.0.0.1:{company.server_port}",
        "DOCUMENTS": str(folder / "documents"),
    }
    first = {**os.environ, "DATABASE_URL": f"sqlite:///{folder / 'first.sqlite3'}", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", "from sample_tasks.crashes.tools import create; create()"], env=first, check=True, timeout=60)
    stops = EffectStops(
        replace(
            launch,
            environment=environment,
            log=folder / "zygote.log",
            services={address: "company"},
            folders={folder / "documents": "documents", folder / "database": "db"},
        )
    )
    try:
        stops.start()
        yield Oracle(folder, company, stops, message)
    finally:
        stops.close()
        company.shutdown()
        company.server_close()


@pytest.fixture
def surveys(monkeypatch: pytest.MonkeyPatch) -> list[Survey]:
    """Of each exploration, in order."""
    found: list[Survey] = []
    real = Graph.explore

    def explore(self: Graph, first: Any) -> Survey:
        found.append(real(self, first))
        return found[-1]

    monkeypatch.setattr(Graph, "explore", explore)
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("task", "crashes"), TRIED)
def test_graph_has_the_worlds_and_the_verdict_of_brute_force(task: str, crashes: int, tmp_path: Path, surveys: list[Survey]) -> None:
    (loaded,) = load_scenarios(SCENARIO, registry())
    folder = tmp_path / "run"
    folder.mkdir()
    system: Any = choose_runtime("processes").system(system_plan(loaded, ROOT, "oracle", folder, MonotonicClock()))
    try:
        system.open()
        with exploring_parts(system, system.stores) as (mechanism, surroundings):
            found = exploring.explore(mechanism, surroundings, Question(task, (7,)), now=lambda: 0.0)
            later = surroundings.reset()
            mechanism.publish(task, [7], {})
            (message,) = surroundings.look(later).pending
            with _oracle(tmp_path / "oracle", system.zygote(), message) as oracle:
                oracle.try_all(crashes)
    finally:
        system.close()
    (survey,) = surveys
    cold = [spot for spot in survey.spots if spot.kills <= crashes and not any(step.delivery.warm for step in spot.steps)]
    assert {_text(spot.node.world) for spot in cold if spot.back is not None} == oracle.seen
    assert {(_text(spot.node.world), next(iter(spot.ends.values())).value) for spot in cold if not spot.waiting} == oracle.ends
    assert oracle.clean[1] == Outcome.SUCCESS.value
    wrong = oracle.ends - {oracle.clean, (oracle.first, Outcome.FAILURE.value)}
    assert found.verdict == ("fails" if wrong else "certified")
    assert oracle.schedules > len(oracle.seen)
