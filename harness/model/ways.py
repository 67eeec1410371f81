"""Who a fault stands in the way of: which connections it disturbs, by its kind and target."""

from __future__ import annotations

from harness.model.history import FaultRecord

__all__ = ["cuts_broker", "on_way", "slows_publishers"]


def cuts_broker(fault: FaultRecord) -> bool:
    """Does this kind of fault disturb somebody's connection to the broker?"""
    return fault.name in ("broker.restart", "broker.kill", "broker.pause", "net.disconnect") or (
        fault.name.startswith("net.") and "broker" in fault.target.split(" and ")
    )


def on_way(fault: FaultRecord, client: str) -> bool:
    """Does one that `cuts_broker` disturb this client: a worker (pay-1), or 'producer'? Its target may name the worker's group as well."""
    parts = fault.target.split(" and ")
    return fault.name.startswith("broker.") or client in parts or client.rpartition("-")[0] in parts


def slows_publishers(fault: FaultRecord) -> bool:
    """Did it bite, and could it hold up a call of the load? On the producer's way to the broker; or to the result backend, to which Celery
    may subscribe within `apply_async` (celery/backends/redis.py, on_task_call).
    """
    if fault.begun is None or fault.evidence.bit is not True:
        return False
    if fault.name.startswith("backend."):
        return True
    if fault.name.startswith("net.") and "producer" in fault.target.split(" and "):
        return True
    return cuts_broker(fault) and on_way(fault, "producer")
