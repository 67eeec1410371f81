"""The explorer broken on purpose: each time it notices by itself, and says nothing about the task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import choose_runtime, exploring_parts, registry, system_plan
from harness.errors import EnvironmentFault
from harness.explore.delivering import Delivering
from harness.explore.exploration import explore
from harness.explore.rules import Question
from harness.explore.shared_page import SharedPage
from harness.explore.surroundings import Services
from harness.model.exploration import Exploration
from harness.ports.clock import MonotonicClock
from harness.ports.exploring import Mechanism
from harness.scenario import load_scenarios
from harness.stores.files import FilesStore
from harness.stores.http import HttpStore
from harness.stores.redis import RedisStore

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mechanism, Services, Any]]:
    """One system and one warm process for all; each test begins anew."""
    (loaded,) = load_scenarios(ROOT / "sample_tasks" / "crashes" / "explore.yaml", registry())
    folder = tmp_path_factory.mktemp("run")
    system: Any = choose_runtime("processes").system(system_plan(loaded, ROOT, "mutations", folder, MonotonicClock()))
    try:
        system.open()
        with exploring_parts(system, system.stores) as (mechanism, services):
            assert isinstance(services, Services)
            facts = mechanism.start()
            services.reset()
            yield mechanism, services, facts
    finally:
        system.close()


def ask(parts: tuple[Mechanism, Services, Any], task: str, *, blind: str = "") -> Exploration:
    mechanism, services, facts = parts
    anew = services.anew()
    if blind:
        del anew._stores[blind], anew._parts[blind]
    try:
        return explore(mechanism, anew, Question(task, (7,)), now=lambda: 0.0, facts=facts)
    finally:
        services.reset()


def test_without_a_mutation_there_is_a_certificate(parts: tuple[Mechanism, Services, Any]) -> None:
    assert ask(parts, "charge.keyed").verdict == "certified"


def test_a_reset_that_is_skipped(parts: tuple[Mechanism, Services, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken, pytest.raises(EnvironmentFault, match=r"could not be set back|contradicts itself"):
        broken.setattr(FilesStore, "restore", lambda self, image: None)
        mechanism, services, facts = parts
        explore(mechanism, services.anew(), Question("invoice.replaced", (7,)), now=lambda: 0.0, facts=facts)
    parts[1].reset()


def test_a_store_that_nobody_observes(parts: tuple[Mechanism, Services, Any]) -> None:
    with pytest.raises(EnvironmentFault, match="effects on company, which nobody has looked at"):
        ask(parts, "charge.checked", blind="company")


def test_a_store_whose_changes_are_not_noticed(parts: tuple[Mechanism, Services, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken, pytest.raises(EnvironmentFault, match=r"a change of company\.requests was not noticed"):
        broken.setattr(HttpStore, "touched", lambda self: 0)
        ask(parts, "charge.checked")


@pytest.mark.parametrize("key", [lambda listed: "one", lambda listed: repr([one for one in listed if not one.name.startswith("db.")])])
def test_worlds_that_are_merged_too_eagerly(parts: tuple[Mechanism, Services, Any], monkeypatch: pytest.MonkeyPatch, key: Any) -> None:
    with monkeypatch.context() as broken, pytest.raises(EnvironmentFault, match="took two worlds for one"):
        broken.setattr(Services, "_key", lambda self, listed, now: key(listed))
        ask(parts, "order.gives_up")


def test_a_clock_that_is_not_moved(parts: tuple[Mechanism, Services, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    begin = SharedPage.begin
    with monkeypatch.context() as broken, pytest.raises(EnvironmentFault, match="the task's clock"):
        broken.setattr(SharedPage, "begin", lambda self, later, slept: begin(self, 0.0, slept))
        ask(parts, "charge.dated_key")


def test_a_store_whose_time_stands_still(parts: tuple[Mechanism, Services, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken, pytest.raises(EnvironmentFault, match=r"the time of cache\.keys could not be moved on"):
        broken.setattr(RedisStore, "image_later", lambda self, image, seconds: image)
        ask(parts, "visitors.counted_for_a_minute")


def test_a_stop_that_is_missed(parts: tuple[Mechanism, Services, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The task goes on past it, as if the kernel had not asked."""
    deal_with = Delivering._deal_with

    def missed(self: Delivering, call: Any, what: Any) -> None:
        if getattr(what, "call", "") in ("rename", "renameat", "renameat2"):
            self._listener.go_on(call)
        else:
            deal_with(self, call, what)

    with monkeypatch.context() as broken, pytest.raises(EnvironmentFault, match=r"was missed|not noticed"):
        broken.setattr(Delivering, "_deal_with", missed)
        ask(parts, "invoice.replaced")
