"""Users and passwords of a server, made for the run."""

from __future__ import annotations

import secrets

from harness.ports.broker import Endpoint, Login
from harness.runtimes.shared.hosting import ServerSpec

__all__ = ["fresh_endpoint"]


def fresh_endpoint(spec: ServerSpec) -> Endpoint:
    """No address yet. The monitor's login does everything; worker and producer have one each, where the kind knows users."""
    users = {role: spec.kind.login(role) for role in ("worker", "producer")}
    return Endpoint(
        "",
        0,
        secrets.token_urlsafe(24),
        spec.kind.login("monitor"),
        {role: Login(user, secrets.token_urlsafe(24)) for role, user in users.items() if user},
    )
