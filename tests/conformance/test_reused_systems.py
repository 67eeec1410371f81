"""Systems of one command, one after another, in this process: what the second one takes of the first is what it would have alone."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import build_cell, registry
from harness.ports.clock import MonotonicClock
from harness.ports.runtime import PassPlan
from harness.runtimes.containers.runtime import ContainerRuntime
from harness.runtimes.processes.runtime import ProcessRuntime
from harness.scenario import load_scenarios
from tests.e2e.containers import client, needs_engine
from tests.parts import parts

APP = """from celery import Celery

app = Celery("plain")


@app.task(name="plain.noop")
def noop():
    pass
"""
RUNTIMES: dict[str, Any] = {"processes": ProcessRuntime, "containers": ContainerRuntime}


class Command:
    """Systems of scenarios in one folder. ``keep``: they share what they can, as those of one command do."""

    def __init__(self, folder: Path, runtime: str, *, keep: bool = True) -> None:
        self.folder, self.number, self.runtime = folder, 0, RUNTIMES[runtime]()
        (folder / "plain.py").write_text(APP)
        (folder / "requirements.txt").write_text("celery[redis]>=5.3\n")
        if keep:
            self.runtime.keep()

    def system(self, **system: Any) -> Any:
        """The next one. Not prepared yet."""
        self.number += 1
        file, report = self.folder / f"s{self.number}.yaml", self.folder / "reports" / str(self.number)
        report.mkdir(parents=True)
        document = {"version": 1, "system": {"app": "plain:app", **system}, "load": [{"send": "plain.noop", "count": 1}]}
        file.write_text(json.dumps(document))
        (loaded,) = load_scenarios(file, registry())
        file.unlink()  # a new file in the project is no matter of these tests
        plan = build_cell(loaded, self.folder, MonotonicClock()).system(f"0106-000000-{self.number:04x}", report)
        return self.runtime.system(plan)

    def run(self, system: Any) -> dict[str, str]:
        """To its end; what it told of its environment."""
        try:
            system.open()
            system.begin_pass(PassPlan("clean1", [], "fast"))
            system.stop_workers(0)
            system.came_to_its_end()
            return dict(system.environment())
        finally:
            system.close()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    made: list[Command] = []

    def make(runtime: str, **options: Any) -> Command:
        if runtime == "containers":
            needs_engine()
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Command(folder, runtime, **options))
        return made[-1]

    yield make
    for each in made:
        each.runtime.close()


@pytest.fixture
def tag() -> Iterator[str]:
    """A name for an image of the test's own."""
    name = f"celery-harness-test/app:{uuid.uuid4().hex[:12]}"
    yield name
    client().images.remove(name, force=True)


@pytest.mark.exhaustive
def test_an_image_that_was_made_anew_under_its_name_is_used_by_the_next_one(
    command: Callable[..., Command], tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.runtimes.containers.engine import Box, Engine

    started: list[tuple[str, str]] = []
    start = Engine.start

    def watched(self: Engine, box: Box) -> Any:
        container = start(self, box)
        started.append((box.part, container.attrs["Image"]))
        return container

    monkeypatch.setattr(Engine, "start", watched)
    both = command("containers")
    first = both.system()
    first.prepare()
    base = first._images["worker"].id
    first.close()
    ids = []
    for number in range(2):
        client().images.build(fileobj=io.BytesIO(f"FROM {base}\nLABEL number={number}".encode()), tag=tag, rm=True, forcerm=True)
        ids.append(client().images.get(tag).id)
        started.clear()
        system = both.system(image=tag, path=str(both.folder))
        both.run(system)
        assert {image for part, image in started if part in ("worker-1", "producer")} == {ids[-1]}
    assert ids[0] != ids[1]


@pytest.mark.exhaustive
def test_an_old_server_is_gone_before_another_one_has_its_name(command: Callable[..., Command], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both would be found under it, and half of the connections would go to the wrong one."""
    from harness.runtimes.containers.engine import Box, Engine

    beside: list[int] = []
    start = Engine.start

    def watched(self: Engine, box: Box) -> Any:
        if box.part == "broker":
            label = {"label": ["celery-harness.part=broker", f"celery-harness.session={box.labels['celery-harness.session']}"]}
            beside.append(len(client().api.containers(all=True, filters=label)))
        return start(self, box)

    monkeypatch.setattr(Engine, "start", watched)
    several = command("containers")
    told = [several.run(several.system(broker=broker))["Broker"] for broker in ("redis", {"kind": "redis", "persistence": False})]
    told.append(several.run(several.system(broker={"kind": "redis", "tls": True}))["Broker"])
    assert beside == [0, 0, 0]
    assert all(text.startswith("Redis ") and "started by this run" in text for text in told), told


def test_what_waits_under_the_name_of_what_is_no_server_this_time_is_gone_too(command: Callable[..., Command]) -> None:
    both = command("processes")
    first = both.system(backend="redis", services={"db": "sqlite"})
    both.run(first)
    old = first.backend_server
    assert old.alive(), "it waits"
    both.run(both.system(services={"db": "sqlite"}))
    assert not old.alive()


def test_the_temporary_folder_has_as_long_a_name_as_alone_and_a_socket_fits_in_it(command: Callable[..., Command]) -> None:
    lengths = set()
    for keep in (False, True):
        commanded = command("processes", keep=keep)
        for _ in range(2):
            system = commanded.system()
            system.prepare()
            scratch = system.scratch()
            lengths.add(len(scratch.name) + len(scratch.parent.name))
            system.close()
    (length,) = lengths
    assert length + len("/pymp-12345678/listener-12345678") < 100, "107 bytes, less what TMPDIR itself takes"


#: What an app may make its tasks of, beside files that it opens: code that is run at its import.
LEARNT = {
    "a database": "import sqlite3; found = sqlite3.connect('{at}/n.db').execute('SELECT n FROM n').fetchone()[0]",
    "names in a folder elsewhere": "import os; found = len(os.listdir('{at}/many'))",
    "another program": "import subprocess; found = int(subprocess.check_output(['cat', '{at}/n']))",
    "the size of a file of the project": "import os; found = os.stat('data.txt').st_size",
    "a library in C": (
        "import ctypes; c = ctypes.CDLL(None); d = ctypes.CDLL('libc.so.6'); b = ctypes.create_string_buffer(9)\n"
        "d.read(d.open(b'{at}/n', 0), b, 9); found = int(b.value)"
    ),
}


@pytest.mark.parametrize("what", parts(LEARNT, quick=["a database", "another program", "a library in C"]))
def test_an_answer_about_the_app_is_no_older_than_what_it_was_made_of(
    command: Callable[..., Command], tmp_path_factory: pytest.TempPathFactory, what: str
) -> None:
    import sqlite3

    both, at = command("processes"), tmp_path_factory.mktemp("elsewhere")
    code = LEARNT[what].replace("{at}", str(at))
    (both.folder / "plain.py").write_text(f"{APP}\n{code}\ndef noted():\n    pass\n\n\napp.task(name=f'plain.found-{{found}}')(noted)\n")
    (at / "many").mkdir()
    names = []
    for number in (1, 2, 2):
        (at / "n").write_text(str(number))
        (at / "many" / str(number)).touch()
        data = both.folder / "data.txt"
        if not data.exists() or data.stat().st_size != number:
            data.write_text("x" * number)
        with sqlite3.connect(at / "n.db") as database:
            database.executescript(f"CREATE TABLE IF NOT EXISTS n (n); DELETE FROM n; INSERT INTO n VALUES ({number})")
        system = both.system()
        try:
            answer = system.examine({"app": "plain:app"})
            assert answer["ok"], answer
            names.append([name for name in answer["tasks"] if name.startswith("plain.found")])
        finally:
            system.close()
    assert names == [["plain.found-1"], ["plain.found-2"], ["plain.found-2"]]


def test_an_answer_that_still_holds_is_not_asked_for_again(command: Callable[..., Command], monkeypatch: pytest.MonkeyPatch) -> None:
    both = command("processes")
    asked = []
    for _ in range(4):
        system = both.system()
        ask = system.ask
        monkeypatch.setattr(system, "ask", lambda *a, ask=ask, **k: (asked.append(a[0]), ask(*a, **k))[1])
        try:
            assert system.examine({"app": "plain:app"})["ok"]
        finally:
            system.close()
    assert len(asked) < 4
