"""`reaches: effect`: what it needs is refused where it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assembly import registry
from harness.errors import ScenarioError
from harness.scenario import LoadedScenario, check_abilities, load_scenarios

_POINT = "{task: shop.charge, reaches: effect, effect: {number: 4, identity: 'rename x', delivery: 2}}"


def loaded(folder: Path, *, when: str = _POINT, fault: str = "task.crash", pool: str = "prefork") -> LoadedScenario:
    file = folder / "plan.yaml"
    file.write_text(
        "version: 1\nsystem:\n  app: shop:app\n"
        f"  workers: {{pay: {{pool: {pool}}}}}\n"
        "checks: {no_loss: {}}\nschedule:\n"
        f"- {{fault: {fault}, when: {when}}}\n- {{send: shop.charge}}\n"
    )
    return load_scenarios(file, registry())[0]


def test_an_effect_is_an_address(tmp_path: Path) -> None:
    (item,) = loaded(tmp_path).scenario.timeline
    assert item.when is not None and item.when.effect is not None
    assert item.when.effect.model_dump() == {"number": 4, "identity": "rename x", "delivery": 2}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"when": "{task: shop.charge, reaches: effect}"}, "`reaches: effect` and `effect: {number: 4}` belong together"),
        ({"when": "{task: shop.charge, effect: {number: 4}}"}, "belong together"),
        ({"when": "{task: shop.charge, reaches: effect, effect: {number: 4}, nth: 2}"}, "leave out `nth`"),
        ({"when": "{task: shop.charge, reaches: effect, effect: {number: 0}}"}, "number"),
        ({"fault": "worker.pause"}, "`worker.pause` cannot strike at an effect"),
        ({"pool": "threads"}, "an effect is reached in the pool prefork, not in threads"),
    ],
)
def test_what_could_never_strike_is_refused(tmp_path: Path, changed: dict[str, str], words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, **changed)
    assert words in str(caught.value)


def test_only_a_runtime_of_this_machine_can_stop_a_task_there(tmp_path: Path) -> None:
    known = registry()
    check_abilities(loaded(tmp_path), known.runtimes["processes"])
    with pytest.raises(ScenarioError) as caught:
        check_abilities(loaded(tmp_path), known.runtimes["containers"])
    assert "`task.crash` needs StopsAtEffects" in caught.value.what and "--runtime processes" in caught.value.hint
