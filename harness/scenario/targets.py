"""What a fault of the timeline hits, or stands between: it must be there, and of a kind that the fault can hit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.ports.fault import Fault
from harness.ports.registry import Registry
from harness.scenario.errors import Problems
from harness.scenario.links import PRODUCER
from harness.scenario.names import known, listed, nearest
from harness.scenario.tree import Fields, Items, Scalar, find

if TYPE_CHECKING:
    from harness.scenario.references import Parts

__all__ = ["check_targets"]

#: Kinds of stores with a server of their own, unless the store says it by an attribute `has_server`.
_WITH_SERVER = ("redis", "postgres")


def check_targets(item: Fields, name: Scalar, fault: type[Fault], parts: Parts, registry: Registry, problems: Problems) -> None:
    """`target` and `between` of one item. What a fault hits says its attribute `hits`: 'worker', 'server', 'backend', '' for anything."""
    hits = getattr(fault, "hits", "") or ("worker" if fault.name.startswith("worker.") else "")
    if hits == "backend" and not parts.backend:
        problems.add(name.place, f"`{fault.name}` needs a result backend", "write `backend: redis` in `system`")
    target = item.get("target")
    if isinstance(target, Scalar) and isinstance(target.value, str) and target.value:
        _check_target(target, target.value, fault.name, hits, parts, registry, problems)
    sides = find(item, "between")
    if isinstance(sides, Items) and len(sides.items) == 2:
        _check_between(sides, fault.name, parts, registry, problems)


def _check_target(target: Scalar, value: str, fault: str, hits: str, parts: Parts, registry: Registry, problems: Problems) -> None:
    if hits == "server":
        _check_server(target, value, fault, parts, registry, problems)
        return
    possible = parts.workers if hits == "worker" else parts.targets
    if value in possible:
        return
    if value in parts.targets:
        problems.add(target.place, f"`{fault}` hits workers, and `{value}` is none", f"workers: {listed(parts.groups)}")
    else:
        noun = "worker group or replica" if hits == "worker" else "worker, broker or service"
        names = [*parts.groups, *(name for name in possible if name not in parts.workers)]
        problems.add(target.place, f"no {noun} `{value}`{nearest(value, possible)}", known(names))


def _check_server(target: Scalar, value: str, fault: str, parts: Parts, registry: Registry, problems: Problems) -> None:
    """A service that is a server of ours; broker and backend have faults of their own."""
    servers = [name for name, kind in parts.services.items() if _has_server(kind, registry)]
    if value in servers:
        return
    hint = f"services with a server: {listed(servers)}" if servers else "`system.services` has none with a server"
    if value in ("broker", "backend"):
        own = f"{value}.{fault.partition('.')[2]}"
        problems.add(target.place, f"`{fault}` hits a service's server, and `{value}` is none", f"write `fault: {own}`")
    elif value in parts.services:
        problems.add(target.place, f"`{value}` ({parts.services[value]}) has no server of its own that `{fault}` could hit", hint)
    elif value in parts.targets:
        problems.add(target.place, f"`{fault}` hits a service's server, and `{value}` is none", hint)
    else:
        problems.add(target.place, f"no service `{value}`{nearest(value, servers)}", hint)


def _has_server(kind: str, registry: Registry) -> bool:
    return bool(getattr(registry.stores.get(kind), "has_server", kind in _WITH_SERVER))


def _check_between(sides: Items, fault: str, parts: Parts, registry: Registry, problems: Problems) -> None:
    """One client and one dependency with an address, in either order."""
    clients = [*parts.workers, PRODUCER]
    dependencies = [name for name in parts.targets if name not in parts.workers]
    names: list[str] = []
    for side in sides.items:
        if not isinstance(side, Scalar) or not isinstance(side.value, str):
            return  # told by the fault's own model
        if side.value not in clients and side.value not in dependencies:
            near = nearest(side.value, [*clients, *dependencies])
            what = f"no worker, broker or service `{side.value}`{near}"
            problems.add(side.place, what, known([*parts.groups, PRODUCER, *dependencies]))
            return
        names.append(side.value)
    found = [name for name in names if name in dependencies]
    if len(found) != 1:
        words = f"both depend on others: name what `{names[0]}` talks to" if not found else "neither of them is a worker or the producer"
        hint = f"one of {listed([*parts.groups, PRODUCER], 'or')}, and one of {listed(dependencies, 'or')}"
        problems.add(sides.place, f"`{names[0]}` and `{names[1]}` do not talk to one another; {words}", hint)
    elif "host" not in parts.offers(registry)[found[0]]:
        place = sides.items[names.index(found[0])].place
        kind = parts.services[found[0]]
        what = f"`{found[0]}` ({kind}) has no address: there is no connection that `{fault}` could disturb"
        with_one = [name for name in dependencies if "host" in parts.offers(registry)[name]]
        problems.add(place, what, f"with an address: {listed(with_one)}")
