"""Fingerprints of worlds that are the same in every run: for certificates, which are compared with those of another day and machine."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.explore.graph import FORKED
from harness.explore.judged import TIMES
from harness.explore.rules import Question, TaskRules
from harness.explore.spots import Spot
from harness.model.exploration import Coverage
from harness.model.world import Collection
from harness.ports.exploring import Launch, NamesWorlds
from harness.ports.store import ShowsBeneath, Store

__all__ = ["Plain", "covered", "fingerprint_of_all", "first_world"]

#: What a setup makes up anew each time: ids and tokens, times, names of temporary files.
_MADE_UP = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|(?<![0-9A-Za-z])[0-9a-f]{16,}(?![0-9A-Za-z])"
    r"|(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{16,}"
    r"|(?<![A-Za-z0-9])tmp[a-z0-9_]{8}(?![a-z0-9_])"
    r"|\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|(?<![\d.])1\d{9}(?:\d{3}){0,3}(?:\.\d+)?(?![\d.])"  # since the epoch, in s, ms, µs or ns, from 2001 to 2033
)


class Plain:
    """Texts without what belongs to one run or machine: addresses and folders by the names of their services, and the host's name."""

    def __init__(self, launch: Launch | None = None, folders: Mapping[Path, str] | None = None) -> None:
        known: dict[str, str] = {str(path): f"<{name}>" for path, name in (folders or {}).items()}
        if launch is not None:
            addresses = {f"{host}:{port}": f"<{name}>" for (host, port), name in launch.services.items()}
            # What the app was told: an address, often with a password of this run.
            known |= {value: f"<{name}>" for name, value in launch.environment.items() if any(one in value for one in addresses)}
            known |= addresses
            known |= {str(path): f"<{name}>" for path, name in launch.folders.items()}
            if scratch := launch.environment.get("TMPDIR"):
                known |= {str(Path(scratch).parent): "<run>", scratch: "<tmp>"}
            known |= {str(launch.log.parent): "<run>", str(launch.root): "<project>"}
        longest_first = sorted((text for text in known if len(text) > 1), key=lambda text: (-len(text), text))
        named = sorted(name for name in _host_names() if len(name) > 1 and not name.startswith("localhost"))
        alternatives = [re.escape(text) for text in longest_first] + [rf"(?<![\w.-]){re.escape(name)}(?![\w.-])" for name in named]
        self._known = known
        self._pattern = re.compile("|".join(alternatives)) if alternatives else None

    def __call__(self, text: str) -> str:
        """The same text in every run."""
        return self._pattern.sub(lambda found: self._known.get(found[0], "<host>"), text) if self._pattern else text

    def of(self, value: Any) -> Any:
        """A JSON value with all its texts so; keys too."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {self(str(name)): self.of(item) for name, item in value.items()}
        return [self.of(item) for item in value] if isinstance(value, (list, tuple)) else value


@cache
def _host_names() -> frozenset[str]:
    return frozenset({socket.gethostname(), socket.getfqdn()})


def covered(coverage: Coverage, rules: TaskRules, question: Question) -> tuple[str, ...]:
    """What a certificate says that holds, in words."""
    moments = " and ".join(["at once", *coverage.waits])
    lost = "comes back when its child dies alone too" if rules.on_worker_lost else "comes back when its whole worker dies"
    retries = "without a limit of retries" if rules.max_retries is None else f"max_retries {rules.max_retries}"
    crashes = "crash" if coverage.kills == 1 else "crashes"
    told = ["the loss of the whole worker before any call by which others could notice the task, any number of times"]
    if FORKED in coverage.bounds:
        told[0] += ", but for what is named under excludes"
    if rules.acks_late:
        told += [
            f"a broker that delivers again {moments}, without a limit of deliveries: the message is acked late, and {lost}",
            "a redelivery to a fresh process, and to the one that has just run the task",
        ]
    else:
        told.append(f"a broker that delivers once, {moments}: the message is acked before it runs")
    if question.semantics == "at_most_once":
        told.append("semantics at_most_once: after a crash nothing is there twice, or that one clean execution does not leave")
    other = "other " if coverage.bounds else ""
    return (
        *told,
        f"this task's own retries ({retries}), each delivered when it is due",
        f"{coverage.worlds:,} worlds, by up to {coverage.kills:,} {crashes} one after another; no {other}bound was reached",
        "these arguments and first rows; values that vary by themselves (tokens, times) count as some value",
    )


def fingerprint_of_all(spots: Iterable[Spot], surroundings: NamesWorlds) -> str:
    """Of all worlds that a graph visited, with the message that comes back, and how calls ended."""
    return _digest(sorted(_of_spot(spot, surroundings.fingerprint) for spot in spots))


def _of_spot(spot: Spot, fingerprint: Callable[[Any], str]) -> str:
    back = spot.back and (spot.back.task, spot.back.retries, spot.back.redelivered)
    waiting = {message.id for message in spot.node.pending} | ({spot.back.id} if spot.back else set())
    ends = sorted(outcome.value for message, outcome in spot.ends.items() if message not in waiting)
    return repr((fingerprint(spot.node), back, ends, spot.lost or spot.excused, spot.kills_after_fork))


def first_world(stores: Mapping[str, Store], plain: Plain) -> dict[str, str]:
    """``db.orders`` -> its rows, ``db.~schema`` -> what lies beneath: as they are after `setup`, without what that makes up anew."""
    found = {}
    for name, store in stores.items():
        collections: list[Collection] = list(store.observe().collections.values())
        collections += store.beneath() if isinstance(store, ShowsBeneath) else []
        for one in collections:
            rows = sorted(_MADE_UP.sub("<made up>", plain(json.dumps(row, sort_keys=True, default=repr))) for row in one.rows)
            found[f"{name}.{one.name}"] = _digest([one.key, rows])
        found.pop(f"{name}{TIMES}", None)
    return found


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode("utf-8", "surrogateescape")).hexdigest()
