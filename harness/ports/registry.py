"""Names to classes: what `harness.assembly` puts together and passes to whoever needs names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.ports.broker import BrokerKind
from harness.ports.check import Check
from harness.ports.fault import Fault
from harness.ports.reporter import Writer
from harness.ports.store import Store

__all__ = ["Registry", "RuntimeAbilities"]


@dataclass(frozen=True, slots=True)
class RuntimeAbilities:
    """A runtime's name and the class of its running system: its abilities are the protocols that it implements."""

    name: str
    system: type


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything that a scenario may name."""

    faults: Mapping[str, type[Fault]] = field(default_factory=dict)
    checks: Mapping[str, type[Check]] = field(default_factory=dict)
    brokers: Mapping[str, BrokerKind] = field(default_factory=dict)
    stores: Mapping[str, type[Store]] = field(default_factory=dict)
    runtimes: Mapping[str, RuntimeAbilities] = field(default_factory=dict)
    writers: Mapping[str, type[Writer]] = field(default_factory=dict)
