"""Hosts of the app's own that services stand for (`hosts:`): each leads to one place, and to one that the app can be led to."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from harness.model.scenario import Scenario
from harness.scenario.errors import Problems
from harness.scenario.tree import Fields, place_of

__all__ = ["check_stand_ins"]

#: They have sockets of their own below Python's `socket.socket`, where the agent leads names to services.
_POOLS = ("gevent", "eventlet")


def check_stand_ins(scenario: Scenario, tree: Fields, stores: Mapping[str, tuple[str, BaseModel]], problems: Problems) -> None:
    """``stores``: service -> (kind, parameters); those with `places` stand for hosts."""
    taken: dict[tuple[str, int], str] = {}
    for name, (kind, parameters) in stores.items():
        for number, (host, port) in enumerate(getattr(parameters, "places", ())):
            place = place_of(tree, ("system", "services", name, kind, "hosts", number))
            if (host, port) in taken:
                problems.add(place, f"{host}:{port} leads to `{taken[host, port]}` already", "leave one out")
            taken.setdefault((host, port), name)
            open_ = next((entry for entry in scenario.system.egress if _opens(entry, host, port)), "")
            if open_:
                problems.add(place, f"{host}:{port} leads to this service, and `egress: {open_}` opens the real one", "leave one out")
    pools = {group: spec.pool for group, spec in scenario.system.workers.items() if spec.pool in _POOLS}
    if taken and pools:
        group, pool = next(iter(pools.items()))
        what = f"`hosts` of a service cannot be told to a worker with the pool `{pool}`, whose sockets are not Python's own"
        problems.add(place_of(tree, ("system", "workers", group)), what, "give the app `${{ service.url }}` by `env`, or use another pool")


def _opens(entry: str, host: str, port: int) -> bool:
    name, colon, only = entry.strip().lower().rpartition(":")
    return name.rstrip(".") == host and only == str(port) if colon and only.isdigit() else entry.strip().lower().rstrip(".") == host
