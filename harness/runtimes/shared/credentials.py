"""Users and passwords of a server, made for the run."""

from __future__ import annotations

import secrets

from harness.passwords import new_password
from harness.ports.broker import Endpoint, Login
from harness.runtimes.shared.hosting import ServerSpec

__all__ = ["fresh_endpoint"]


def fresh_endpoint(spec: ServerSpec) -> Endpoint:
    """No address yet. The monitor's login does everything; worker and producer have one each, where the kind knows users.

    Their names are new each time, as the passwords are: a server that changes hands forgets the old ones, and so turns away even a
    client that has shown its password already and is not in yet.
    """
    users = {role: spec.kind.login(role) for role in ("worker", "producer")}
    mark = secrets.token_hex(3)
    return Endpoint(
        "",
        0,
        new_password(),
        spec.kind.login("monitor"),
        {role: Login(f"{user}-{mark}", new_password()) for role, user in users.items() if user},
    )
