"""A registry of small fakes, and a way to write a file with the places marked where errors are expected."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field, RootModel, model_validator

from harness.errors import ScenarioError
from harness.model.finding import CheckResult
from harness.model.quantities import Duration, Share
from harness.model.verdict import Verdict
from harness.ports.check import CheckParameters, Recorded
from harness.ports.fault import FaultParameters, NoFault
from harness.ports.registry import Registry
from harness.ports.store import StoreParameters
from harness.ports.system import InspectsBroker, KillsWorkers
from harness.scenario import LoadedScenario, ScenarioErrors, load_scenarios

MARK = "«"


class TargetParameters(FaultParameters):
    target: str = ""
    restart_after: Duration | None = None


class CopyParameters(FaultParameters):
    queue: str = Field(description="name of the queue")
    ratio: Share | None = None
    count: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _how_many(self) -> CopyParameters:
        if self.ratio is None and self.count is None:
            raise ValueError("message.duplicate needs `ratio` or `count`")
        return self


class CutParameters(FaultParameters):
    between: tuple[str, str]
    mode: Literal["stall", "reset"] = "reset"


class ScaleParameters(FaultParameters):
    target: str
    replicas: int


class Kill(NoFault):
    name: ClassVar[str] = "worker.kill"
    summary: ClassVar[str] = "SIGKILL to a worker"
    Parameters: ClassVar[type[FaultParameters]] = TargetParameters
    needs = (KillsWorkers,)
    strike: ClassVar[str] = "kill_group"


class KillChild(Kill):
    name: ClassVar[str] = "worker.kill_child"
    strike: ClassVar[str] = "kill_child"
    needs_pool: ClassVar[str] = "prefork"


class Crash(Kill):
    name: ClassVar[str] = "task.crash"
    needs_event: ClassVar[bool] = True


class Scale(NoFault):
    name: ClassVar[str] = "worker.scale"
    Parameters: ClassVar[type[FaultParameters]] = ScaleParameters


class Copy(NoFault):
    name: ClassVar[str] = "message.duplicate"
    summary: ClassVar[str] = "deliver messages twice"
    Parameters: ClassVar[type[FaultParameters]] = CopyParameters
    needs = (InspectsBroker,)


class Cut(NoFault):
    name: ClassVar[str] = "net.partition"
    Parameters: ClassVar[type[FaultParameters]] = CutParameters


class Hit(NoFault):
    name: ClassVar[str] = "any.hit"
    Parameters: ClassVar[type[FaultParameters]] = TargetParameters


class FakeCheck:
    name: ClassVar[str] = "no_loss"
    question: ClassVar[str] = "nothing is lost"
    summary: ClassVar[str] = "accounts for every message"
    Parameters: ClassVar[type[BaseModel]] = CheckParameters
    needs_clean: ClassVar[bool] = False

    def __init__(self, parameters: Any) -> None:
        self.parameters = parameters

    def judge(self, recorded: Recorded) -> CheckResult:
        return CheckResult(name=self.name, question=self.question, verdict=Verdict.INCONCLUSIVE, summary="a fake")


class WorldParameters(CheckParameters):
    observe: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


class Idempotent(FakeCheck):
    name: ClassVar[str] = "idempotent"
    Parameters: ClassVar[type[BaseModel]] = WorldParameters


class Policy(CheckParameters):
    max_retries: int | None = Field(default=3, ge=0)
    backoff: Literal["fixed", "exponential"] = "fixed"
    base: Duration = 1.0


class Policies(RootModel[dict[str, Policy]]):
    pass


class RetryPolicy(FakeCheck):
    name: ClassVar[str] = "retry_policy"
    Parameters: ClassVar[type[BaseModel]] = Policies


class WithinParameters(CheckParameters):
    within: Duration


class Recovery(FakeCheck):
    name: ClassVar[str] = "recovery"
    Parameters: ClassVar[type[BaseModel]] = WithinParameters


class Expressions(RootModel[dict[str, tuple[str, ...]]]):
    @model_validator(mode="after")
    def _compares(self) -> Expressions:
        for texts in self.root.values():
            if not all("<" in text or ">" in text for text in texts):
                raise ValueError(f"{texts} compares nothing")
        return self


class Thresholds(FakeCheck):
    name: ClassVar[str] = "thresholds"
    Parameters: ClassVar[type[BaseModel]] = Expressions


class HttpParameters(StoreParameters):
    idempotency_key: str = ""
    status: int = Field(default=200, ge=100, le=599)


def _store(kind: str, parameters: type[StoreParameters] = StoreParameters) -> Any:
    return SimpleNamespace(kind=kind, summary=f"a fake {kind}", Parameters=parameters)


def _make_registry(**changes: Any) -> Registry:
    faults: Any = {fault.name: fault for fault in (Kill, KillChild, Crash, Scale, Copy, Cut, Hit)}
    checks: Any = {check.name: check for check in (FakeCheck, Idempotent, RetryPolicy, Recovery, Thresholds)}
    stores = {kind: _store(kind) for kind in ("sqlite", "files", "redis")}
    brokers: Any = {kind: SimpleNamespace(kind=kind) for kind in ("redis", "rabbitmq")}
    parts: dict[str, Any] = {
        "faults": faults,
        "checks": checks,
        "brokers": brokers,
        "stores": {**stores, "http": _store("http", HttpParameters)},
    }
    return Registry(**{**parts, **changes})


@pytest.fixture
def registry() -> Registry:
    return _make_registry()


@pytest.fixture
def make_registry() -> Callable[..., Registry]:
    return _make_registry


@pytest.fixture
def rng() -> random.Random:
    return random.Random(1)


@pytest.fixture
def doc() -> Callable[..., str]:
    """A small scenario; each keyword replaces the section of its name, or adds one."""

    def build(**sections: str) -> str:
        parts = {
            "version": "version: 1",
            "system": "system: {app: 'shop.tasks:app'}",
            "load": "load: [{send: shop.pay, count: 10}]",
        }
        return "\n".join(text for text in {**parts, **sections}.values() if text) + "\n"

    return build


@pytest.fixture
def load(tmp_path: Path, registry: Registry) -> Callable[..., list[LoadedScenario]]:
    """Write `orders.yaml` and load it."""

    def write_and_load(text: str, known: Registry | None = None, seed: int | None = None) -> list[LoadedScenario]:
        path = tmp_path / "orders.yaml"
        path.write_text(text, encoding="utf-8")
        return load_scenarios(path, known or registry, seed=seed)

    return write_and_load


@pytest.fixture
def refused(tmp_path: Path, load: Callable[..., list[LoadedScenario]]) -> Callable[..., list[ScenarioError]]:
    """Errors of a text in which ``«`` stands before every place where one is expected: no more, no fewer, in that order."""

    def errors_of(text: str, known: Registry | None = None) -> list[ScenarioError]:
        lines = text.split("\n")
        expected = []
        for number, line in enumerate(lines, start=1):
            while MARK in line:
                column = line.index(MARK) + 1
                expected.append(f"{tmp_path / 'orders.yaml'}:{number}:{column}")
                line = line.replace(MARK, "", 1)
            lines[number - 1] = line
        with pytest.raises(ScenarioError) as caught:
            load("\n".join(lines), known)
        error = caught.value
        errors = list(error.errors) if isinstance(error, ScenarioErrors) else [error]
        assert [e.where for e in errors] == expected, str(error)
        assert error.exit_code == 2
        return errors

    return errors_of
