"""The pool child that a fault kills runs a task, if any does."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from harness.runtimes.shared.control import Control
from harness.runtimes.shared.running import running

START, END, OTHER = '{"k":"start","d":"1"}\n', '{"k":"end","d":"1"}\n', '{"k":"ack","d":"1"}\n'


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", False),
        (OTHER, False),
        (START, True),
        (START + OTHER, True),
        (START + END + OTHER, False),
        (START + END + START, True),
        (START + '{"k":"en', True),  # the end is being written
        (START + "\0" * 4096 + OTHER, True),  # what is left of a chunk stays zero
        (START + "12\n[]\n", True),
    ],
)
def test_by_the_last_start_and_end(tmp_path: Path, text: str, runs: bool) -> None:
    (tmp_path / "7-1.journal").write_bytes(text.encode() + b"\0" * 1000)
    assert running(tmp_path, [7, 8]) == ({7} if runs else set())


class System(Control):
    """Three children of one worker."""

    def __init__(self, journal: Path) -> None:
        self.journal, self.killed = journal, [0]

    def _process(self, worker: Any) -> Any:
        return self

    def kill_child(self, worker: Any, rng: Any = None) -> Any:
        if rng is None:
            self.killed.append(worker)
            return True
        return super().kill_child(worker, rng)

    def at_work(self, pids: Any) -> set[int]:
        return running(self.journal, pids)

    def children(self) -> list[int]:
        return [11, 12, 13]


def test_an_idle_child_is_killed_only_where_none_works(tmp_path: Path) -> None:
    system: Any = System(tmp_path)
    assert {system.kill_child(system, random.Random(seed)) for seed in range(20)} == {11, 12, 13}
    (tmp_path / "12-1.journal").write_text(START)
    (tmp_path / "13-1.journal").write_text(START + END)
    assert {system.kill_child(system, random.Random(seed)) for seed in range(20)} == {12}
