"""Work that nobody takes: workers that never come back, and a queue without any; with real workers and a real Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.detection.false_passes import SYSTEM, check, killed_at, load, run

pytestmark = pytest.mark.usefixtures("redis_server_program")


@pytest.mark.parametrize(("reconnects", "verdict"), [(False, "fail"), (True, "inconclusive")])
def test_workers_that_never_come_back(tmp_path: Path, reconnects: bool, verdict: str) -> None:
    """The kill's recovery is measured; of the restart, which found no work, only the workers can tell."""
    timeline = [*killed_at("order", "mail.delay(number)"), {"at": "9s", "fault": "broker.restart", "down": "300ms"}]
    system = {**SYSTEM, "config": {"broker_connection_retry": reconnects}}
    result = run(tmp_path, load=load("order"), timeline=timeline, system=system, checks={"no_loss": {}, "recovery": {"within": "20s"}})
    found = check(result, "recovery")
    assert found["verdict"] == verdict, found
    assert ("STUCK" in {f["word"] for f in found["findings"]}) is (not reconnects)


def test_a_queue_that_no_worker_consumes(tmp_path: Path) -> None:
    system = {**SYSTEM, "config": {"task_routes": {"orders.mail": {"queue": "mails"}}}}
    result = run(tmp_path, load=load("order", 1), system=system, drain={"timeout": "6s"}, checks={"no_loss": {}})
    (finding,) = check(result, "no_loss")["findings"]
    assert (finding["word"], finding["task"]) == ("STRANDED", "orders.mail")
    assert "queue 'mails', from which nobody has consumed" in finding["sentence"] and "-Q mails" in finding["fix"]
