"""Effects that are missing or doubled, and once went unseen: with real workers and a real Redis, each beside its right twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.detection.false_passes import SYSTEM_WITH_PAY, check, killed_at, load, run
from tests.parts import parts

pytestmark = pytest.mark.usefixtures("redis_server_program")


@pytest.mark.parametrize(("task", "verdict"), parts([("order_guarded", "fail"), ("order", "pass")], quick=[("order_guarded", "fail")]))
def test_a_task_that_is_never_published(tmp_path: Path, task: str, verdict: str) -> None:
    result = run(tmp_path, load=load(task), timeline=killed_at(task, "mail.delay(number)"))
    found = check(result, "idempotent")
    assert found["verdict"] == verdict, found
    if verdict == "fail":
        (finding,) = found["findings"]
        assert (finding["word"], finding["calls"]) == ("EFFECT", [2])
        assert "orders.mail was never published" in finding["sentence"] and "api.requests" in finding["headline"]


@pytest.mark.parametrize(("task", "verdict"), [("charge_again", "fail"), ("charge", "pass")])
def test_an_effect_that_each_retry_repeats(tmp_path: Path, task: str, verdict: str) -> None:
    """The service fails once per mail, in the pass with faults alone."""
    result = run(tmp_path, load=load(task), system=SYSTEM_WITH_PAY, time={"retries": "/10"})
    found = check(result, "idempotent")
    assert found["verdict"] == verdict, found
    assert found["numbers"]["exercised"] == 3
    if verdict == "fail":
        assert found["findings"][0]["calls"] == [1, 2, 3] and "more than once in api, db" in found["findings"][0]["headline"]
        assert "In api:" in found["findings"][0]["fix"] and "In db:" in found["findings"][0]["fix"]
