"""What a run whose harness was killed left at the engine: containers with their anonymous volumes, and networks. Only ours."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault
from harness.runtimes.containers.engine import Engine
from harness.runtimes.shared.leftovers import lives

__all__ = ["OWNER", "PART", "PLACE", "RUN", "ContainerLeftovers", "leftovers", "place", "remove", "remove_run"]

#: Labels of everything that a run has at the engine.
RUN, OWNER, PART, PLACE = "celery-harness.run", "celery-harness.owner", "celery-harness.part", "celery-harness.place"
_REMOVERS = 8


@lru_cache(maxsize=1)
def place() -> str:
    """Where an owner's pid means something: this host's name and pid namespace. From elsewhere nobody can say that it is gone."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


@dataclass
class ContainerLeftovers:
    """Found, not removed yet: (engine's id, text)."""

    containers: list[tuple[str, str]] = field(default_factory=list)
    networks: list[tuple[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.containers or self.networks)

    def describe(self) -> list[str]:
        """A line each."""
        return [f"container {text}" for _, text in self.containers] + [f"network {text}" for _, text in self.networks]


def leftovers() -> ContainerLeftovers:
    """Of runs whose harness is gone. EnvironmentFault where no engine answers."""
    engine = Engine.connect()
    with engine.asking("leftovers", "looked for"):
        containers, networks = _labelled(engine, RUN)
    return ContainerLeftovers(
        [(c["Id"], f"{c['Names'][0].lstrip('/')} of run {c['Labels'][RUN]}") for c in containers if _orphaned(c["Labels"])],
        [(n["Id"], f"{n['Name']} of run {n['Labels'][RUN]}") for n in networks if _orphaned(n["Labels"])],
    )


def remove(found: ContainerLeftovers) -> list[str]:
    """Containers with their volumes first, then networks; what could not be removed, in words."""
    if not found:
        return []
    engine = Engine.connect()
    return _remove(engine, [name for name, _ in found.containers], [name for name, _ in found.networks])


def remove_run(engine: Engine, run_id: str) -> list[str]:
    """Everything of one run, also what was only half made; what could not be removed, in words."""
    try:
        with engine.asking("the run's containers", "listed"):
            containers, networks = _labelled(engine, f"{RUN}={run_id}")
    except EnvironmentFault as fault:
        return [fault.what]
    return _remove(engine, [c["Id"] for c in containers], [n["Id"] for n in networks])


def _labelled(engine: Engine, label: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    api = engine.client.api
    return api.containers(all=True, filters={"label": label}), api.networks(filters={"label": label})


def _orphaned(labels: dict[str, str]) -> bool:
    return labels.get(PLACE) == place() and not lives(labels.get(OWNER, ""))


def _remove(engine: Engine, containers: list[str], networks: list[str]) -> list[str]:
    with ThreadPoolExecutor(_REMOVERS) as pool:
        failed = [text for text in pool.map(engine.remove, containers) if text]
    return failed + [text for name in networks if (text := engine.remove_network(name))]
