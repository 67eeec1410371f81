"""Does the runtime have what the faults of a scenario need?"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from harness.ports.fault import Fault
from harness.ports.registry import RuntimeAbilities
from harness.ports.system import StopsAtEffects
from harness.scenario.errors import Problems
from harness.scenario.tree import Fields, find, place_of

__all__ = ["check_faults_fit", "has_ability"]


def has_ability(system: type, ability: type[Any]) -> bool:
    """Does the class have every method of the protocol? (`issubclass` refuses protocols that also have attributes.)"""
    if ability in system.__mro__:
        return True
    own = [base for base in ability.__mro__ if getattr(base, "_is_protocol", False) and base.__module__ != "typing"]
    methods = {name for base in own for name, value in vars(base).items() if not name.startswith("_") and callable(value)}
    return all(callable(getattr(system, name, None)) for name in methods)


def check_faults_fit(faults: Sequence[type[Fault]], tree: Fields, runtime: RuntimeAbilities, problems: Problems) -> None:
    """Add one problem per fault and ability that the runtime lacks."""
    for number, fault in enumerate(faults):
        at_effect = find(tree, "timeline", number, "when", "effect") is not None
        needed: tuple[type[Any], ...] = (*fault.needs, StopsAtEffects) if at_effect else fault.needs
        for ability in needed:
            if not has_ability(runtime.system, ability):
                words = (inspect.getdoc(ability) or "").partition("\n")[0].rstrip(".")
                named = f"{ability.__name__} ({words})" if words else ability.__name__
                what = f"`{fault.name}` needs {named}, which the runtime `{runtime.name}` does not have"
                hint = "run it with --runtime processes" if ability is StopsAtEffects else "choose another runtime or another fault"
                problems.add(place_of(tree, ("timeline", number, "fault")), what, hint)
