"""What a call to the kernel is about to do, as far as the explorer has to know."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from harness.explore.targets import Address

__all__ = ["PASS", "Alarm", "Connection", "Done", "Doubt", "Effect", "Forks", "Pass", "Refusal", "Sleep", "What"]


@dataclass(frozen=True, slots=True)
class Pass:
    """Nobody else can notice it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Fields as those of `Stop`."""

    call: str
    kind: str
    target: str
    words: str
    identity: str


@dataclass(frozen=True, slots=True)
class Connection:
    """It wants to connect its socket to this address."""

    descriptor: int
    address: Address


@dataclass(frozen=True, slots=True)
class Refusal:
    """It sends to an address that nobody declared, or makes a socket by which it could (``error``: the errno that it is told)."""

    address: Address
    error: int = errno.ECONNREFUSED


@dataclass(frozen=True, slots=True)
class Sleep:
    """It waits for time alone to pass: nanosleep, clock_nanosleep, select …; or until a deadline beside something else: futex."""

    call: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """It wants to be woken by a signal in so many seconds; 0: no more."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """It returns this, and nothing is done: it would fail here, and not in a worker."""

    value: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """It will do what we cannot see. ``error``: the errno with which it is refused; 0: it may."""

    words: str
    error: int = 0


@dataclass(frozen=True, slots=True)
class Forks:
    """Another thread or process."""


What = Pass | Effect | Connection | Refusal | Sleep | Alarm | Done | Doubt | Forks
PASS = Pass()
