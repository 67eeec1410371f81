"""A fault that the runtime cannot do is refused, naming fault, runtime and ability."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from harness.errors import ScenarioError
from harness.ports.registry import Registry, RuntimeAbilities
from harness.ports.system import InspectsBroker, KillsWorkers, RunningSystem, ScalesWorkers, Worker
from harness.scenario import LoadedScenario, ScenarioErrors, check_abilities
from harness.scenario.abilities import has_ability

Load = Callable[..., list[LoadedScenario]]
Doc = Callable[..., str]


class Killer:
    """Implements KillsWorkers by having its methods."""

    def kill_group(self, worker: Worker) -> Sequence[int]:
        return ()

    def kill_child(self, worker: Worker, rng: random.Random) -> int | None:
        return None


class Half:
    def kill_group(self, worker: Worker) -> Sequence[int]:
        return ()


TIMELINE = "timeline:\n- {at: 1s, fault: worker.kill}\n- {at: 2s, fault: message.duplicate, queue: q, count: 1}"


def test_has_ability() -> None:
    assert has_ability(Killer, KillsWorkers)
    assert not has_ability(Half, KillsWorkers)
    assert not has_ability(Killer, ScalesWorkers)
    assert not has_ability(Killer, RunningSystem)


def test_a_missing_ability_is_named(load: Load, doc: Doc) -> None:
    (loaded,) = load(doc(timeline=TIMELINE))
    with pytest.raises(ScenarioError) as caught:
        check_abilities(loaded, RuntimeAbilities("processes", Killer))
    assert caught.value.where.endswith("orders.yaml:6:19")
    assert caught.value.what == (
        "`message.duplicate` needs InspectsBroker (A look into the broker, and message faults), which the runtime `processes` does not have"
    )


def test_all_missing_abilities_are_told(load: Load, doc: Doc) -> None:
    (loaded,) = load(doc(timeline=TIMELINE))
    with pytest.raises(ScenarioErrors) as caught:
        check_abilities(loaded, RuntimeAbilities("processes", Half))
    assert len(caught.value.errors) == 2


def test_a_runtime_that_can(load: Load, doc: Doc) -> None:
    class Able(Killer):
        def broker(self) -> object:
            return object()

    (loaded,) = load(doc(timeline=TIMELINE))
    check_abilities(loaded, RuntimeAbilities("processes", Able))
    assert has_ability(Able, InspectsBroker)


def test_a_pinned_runtime_is_checked_at_load(
    doc: Doc, make_registry: Callable[..., Registry], refused: Callable[..., list[ScenarioError]]
) -> None:
    known = make_registry(runtimes={"processes": RuntimeAbilities("processes", Killer)})
    text = doc(runtime="runtime: processes", timeline="timeline:\n- {at: 2s, fault: «message.duplicate, queue: q, count: 1}")
    (error,) = refused(text, known)
    assert "the runtime `processes` does not have" in error.what


def test_auto_is_left_for_later(load: Load, doc: Doc, make_registry: Callable[..., Registry]) -> None:
    known = make_registry(runtimes={"processes": RuntimeAbilities("processes", Half)})
    assert load(doc(timeline=TIMELINE), known)


def test_a_runtime_that_is_not_there(doc: Doc, make_registry: Callable[..., Registry], refused: Callable[..., list[ScenarioError]]) -> None:
    known = make_registry(runtimes={"processes": RuntimeAbilities("processes", Killer)})
    (error,) = refused(doc(runtime="runtime: «containers"), known)
    assert error.what == "this version has no runtime `containers`"
    assert error.hint == "known: processes"
