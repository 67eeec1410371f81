"""Where the embedded server is not like Toxiproxy's own, on purpose. Everything else is held to be the same.

Written down before it is tested: `tests/conformance` asks here what to expect of each server, shows that each
difference is there, and fails on any other.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DIFFERENCES", "Difference", "expected"]


@dataclass(frozen=True, slots=True)
class Difference:
    """``real`` and ``embedded`` are what the two servers do, as the tests compare it."""

    name: str
    question: str
    real: object
    embedded: object
    reason: str


DIFFERENCES = (
    Difference(
        "seed",
        "do two servers of the same -seed make the same toxic draws, connection for connection?",
        real=False,
        embedded=True,
        reason="a run must be replayable; the Go server takes the flag and draws from a source of its own",
    ),
    Difference(
        "live_counters",
        "do /metrics count the bytes of connections that are still open?",
        real=False,
        embedded=True,
        reason="a broker's connections stay open for a whole run; the Go server adds a connection's bytes when it has closed",
    ),
    Difference(
        "changes_under_load",
        "is a toxic added while a receiver reads nothing?",
        real=False,
        embedded=True,
        reason="the Go server waits for the blocked chunk to pass and holds a lock meanwhile: its call hangs",
    ),
    Difference(
        "waiting_reset",
        "can a reset_peer that waits for its timeout be removed at once?",
        real=False,
        embedded=True,
        reason="healing must not wait for a fault; the connection closes when due on both",
    ),
    Difference(
        "half_refused_change",
        "does a change of a toxic that is answered with 400 leave some of its attributes changed?",
        real=True,
        embedded=False,
        reason="what was refused has not happened",
    ),
    Difference(
        "default_host",
        "where does a proxy listen whose address names no host?",
        real="everywhere",
        embedded="loopback",
        reason="nothing that the harness starts without containers is to be reached from outside",
    ),
    Difference(
        "port_zero",
        "does -port 0 print `Listening on host:port` with the port that was taken?",
        real=False,
        embedded=True,
        reason="without it a free port has to be guessed, and may be gone",
    ),
    Difference(
        "logger_field",
        "has a proxy's JSON an empty object `Logger`?",
        real=True,
        embedded=False,
        reason="an oversight there",
    ),
    Difference(
        "runtime_metrics",
        "is there a flag -runtime-metrics?",
        real=True,
        embedded=False,
        reason="they are about Go's own runtime",
    ),
)


def expected(name: str, *, embedded: bool) -> object:
    """What one of the two servers does. KeyError for a difference that nobody wrote down."""
    found = {difference.name: difference for difference in DIFFERENCES}[name]
    return found.embedded if embedded else found.real
