"""Every name that a scenario mentions: brokers, stores, faults, checks, workers and services must be there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, RootModel

from harness.model.scenario import TimelineItem
from harness.ports.fault import Fault
from harness.ports.network import host_name
from harness.ports.registry import Registry
from harness.scenario.errors import Problems
from harness.scenario.names import known, listed, nearest
from harness.scenario.phrases import validated
from harness.scenario.shapes import keys_of
from harness.scenario.targets import check_targets
from harness.scenario.tree import Entry, Fields, Items, Place, Scalar, Tree, describe, find

__all__ = ["RESERVED", "Parts", "check_brokers", "check_checks", "check_services", "check_timeline", "parts_of"]

_OFFERS = ("url", "host", "port")
#: Where it is not all of these and no more; a store of a third party says it by an attribute `offered`.
_OFFERS_OF: dict[str, tuple[str, ...]] = {
    "sqlite": ("url", "path"),
    "files": ("url", "path"),
    "postgres": (*_OFFERS, "user", "password", "database", "sslrootcert"),
    "redis": (*_OFFERS, "password"),
    "call": (),
}
#: Of a kind of server of a third party that does not say.
_ROLES = frozenset({"broker", "backend", "service"})
#: Of parts that every system has, and words with a meaning of their own.
RESERVED = ("broker", "backend", "matrix", "producer", "toxiproxy", "call", "check", "localhost")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_MAX_REPLICAS = 64
_EVENTS = ("start", "end", "before_ack", "after_ack", "effect")
_LINE = re.compile(r"[^:#\s][^:#]*\.py:[1-9]\d*(#[1-9]\d*)?")
#: Points that a worker's main process reaches: no pool child is there to be struck.
_IN_MAIN = ("before_ack", "after_ack")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the system consists of. ``groups``: worker group -> (replicas at most, pool)."""

    groups: Mapping[str, tuple[int, str]]
    services: Mapping[str, str]
    backend: bool

    @property
    def workers(self) -> list[str]:
        """Groups, then replicas: what a worker fault may hit."""
        return [*self.groups, *(f"{group}-{n}" for group, (replicas, _) in self.groups.items() for n in range(1, replicas + 1))]

    @property
    def targets(self) -> list[str]:
        """Everything that a fault may hit."""
        return [*self.workers, "broker", *(["backend"] if self.backend else []), *self.services]

    def offers(self, registry: Registry) -> dict[str, tuple[str, ...]]:
        """What `${{ name.key }}` may say: name -> keys."""
        offered: dict[str, tuple[str, ...]] = {"broker": _OFFERS, **({"backend": _OFFERS} if self.backend else {})}
        for name, kind in self.services.items():
            usual = _OFFERS_OF.get(kind, _OFFERS)
            offered[name] = tuple(getattr(registry.stores.get(kind), "offered", usual))
        return offered

    def group_of(self, target: str) -> str:
        """'pay' for 'pay' and 'pay-1'."""
        return target if target in self.groups else target.rpartition("-")[0]


def parts_of(tree: Fields) -> Parts:
    """The parts as far as they are well-formed; what is not is told by others."""
    groups: dict[str, tuple[int, str]] = {}
    workers = find(tree, "system", "workers")
    for name, entry in workers.entries.items() if isinstance(workers, Fields) else ():
        replicas, pool = _value(find(entry.value, "replicas")), _value(find(entry.value, "pool"))
        count = replicas if isinstance(replicas, int) and 0 < replicas <= _MAX_REPLICAS else 1
        groups[name] = (max(count, _scaled_to(tree, name)), str(pool or "prefork"))
    if workers is None:
        groups["worker"] = (max(1, _scaled_to(tree, "worker")), "prefork")
    services = find(tree, "system", "services")
    kinds = {name: _kind(entry.value)[0] for name, entry in services.entries.items()} if isinstance(services, Fields) else {}
    backend = find(tree, "system", "backend")
    return Parts(groups, kinds, backend is not None and not (isinstance(backend, Scalar) and backend.value is None))


def _value(tree: Tree | None) -> Any:
    return tree.value if isinstance(tree, Scalar) else None


def _scaled_to(tree: Fields, group: str) -> int:
    """The most replicas that a fault of the timeline scales a group to: later faults may hit them."""
    timeline = tree.get("timeline")
    items = timeline.items if isinstance(timeline, Items) else ()
    wanted = [_value(find(item, "replicas")) for item in items if _value(find(item, "target")) == group]
    return max((count for count in wanted if isinstance(count, int) and count <= _MAX_REPLICAS), default=0)


def _kind(service: Tree) -> tuple[str, Tree]:
    """(kind, parameters) of `sqlite` and of `{http: {...}}`; ('', ...) where it is neither."""
    if isinstance(service, Scalar) and isinstance(service.value, str):
        return service.value, Fields({}, service.place)
    if isinstance(service, Fields) and len(service.entries) == 1:
        kind, entry = next(iter(service.entries.items()))
        return kind, _or_empty(entry)
    return "", service


def _or_empty(entry: Entry) -> Tree:
    """A mapping of parameters; nothing written is none."""
    value = entry.value
    return Fields({}, entry.key) if isinstance(value, Scalar) and value.value is None else value


def check_brokers(tree: Fields, registry: Registry, problems: Problems) -> None:
    """Broker and backend are of a kind that there is, and that can be that."""
    for role in ("broker", "backend"):
        spec = find(tree, "system", role)
        kind = spec.get("kind") if isinstance(spec, Fields) else spec
        if not isinstance(kind, Scalar) or not isinstance(kind.value, str):
            continue
        fit = [name for name, server in registry.brokers.items() if role in getattr(server, "roles", _ROLES)]
        if kind.value not in registry.brokers:
            problems.add(kind.place, f"no {role} of the kind `{kind.value}`{nearest(kind.value, fit)}", known(fit))
        elif kind.value not in fit:
            problems.add(kind.place, f"`{kind.value}` cannot be used as {role}", known(fit))


def check_services(tree: Fields, parts: Parts, registry: Registry, problems: Problems) -> dict[str, tuple[str, BaseModel]]:
    """Service name -> (kind, its validated parameters)."""
    stores: dict[str, tuple[str, BaseModel]] = {}
    services = find(tree, "system", "services")
    for name, entry in services.entries.items() if isinstance(services, Fields) else ():
        _check_name(name, entry.key, "service", problems)
        if name in parts.workers:
            problems.add(entry.key, f"`{name}` names a service and a worker", "rename one: a fault's target could mean both")
        kind, parameters = _kind(entry.value)
        if not kind:
            if isinstance(entry.value, Fields):
                keys = listed(f"`{key}`" for key in entry.value.entries)
                what = f"a service has one kind, not {keys}" if keys else "a service has a kind, not nothing"
                problems.add(entry.value.place, what, f"write `{name}: sqlite` or `{name}: {{http: {{...}}}}`")
            continue
        place = next(iter(entry.value.entries.values())).key if isinstance(entry.value, Fields) else entry.value.place
        store = registry.stores.get(kind)
        if store is None:
            problems.add(place, f"no service of the kind `{kind}`{nearest(kind, registry.stores)}", known(registry.stores))
        elif (model := validated(store.Parameters, parameters, problems, title=f"the service `{name}` ({kind})")) is not None:
            stores[name] = (kind, model)
    return stores


def _check_name(name: str, place: Place, what: str, problems: Problems) -> None:
    if name in RESERVED or host_name(name) in RESERVED:
        problems.add(place, f"a {what} cannot be called `{name}`: that has a meaning of its own")
    elif not _NAME.fullmatch(name):
        problems.add(place, f"`{name}` cannot name a {what}: use letters, digits, _ and -")


def check_checks(tree: Fields, parts: Parts, registry: Registry, problems: Problems) -> dict[str, BaseModel]:
    """Check name -> its validated parameters; `thresholds:` is the parameters of the check of that name."""
    found: dict[str, BaseModel] = {}
    checks, thresholds = tree.get("checks"), tree.entries.get("thresholds")
    entries = dict(checks.entries) if isinstance(checks, Fields) else {}
    if "thresholds" in entries:
        problems.add(entries.pop("thresholds").key, "`thresholds` stands at the top level of the file, beside `checks`")
    if thresholds is not None and isinstance(thresholds.value, Fields) and thresholds.value.entries:
        entries["thresholds"] = thresholds
    for name, entry in entries.items():
        check = registry.checks.get(name)
        if check is None:
            problems.add(entry.key, f"no check `{name}`{nearest(name, registry.checks)}", known(registry.checks))
            continue
        parameters = _or_empty(entry)
        if not isinstance(parameters, Fields):
            continue  # told by the scenario's own model
        if (model := _check_parameters(check.Parameters, parameters, problems, f"the check `{name}`")) is not None:
            found[name] = model
        if name != "thresholds":
            _check_observed(parameters, parts, problems)
    return found


def _check_parameters(model: type[BaseModel], tree: Fields, problems: Problems, title: str) -> BaseModel | None:
    """Entry by entry where each stands for itself, so that an error of its own rules is told at its key."""
    if issubclass(model, RootModel):
        alone = [validated(model, Fields({key: entry}, entry.key), problems, title=title) for key, entry in tree.entries.items()]
        if None in alone:
            return None
    return validated(model, tree, problems, title=title)


def _check_observed(parameters: Tree, parts: Parts, problems: Problems) -> None:
    """A check of a store that is not there would see no difference and pass."""
    observed = find(parameters, "observe")
    for item in observed.items if isinstance(observed, Items) else ():
        if isinstance(item, Scalar) and isinstance(item.value, str) and item.value not in parts.services:
            hint = known(parts.services) if parts.services else "`system.services` has none"
            problems.add(item.place, f"no service `{item.value}` to observe{nearest(item.value, parts.services)}", hint)


def check_timeline(tree: Fields, parts: Parts, registry: Registry, problems: Problems) -> list[tuple[type[Fault], BaseModel]]:
    """Per item (fault, validated parameters); shorter than the timeline where something is wrong."""
    found: list[tuple[type[Fault], BaseModel]] = []
    timeline = tree.get("timeline")
    for item in timeline.items if isinstance(timeline, Items) else ():
        if not isinstance(item, Fields):
            continue
        _check_trigger(item, problems)
        name = item.get("fault")
        if not isinstance(name, Scalar) or not isinstance(name.value, str):
            continue
        fault = registry.faults.get(name.value)
        if fault is None:
            problems.add(name.place, f"no fault `{name.value}`{nearest(name.value, registry.faults)}", known(registry.faults))
            continue
        planning = keys_of([TimelineItem])
        own = Fields({key: entry for key, entry in item.entries.items() if key not in planning}, item.place)
        model = validated(fault.Parameters, own, problems, also=planning, title=f"`{name.value}`")
        if model is not None:
            found.append((fault, model))
        check_targets(item, name, fault, parts, registry, problems)
        _check_arming(item, name, fault, parts, problems)
    return found


def _check_trigger(item: Fields, problems: Problems) -> None:
    task, reaches = find(item, "when", "task"), find(item, "when", "reaches")
    if isinstance(task, Scalar) and isinstance(task.value, str) and not re.fullmatch(r"\S+", task.value):
        problems.add(task.place, f"{describe(task)} is not a task's name or pattern", "such as orders.charge or orders.*")
    if not isinstance(reaches, Scalar) or not isinstance(reaches.value, str):
        return
    if reaches.value not in _EVENTS and not _LINE.fullmatch(reaches.value):
        what = f"no point `{reaches.value}`{nearest(reaches.value, _EVENTS)}"
        problems.add(reaches.place, what, f"write {listed(_EVENTS, 'or')}, or a line such as orders.py:41")


def _check_arming(item: Fields, name: Scalar, fault: type[Fault], parts: Parts, problems: Problems) -> None:
    """A fault that could never strike as it is planned is refused: it would make every run inconclusive."""
    if getattr(fault, "needs_event", False) and "at" in item.entries:
        hint = "write when: {task: orders.charge, reaches: start}"
        problems.add(item.entries["at"].key, f"`{name.value}` needs `when`: it strikes where a task is, not at a time", hint)
    reaches = find(item, "when", "reaches")
    if isinstance(reaches, Scalar) and reaches.value in _IN_MAIN and fault.strike == "kill_child":
        what = f"`{name.value}` kills a pool child, but `{reaches.value}` is reached in the worker's main process"
        problems.add(reaches.place, what, "use start, end or a line, or worker.kill")
    if isinstance(reaches, Scalar) and reaches.value == "effect":
        _check_effect(reaches, name, fault, parts, problems)
    target = _value(item.get("target"))
    group = parts.group_of(str(target)) if target else ""
    pools = {parts.groups[group][1]} if group in parts.groups else {pool for _, pool in parts.groups.values()}
    needed = getattr(fault, "needs_pool", "")
    if needed and pools and needed not in pools:
        what = f"`{name.value}` needs the pool {needed}, not {listed(sorted(pools), 'or')}"
        problems.add(name.place, what, f"write `pool: {needed}` in the worker group, or choose another fault")


def _check_effect(reaches: Scalar, name: Scalar, fault: type[Fault], parts: Parts, problems: Problems) -> None:
    """A task is held there by the kernel, from outside: all that can be done to it is to kill."""
    if fault.strike not in ("kill_group", "kill_child"):
        problems.add(reaches.place, f"`{name.value}` cannot strike at an effect", "use task.crash, worker.kill or worker.kill_child")
    pools = {pool for _, pool in parts.groups.values()} - {"prefork"}
    if pools:
        problems.add(reaches.place, f"an effect is reached in the pool prefork, not in {listed(sorted(pools), 'and')}")
