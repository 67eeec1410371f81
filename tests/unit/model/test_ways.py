"""Which faults stand in whose way."""

from __future__ import annotations

import pytest

from harness.model.history import Evidence, FaultRecord
from harness.model.ways import cuts_broker, on_way, slows_publishers


def fault(name: str, target: str, *, begun: float | None = 1.0, bit: bool | None = True) -> FaultRecord:
    return FaultRecord(0, name, "", target, begun=begun, ended=2.0, evidence=Evidence(bit, ""))


@pytest.mark.parametrize(
    ("name", "target", "cuts", "worker", "slows"),
    [
        ("broker.pause", "broker", True, True, True),
        ("broker.kill", "", True, True, True),
        ("broker.flush", "broker", False, True, False),
        ("backend.restart", "backend", False, False, True),
        ("net.latency", "producer and broker", True, False, True),
        ("net.latency", "producer and backend", False, False, True),
        ("net.partition", "pay and broker", True, True, False),
        ("net.bandwidth", "pay and db", False, True, False),
        ("net.disconnect", "pay-1", True, True, False),
        ("worker.kill", "pay-1", False, True, False),
        ("db.restart", "db", False, False, False),
    ],
)
def test_by_kind_and_target(name: str, target: str, cuts: bool, worker: bool, slows: bool) -> None:
    one = fault(name, target)
    assert (cuts_broker(one), on_way(one, "pay-1"), slows_publishers(one)) == (cuts, worker, slows)


@pytest.mark.parametrize(("begun", "bit"), [(None, True), (1.0, False), (1.0, None)])
def test_one_that_is_not_known_to_have_bitten_slows_nobody(begun: float | None, bit: bool | None) -> None:
    assert not slows_publishers(fault("broker.pause", "broker", begun=begun, bit=bit))
