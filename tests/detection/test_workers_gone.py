"""Work that nobody takes: workers that never come back, and a queue without any; with real workers and a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.detection.false_passes import SYSTEM, check, killed_at, load, run
from tests.parts import chosen, parts

#: The kill's recovery is measured; of the restart, which found no work, only the workers can tell.
_RESTART = {
    "load": load("order"),
    "timeline": [*killed_at("order", "mail.delay(number)"), {"at": "9s", "fault": "broker.restart", "down": "300ms"}],
    "checks": {"no_loss": {}, "recovery": {"within": "20s"}},
}
_RUNS: dict[str, dict[str, Any]] = {
    "stay away": {**_RESTART, "system": {**SYSTEM, "config": {"broker_connection_retry": False}}},
    "come back": {**_RESTART, "system": {**SYSTEM, "config": {"broker_connection_retry": True}}},
    "no queue of theirs": {
        "load": load("order", 1),
        "system": {**SYSTEM, "config": {"task_routes": {"orders.mail": {"queue": "mails"}}}},
        "drain": {"timeout": "6s"},
        "checks": {"no_loss": {}},
    },
}


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server_program: str
) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """Side by side: they wait most of the time."""
    with ThreadPoolExecutor(len(_RUNS)) as pool:
        yield {
            name: pool.submit(run, tmp_path_factory.mktemp("run"), **scenario)
            for name, scenario in _RUNS.items()
            if name in chosen(request, "which")
        }


@pytest.mark.parametrize(("which", "verdict"), parts([("stay away", "fail"), ("come back", "inconclusive")], quick=[("stay away", "fail")]))
def test_workers_that_never_come_back(results: dict[str, Future[dict[str, Any]]], which: str, verdict: str) -> None:
    found = check(results[which].result(), "recovery")
    assert found["verdict"] == verdict, found
    assert ("STUCK" in {f["word"] for f in found["findings"]}) is (which == "stay away")


@pytest.mark.parametrize("which", ["no queue of theirs"])
def test_a_queue_that_no_worker_consumes(results: dict[str, Future[dict[str, Any]]], which: str) -> None:
    (finding,) = check(results[which].result(), "no_loss")["findings"]
    assert (finding["word"], finding["task"]) == ("STRANDED", "orders.mail")
    assert "queue 'mails', from which nobody has consumed" in finding["sentence"] and "-Q mails" in finding["fix"]
