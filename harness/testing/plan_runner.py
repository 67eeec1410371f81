"""Plans on real brokers: each a scenario with a `schedule:`, run on servers that are kept from one to the next."""

from __future__ import annotations

import atexit
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.model.quantities import parse_duration
from harness.model.result import RunResult
from harness.ports.check import CleanPass
from harness.ports.reporter import NoListener
from harness.testing.configuration import EXAMPLE, Configuration, read_configuration
from harness.testing.harness import default_checks
from harness.testing.plans import Ground
from harness.testing.workshop import Workshop

__all__ = ["PlanRunner", "configuration_near", "shared_workshop"]

#: What a scenario without `drain` has (harness.model.scenario.Drain).
_DRAIN = "60s"
#: For reference, see `Course.clean`.
_PASSES = 2


class PlanRunner:
    """See `harness.testing.trials.RunsPlans`. ``name``: of the test, and of the scenarios that it leaves."""

    def __init__(self, workshop: Workshop, configuration: Configuration, name: str, *, seconds: float) -> None:
        document = configuration.document
        drain = min(seconds, parse_duration(document.get("drain", {}).get("timeout", _DRAIN)))
        checks = document.get("checks") or default_checks(document.get("system", {}))
        self._workshop, self._name = workshop, re.sub(r"\W+", "-", name).strip("-").lower() or "plan"
        self._configuration = configuration.with_changes({"drain": {"timeout": f"{drain:g}s"}, "checks": checks}, f"`{name}`")
        self.ground, self.root = Ground.of(document), configuration.root
        self._clean: dict[str, tuple[str, list[CleanPass]]] = {}  # the same calls -> the schedule that was run first, its clean passes

    def run(self, schedule: Sequence[Mapping[str, Any]], *, again: bool) -> RunResult:
        """Run it; its report is in `folder`.

        Passes for reference are made once for the same calls. A failure is never told from another run's alone: of the two that
        make sure of it, one has made its own.
        """
        calls = json.dumps([step for step in schedule if "send" in step or "chord" in step], sort_keys=True)
        whole = json.dumps(list(schedule), sort_keys=True)
        maker, known = self._clean.get(calls, (whole, []))
        clean = list(known) if not again or maker == whole else []
        result = self._workshop.run(self._configuration, {"schedule": list(schedule)}, name=self._name, clean=clean)
        if len(clean) == _PASSES and not known:
            self._clean[calls] = (whole, clean)
        return result

    def forget(self, result: RunResult) -> None:
        """Remove its report."""
        shutil.rmtree(self.folder(result), ignore_errors=True)

    def folder(self, result: RunResult) -> Path:
        """Where its report is."""
        return self._configuration.root / self._configuration.reports / result.run_id


@cache
def shared_workshop() -> Workshop:
    """One for all tests of this process that have no other; closed when it ends."""
    workshop = Workshop(NoListener)
    atexit.register(workshop.close)
    return workshop


def configuration_near(place: Path) -> Configuration:
    """Of the pyproject.toml of the project that this file is in. UsageError where none names a system."""
    for folder in (place, *place.parents):
        if folder.is_dir() and (found := read_configuration(folder)) is not None:
            return found
    raise UsageError(f"no pyproject.toml above {place} says what the system is made of", hint=f"write there\n\n{EXAMPLE}")
