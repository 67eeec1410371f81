"""No fault is credited with what another one did, and none with bytes of a worker that only asked for work: on each runtime alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.containers import needs_engine
from tests.e2e.support import project
from tests.parts import parts

APP = """
import time

from celery import Celery

app = Celery("shop")
app.conf.task_acks_late = True


@app.task(name="shop.long")
def long():
    time.sleep(2.5)


@app.task(name="shop.short")
def short():
    return 1
"""
SOLO = {"replicas": 1, "concurrency": 1, "pool": "solo"}
POLLING = {
    "system": {"redelivery": "8s", "workers": {"pay": {**SOLO, "concurrency": 2, "pool": "prefork"}}},
    "load": [{"send": "shop.long", "count": 1}],
}
#: From the start of the long task on, however late that is: the worker has it, and asks for more.
MEANWHILE = {"when": {"task": "shop.long", "reaches": "start"}, "for": "1500ms", "between": ["pay", "broker"]}
CELLS: dict[str, dict[str, Any]] = {
    "stalled": {**POLLING, "timeline": [{**MEANWHILE, "fault": "net.partition"}]},
    "late": {**POLLING, "timeline": [{**MEANWHILE, "fault": "net.latency", "latency": "50ms"}]},
    "another": {
        "system": {"redelivery": "8s", "workers": {"pay": SOLO, "spare": {**SOLO, "queues": ["nobody"]}}},
        "load": [{"send": "shop.short", "rate": "5/s", "for": "4s"}],
        "timeline": [
            {"at": "500ms", "for": "100ms", "fault": "net.partition", "between": ["spare", "broker"]},
            {"at": "2500ms", "fault": "broker.restart", "down": "500ms"},
        ],
    },
}
Bitten = dict[str, list[tuple[bool | None, str]]]


@pytest.fixture(scope="module", params=parts(["processes", "containers"], quick=["processes"]))
def bitten(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bitten]:
    """Per scenario, what its faults say of themselves; one command, so that containers are started once."""
    if request.param == "containers":
        needs_engine()
    folder: Path = tmp_path_factory.mktemp(request.param)
    shop = project(folder, shop=APP)
    files = [str(shop.scenario(name, runtime=request.param, **changes)) for name, changes in CELLS.items()]
    done = shop.run("run", *files, "--runtime", request.param, timeout=150)
    assert done.returncode in (1, 4), done.stdout + done.stderr
    results = [shop.result(path.name) for path in (folder / "reports").iterdir() if not path.is_symlink()]
    assert {result["runtime"] for result in results} == {request.param}
    yield {result["scenario"]: [(fault["bit"], fault["evidence"]) for fault in result["faults"]] for result in results}


@pytest.mark.parametrize("name", ["stalled", "late"])
def test_a_worker_that_asks_for_work_while_it_runs_a_task_loses_nothing(bitten: Bitten, name: str) -> None:
    ((bit, evidence),) = bitten[name]
    assert bit is False
    assert evidence.startswith("nothing was sent meanwhile")


def test_a_cut_by_a_later_restart_is_no_evidence_of_an_earlier_partition(bitten: Bitten) -> None:
    (partition, _), (restart, evidence) = bitten["another"]
    assert partition is not True
    assert restart is True
    assert "cut off" in evidence
