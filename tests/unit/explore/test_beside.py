"""Files that belong to no service: which of them a later delivery may read again."""

from __future__ import annotations

from collections.abc import Sequence

from harness.explore.beside import beside, kept_beside, left_beside
from harness.explore.clean import Clean, Learnt
from harness.model.exploration import Ending, Outcome, Stop
from harness.model.world import World
from harness.ports.exploring import Node

NODE = Node("", World({}), (), None)


def stop(number: int, path: str, call: str = "openat", kind: str = "other") -> Stop:
    return Stop(number, call, kind, path, f"open {path} to write", f"{call} {path}")


def learnt(*runs: Sequence[str]) -> Learnt:
    def clean(paths: Sequence[str]) -> Clean:
        stops = tuple(stop(number, path) for number, path in enumerate(paths, 1))
        return Clean((Ending(Outcome.SUCCESS, stops),), NODE, {})

    return Learnt(tuple(clean(paths) for paths in runs), NODE, NODE, "", by_day=False, changes=True)


def test_only_what_is_found_again_by_its_name_is_kept() -> None:
    known = learnt(
        ["/srv/marker", "/var/log/app.log", "/var/lib/libuuid/clock.txt", "/tmp/tmpx3k9_a1b", "/tmp/5f1c0f6e2b8b4f6f9d55c2a7f0d3e111.pdf"],
        ["/srv/marker", "/var/log/app.log", "/var/lib/libuuid/clock.txt", "/tmp/tmpq7wz02mn", "/tmp/a91c0f6e2b8b4f6f9d55c2a7f0d3e222.pdf"],
    )
    further = beside(
        [stop(1, "/tmp/tmpzzzz0000"), stop(2, "/srv/again-7"), stop(3, "/bin/true", "execve"), stop(4, "out.txt", kind="file")]
    )
    assert kept_beside(known, further) == ["/srv/again-#", "/srv/marker"]
    told = ["/srv/again-#", "/srv/marker", "/tmp/<token>.pdf", "/tmp/tmp<token>", "/var/lib/libuuid/clock.txt", "/var/log/app.log"]
    assert left_beside(known, further) == told


def test_a_name_that_every_execution_writes_is_found_again_whatever_it_looks_like() -> None:
    path = "/srv/5f1c0f6e-2b8b-4f6f-9d55-c2a7f0d3e111"  # the id of the message, say
    assert kept_beside(learnt([path], [path]), ()) == ["/srv/<token>"]
