"""Which connections of a scenario go through a proxy: those that its faults may disturb, and those it asks for."""

from __future__ import annotations

from harness.model.scenario import Scenario

__all__ = ["PRODUCER", "wanted_links"]

#: The client that publishes the load; the others are worker groups.
PRODUCER = "producer"


def wanted_links(scenario: Scenario) -> frozenset[tuple[str, str]]:
    """(worker group or 'producer', 'broker', 'backend' or service): every pair that needs a proxy between.

    From each fault's `between` (a replica stands for its group: any of its workers may be hit by number), and from
    `proxy: true` of broker and backend, for all clients.
    """
    system = scenario.system
    servers = {"broker": system.broker_spec, **({"backend": system.backend_spec} if system.backend_spec else {})}
    clients = [*system.workers, PRODUCER]
    found = {(client, name) for name, spec in servers.items() if spec.proxy for client in clients}
    dependencies = {*servers, *system.services}
    for item in scenario.timeline:
        sides = item.parameters.get("between")
        if isinstance(sides, (list, tuple)) and len(sides) == 2:
            client, dependency = sides if sides[1] in dependencies else reversed(sides)
            group = client if client in clients else str(client).rpartition("-")[0]
            if group in clients and dependency in dependencies:
                found.add((group, str(dependency)))
    return frozenset(found)
