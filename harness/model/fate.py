"""The words for what became of a message: its fate, and what is known of the cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from harness.model.history import Delivery, Message, ProcessLife

__all__ = [
    "IN_BROKER",
    "IN_MEMORY",
    "NEVER_AGAIN",
    "NEVER_DELIVERED",
    "NEVER_PUBLISHED",
    "UNCONFIRMED",
    "WHILE_RUNNING",
    "Fate",
    "FateKind",
]

WHILE_RUNNING = "while running"
IN_MEMORY = "in the worker's memory"
#: Published and confirmed, and then neither delivered nor held: on Redis perhaps by the pop that a killed worker took along.
NEVER_DELIVERED = "never delivered"
#: Delivered and never acknowledged by a dead worker, so it was the broker's to deliver again; it is gone.
NEVER_AGAIN = "never delivered again"
NEVER_PUBLISHED = "never published"
#: As NEVER_DELIVERED, where a publish returns as soon as it is written to the socket: nothing shows that the broker ever had it.
UNCONFIRMED = "published without confirms, never delivered"
#: It expired while it waited: no worker saw it, so none stored a result.
IN_BROKER = "in the broker"


class FateKind(str, Enum):
    """Where a message ended. The values are the words of the report."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"  # superseded by its successor
    REVOKED = "revoked"
    EXPIRED = "expired"
    DEAD_LETTERED = "dead_lettered"
    REJECTED = "rejected"  # by the task itself, without requeue and without a dead-letter queue
    DISCARDED = "discarded"  # by the worker: unknown task, invalid or undecodable message
    SCHEDULED = "scheduled"
    STRANDED = "stranded"
    LOST = "lost"
    UNPUBLISHED = "unpublished"  # the publish failed or was never confirmed, and nobody saw the message
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@dataclass(slots=True)
class Fate:
    """One fate and what decided it.

    ``runs_again``: ended, and the broker still holds the message (killed before its ack). ``broker_lost``: the broker's
    transport lost it between its pop and the write of `unacked`, with the worker ``killer`` that was killed there: not the task's fault.
    ``why``: a sentence on what the broker's own rules did to it; '' where they explain nothing.
    """

    kind: FateKind
    cause: str = ""
    message: Message | None = None
    delivery: Delivery | None = None
    runs_again: bool = False
    broker_lost: bool = False
    why: str = ""
    killer: ProcessLife | None = None
