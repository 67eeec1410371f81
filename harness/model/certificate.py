"""What is known of a task that no crash breaks, and what that rests on: a file to commit, the same in every run.

It holds no time, no seed, no path of the machine. Whatever varies between Python versions is in `environments`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ABSENT", "Certificate", "Counts", "Grounds", "Subject", "Worlds", "kind_of"]

_LONGEST = 40
_DIGITS = 8

#: In place of its hash, for a file or module that the code has asked for in vain: one that comes is a change.
ABSENT = "not there"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(_Frozen):
    """What is certified: one task with one set of arguments, as a scenario or (``scenario`` '') the command line names it."""

    scenario: str = Field(default="", description="relative to where the command runs")
    app: str = Field(default="", description="module:attribute, where there is no scenario")
    task: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    drawn: str = Field(default="", description="in place of args: 'types' or module:strategy, from which they are drawn")
    semantics: str = Field(default="", description="as declared; '': what its acks give")

    @property
    def name(self) -> str:
        """``shop-orders.charge-7_900-1f2e3d4c.json``: readable, and another one for each subject."""
        whole = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        stem = self.scenario.rpartition("/")[2].rpartition(".")[0] or self.app.partition(":")[0]
        written = json.dumps([*([self.drawn] if self.drawn else self.args), *([self.kwargs] if self.kwargs else [])])
        parts = [_plain(part) for part in (stem, self.task, written)]
        return "-".join([*filter(None, parts), hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]]) + ".json"


def _plain(text: str) -> str:
    return re.sub("[^A-Za-z0-9.]+", "_", text).strip("_.")[:_LONGEST]


class Grounds(_Frozen):
    """What a certificate rests on. Where any of it is another one, nothing is known."""

    modules: dict[str, str] = Field(description="SHA-256 of each of the project's modules that was imported, file that was read, by path")
    settings: dict[str, Any] = Field(description="of the app: Celery's that are no defaults, and what acks rest on; no secrets")
    task: dict[str, Any] = Field(description="the task's own settings")
    first_world: dict[str, str] = Field(description="fingerprint of each collection after `setup`, without ids and times that vary")
    system: dict[str, Any] = Field(description="the scenario's part: app, setup, broker, services, env")
    locks: dict[str, str] = Field(description="SHA-256 of each file that fixes the versions of dependencies")

    def changes(self, now: Grounds) -> Iterator[str]:
        """What is another one ``now``, each in words."""
        for what, before, after in (
            ("module", self.modules, now.modules),
            ("setting", self.settings, now.settings),
            ("the task's", self.task, now.task),
            ("system.", self.system, now.system),
            ("first world:", self.first_world, now.first_world),
            ("lock file", self.locks, now.locks),
        ):
            yield from _changes(what, before, after)


def kind_of(name: str) -> str:
    """module, or file for one that no interpreter imports."""
    return "module" if name.endswith((".py", ".pyx", ".so", ".pyd")) else "file"


def _changes(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    joint = "" if what.endswith(".") else " "
    kind = what
    for name in sorted({*before, *after}):
        what = kind_of(name) if kind == "module" else kind
        if after.get(name, ABSENT) == ABSENT != before.get(name, ABSENT):
            yield f"{what}{joint}{name} is gone"
        elif before.get(name, ABSENT) == ABSENT != after.get(name, ABSENT):
            yield f"{what}{joint}{name} is new"
        elif before.get(name, ABSENT) != after.get(name, ABSENT):
            yield f"{what}{joint}{name} changed"


class Worlds(_Frozen):
    """All that crashes can lead to. ``fingerprint``: the same in every run, on every Python."""

    number: int
    fingerprint: str
    kills: int = Field(description="crashes one after another on the longest path that was needed")


class Counts(_Frozen):
    """What it took in one environment."""

    stops: int = Field(description="crash points of the first delivery")
    deliveries: int


class Certificate(_Frozen):
    """The file."""

    version: Literal[1] = 1
    made_by: str = Field(description="the harness, whose fingerprints are its own: 'celery-harness 0.1.0'")
    rules: int = Field(default=0, description="the number of the explorer's rules; 0: before there were numbers")
    subject: Subject
    covers: tuple[str, ...]
    excludes: tuple[str, ...]
    worlds: Worlds
    environments: dict[str, Counts] = Field(description="by 'python 3.11, celery 5.6.0, x86_64'")
    grounds: Grounds

    def text(self) -> str:
        """Sorted, a value per line: a change of one thing is a change of one line."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
