"""Whose harness is gone, and of whom nobody here can say so."""

from __future__ import annotations

from pathlib import Path

from harness.runtimes.shared.leftovers import lives, owner


def test_an_owner_is_known_by_pid_start_and_where_the_pid_means_something() -> None:
    pid, started, *where = owner().split()
    assert lives(owner()) and lives(f"{pid} {started}")
    assert not lives(f"{pid} {float(started) - 60} {' '.join(where)}"), "another process has its pid now"
    assert not lives(f"4194300 1.0 {' '.join(where)}") and not lives("4194300 1.0") and not lives("")


def test_one_in_a_container_is_left_alone() -> None:
    """What runs in there is seen from outside, under other pids: `clean` killed it."""
    assert Path("/proc/self/ns/pid").readlink() != Path("pid:[1]")
    assert lives("4194300 1.0 pid:[1]")
