"""The table of differences speaks of scenarios that there are, and says of each something else than its tag."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assembly import registry
from harness.brokers import BROKERS
from harness.brokers.differences import DIFFERENCES, Difference, difference
from harness.model.finding import Word
from harness.scenario import load_scenarios

SCENARIOS = Path(__file__).resolve().parents[3] / "scenarios"


@pytest.mark.parametrize("entry", [d for found in DIFFERENCES.values() for d in found], ids=lambda d: d.scenario)
def test_it_speaks_of_a_scenario_and_differs_from_its_tag(entry: Difference) -> None:
    cells = load_scenarios(SCENARIOS / f"{entry.scenario}.yaml", registry())
    meant = [c for c in cells if entry.cell.items() <= dict(c.cell).items()]
    assert meant
    expected = "fail" if "broken" in meant[0].scenario.tags else "pass"
    assert entry.verdict in ("pass", "fail", "inconclusive") and entry.verdict != expected
    assert (entry.word in Word.__members__) == (entry.verdict == "fail")
    assert len(entry.because) > 20


def test_it_is_found_by_broker_scenario_and_cell() -> None:
    assert set(DIFFERENCES) <= set(BROKERS)
    name = "acks/kills-by-acknowledgement-broken"
    found = difference("rabbitmq", name, {"acks_late": True, "prefetch": 4})
    assert found is not None and found.verdict == "pass"
    assert difference("rabbitmq", name, {"acks_late": False, "prefetch": 4}) is None
    assert difference("redis", name, {"acks_late": True}) is None
    assert difference("rabbitmq", "no/such-scenario", {}) is None
