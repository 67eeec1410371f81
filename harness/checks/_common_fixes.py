"""Advice that more than one check gives."""

from __future__ import annotations

__all__ = ["RECONNECT", "SUPERVISE"]

SUPERVISE = (
    "Let workers connect again (broker_connection_retry=True, broker_connection_max_retries=None), and let a supervisor (systemd, "
    "Kubernetes) restart one that ends."
)
RECONNECT = (
    "Let workers notice a dead connection and connect again: broker_connection_retry=True, heartbeats (broker_heartbeat) or, on Redis, "
    "broker_transport_options={'socket_timeout': …, 'socket_keepalive': True}; and let a liveness probe restart one that does not."
)
