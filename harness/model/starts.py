"""Why a delivery happened, and when it ended."""

from __future__ import annotations

from harness.model.history import Delivery

__all__ = ["COPIED", "DELIVERED", "REDELIVERED", "RETRIED", "end_of", "started_again"]

DELIVERED, RETRIED, REDELIVERED, COPIED = range(4)


def started_again(delivery: Delivery) -> int:
    """Why this delivery happened: first delivery, retry, redelivery or injected copy."""
    if delivery.copy:
        return COPIED
    earlier = delivery.message.deliveries[0] if delivery.message.deliveries else delivery
    if delivery.redelivered or earlier is not delivery:
        return REDELIVERED
    return RETRIED if delivery.message.is_retry else DELIVERED


def end_of(delivery: Delivery) -> float | None:
    """When it ended: in the process that ran it, or as its main process saw it (a lost pool child, a time limit)."""
    if delivery.end is None and delivery.outcome.startswith("failed:"):
        return delivery.ack if delivery.ack is not None else delivery.died
    return delivery.end
