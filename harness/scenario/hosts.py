"""Names of parts that are names of hosts too: in containers each part is found under its own, so no two may be the same."""

from __future__ import annotations

from harness.ports.network import host_name
from harness.scenario.errors import Problems
from harness.scenario.references import Parts
from harness.scenario.tree import Fields, Place, find

__all__ = ["check_hosts"]

_LONGEST = 60  # of the 63 that a label has (RFC 1035, 2.3.4): a replica's number comes behind a group's


def check_hosts(tree: Fields, parts: Parts, problems: Problems) -> None:
    """Every group and service has a host name of its own, that of each replica included; case counts as little as `_` against `-`."""
    workers, services = find(tree, "system", "workers"), find(tree, "system", "services")
    groups: dict[str, str] = {}
    replicas: dict[str, str] = {}
    for name, place in _entries(workers) or [(name, None) for name in parts.groups]:
        stem = _stem(name, place, "group", problems)
        if stem in groups:
            _refuse(place, f"the groups `{groups[stem]}` and `{name}`", f"{stem}-1", problems)
        groups.setdefault(stem, name)
        replicas |= {f"{stem}-{number}": f"{name}-{number}" for number in range(1, parts.groups[name][0] + 1)}
    taken: dict[str, str] = {}
    for name, place in _entries(services):
        host = _stem(name, place, "service", problems)
        if host in replicas and name != replicas[host]:  # the very same name is told elsewhere
            _refuse(place, f"the service `{name}` and the worker `{replicas[host]}`", host, problems)
        elif host in taken:
            _refuse(place, f"the services `{taken[host]}` and `{name}`", host, problems)
        taken.setdefault(host, name)


def _entries(found: object) -> list[tuple[str, Place | None]]:
    return [(name, entry.key) for name, entry in found.entries.items()] if isinstance(found, Fields) else []


def _stem(name: str, place: Place | None, what: str, problems: Problems) -> str:
    host = host_name(name)
    if place is not None and not host:
        problems.add(place, f"`{name}` cannot name a {what}: it has no letter or digit, and a host's name needs one")
    elif place is not None and len(host) > _LONGEST:
        problems.add(place, f"`{name}` cannot name a {what}: a host's name has at most {_LONGEST} characters", "choose a shorter one")
    return host


def _refuse(place: Place | None, who: str, host: str, problems: Problems) -> None:
    if place is not None and host:
        problems.add(place, f"{who} would be the same host, `{host}`", "rename one: case, `_` and `-` make no difference there")
