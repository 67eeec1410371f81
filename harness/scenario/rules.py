"""What must hold between the parts of a scenario: times that outlast one another, sizes, and words that belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.model.quantities import format_duration
from harness.model.scenario import Scenario
from harness.ports.network import host_name
from harness.scenario.errors import Problems
from harness.scenario.extent import MAX_CALLS, at_most_calls, call_count, latest_end, longest_delay, nominal_end
from harness.scenario.references import RESERVED
from harness.scenario.streams import check_streams
from harness.scenario.tree import Fields, Items, Place, Scalar, Step, Tree, find, place_of

__all__ = ["SWEEP_SECONDS", "check_names", "check_rules"]

#: Brokers that give a message back with its worker's connection: `redelivery` means nothing to them.
_AT_ONCE = ("rabbitmq",)
#: A Redis message that is due again comes back with the next restore sweep; `redelivery` brings that down to this.
SWEEP_SECONDS = 2.0


def check_names(tree: Fields, problems: Problems) -> None:
    """Task names are names, environment values are text, worker groups can be told apart."""
    for place, value in _sends(tree.get("load")):
        if re.search(r"[\s*?\[\]]", value) or not value:
            problems.add(place, f"`send` takes the full name of one task, not {value!r}")
    env = find(tree, "system", "env")
    for name, entry in env.entries.items() if isinstance(env, Fields) else ():
        if "=" in name or not name or "\0" in name:
            problems.add(entry.key, f"`{name}` cannot name an environment variable")
    workers = find(tree, "system", "workers")
    if isinstance(workers, Fields):
        _check_groups(workers, problems)


def _sends(tree: Tree | None) -> Iterator[tuple[Place, str]]:
    for item in tree.items if isinstance(tree, Items) else ():
        calls = [item, find(item, "chord", "body")]
        for where in (("chain",), ("group",), ("chord", "header")):
            several = find(item, *where)
            calls += several.items if isinstance(several, Items) else ()
        for call in calls:
            name = find(call, "send") if call is not None else None
            if isinstance(name, Scalar) and isinstance(name.value, str):
                yield name.place, name.value


def _check_groups(workers: Fields, problems: Problems) -> None:
    if not workers.entries:
        problems.add(workers.place, "no workers: nothing would run a task", "leave `workers` out for one worker")
    for name, entry in workers.entries.items():
        if name in RESERVED or host_name(name) in RESERVED:
            problems.add(entry.key, f"a worker group cannot be called `{name}`: that has a meaning of its own")
        elif not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
            problems.add(entry.key, f"`{name}` cannot name a worker group: use letters, digits, _ and -")
        stem, _, number = name.rpartition("-")
        if stem in workers.entries and number.isdigit():
            problems.add(entry.key, f"the group `{name}` cannot be told from replica {number} of the group `{stem}`")


def check_rules(scenario: Scenario, tree: Fields, problems: Problems) -> None:
    """The rules that need parsed times."""
    check_streams(scenario, tree, problems)
    _check_size(scenario, tree, problems)
    _check_drain(scenario, tree, problems)
    _check_timeline(scenario, tree, problems)
    if scenario.time.retries.strip("/0") == "":
        problems.add(_at(tree, "time", "retries"), "`retries` cannot divide by 0", "/1 leaves retry delays as they are")


def _at(tree: Fields, *path: Step) -> Place:
    return place_of(tree, path)


def _check_size(scenario: Scenario, tree: Fields, problems: Problems) -> None:
    total = sum(map(at_most_calls, scenario.load))
    if total > MAX_CALLS:
        what = f"the load has about {total:,} calls; at most {MAX_CALLS:,} can be planned"
        problems.add(place_of(tree, ("load",), key=True), what, "lower `rate`, `for` or `count`")
    counts = [call_count(item) for item in scenario.load]
    exact = [count for count in counts if count is not None]
    for number, fault in enumerate(scenario.timeline):
        call = fault.when.call if fault.when else None
        if call is not None and len(exact) == len(counts) and call > sum(exact):
            place = _at(tree, "timeline", number, "when", "call")
            problems.add(place, f"there is no call {call}: the load ({place_of(tree, ('load',), key=True)}) makes {sum(exact)}")


def _check_drain(scenario: Scenario, tree: Fields, problems: Problems) -> None:
    """A drain that ends before a message can come back would call it stranded, whatever the task does."""
    timeout, redelivery = scenario.drain.timeout, scenario.system.redelivery
    waits = scenario.system.broker_spec.kind not in _AT_ONCE
    if waits and redelivery is not None and timeout <= redelivery + SWEEP_SECONDS:
        reason = f"redelivery ({format_duration(redelivery)} and {format_duration(SWEEP_SECONDS)} until the next sweep)"
        _refuse_drain(scenario, tree, ("system", "redelivery"), reason, problems)
    end = max(map(nominal_end, scenario.load), default=0.0)
    for number, item in enumerate(scenario.load):
        delay = longest_delay(item)
        if delay and nominal_end(item) + delay >= end + timeout:
            _refuse_drain(scenario, tree, _delay_path(tree, number), f"a countdown or eta ({format_duration(delay)})", problems)


def _delay_path(tree: Fields, number: int) -> tuple[Step, ...]:
    """The first countdown or eta written in a load item."""
    paths: list[tuple[Step, ...]] = [("load", number)]
    for where in (("chain",), ("group",), ("chord", "header")):
        calls = find(tree, "load", number, *where)
        paths += [("load", number, *where, n) for n in range(len(calls.items) if isinstance(calls, Items) else 0)]
    paths.append(("load", number, "chord", "body"))
    written = [(*path, key) for path in paths for key in ("countdown", "eta") if find(tree, *path, key) is not None]
    return written[0]


def _refuse_drain(scenario: Scenario, tree: Fields, other: tuple[Step, ...], reason: str, problems: Problems) -> None:
    timeout = format_duration(scenario.drain.timeout)
    hint = "raise drain.timeout, or lower the other"
    if find(tree, "drain", "timeout") is not None:
        problems.add(_at(tree, "drain", "timeout"), f"a drain of {timeout} ends before {reason}, set at {_at(tree, *other)}", hint)
    else:
        problems.add(_at(tree, *other), f"the drain ({timeout}, as `drain.timeout` is not set) ends before {reason}", hint)


def _check_timeline(scenario: Scenario, tree: Fields, problems: Problems) -> None:
    end: float | None = scenario.locust.duration if scenario.locust else latest_end(scenario.load)
    if end is None:
        return  # the locustfile says when it is over
    drain = scenario.drain.timeout
    for number, item in enumerate(scenario.timeline):
        if item.at is not None and item.at > end + drain:
            load = place_of(tree, ("locust",) if scenario.locust else ("load",), key=True)
            over = f"the load ({load}) ends after {format_duration(end)}, the drain at most {format_duration(drain)} later"
            problems.add(_at(tree, "timeline", number, "at"), f"at {format_duration(item.at)} the run is over: {over}")
