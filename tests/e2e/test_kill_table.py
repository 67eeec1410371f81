"""The table of kills x acknowledgement of Celery on Redis and RabbitMQ, and LOST and STRANDED against what the broker itself holds.

The broker is looked at by the test's own client, before it is stopped: Redis key by key, RabbitMQ through its management API.
That shares nothing with the harness's inspectors. No `redelivery` is set, so what a killed worker held stays in Redis's `unacked`
(visibility timeout: 1 h); RabbitMQ puts it back into the queue as the worker's connection closes.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from harness.assembly import build_cell, choose_runtime, registry
from harness.model.fates import fates
from harness.model.history import History
from harness.ports.clock import MonotonicClock
from harness.ports.runtime import PassPlan
from harness.run.passes import PassDriver
from harness.run.record import record_pass
from harness.run.timeline import Timeline
from harness.scenario import load_scenarios
from tests.e2e.support import APP, project
from tests.parts import chosen, parts

CALLS = 40
#: Half-way through a task: the other child is half-way too, so no fetch is under way and F67 plays no part.
MIDDLE = f"shop.py:{next(n for n, line in reversed(list(enumerate(APP.splitlines(), 1))) if 'time.sleep' in line)}"
CONCURRENCY = 2


@pytest.fixture(scope="module")
def runtimes(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """By broker: each hands its server on, empty. RabbitMQ takes longer to start than all that is done with it."""
    found = {broker: choose_runtime("processes") for broker in chosen(request, "broker")}
    for runtime in found.values():
        runtime.keep()
    yield found
    for runtime in found.values():
        runtime.close()


def killed_once(
    folder: Path, broker: str, runtime: Any, *, acks_late: bool, prefetch: int
) -> tuple[History, set[str], dict[str, int], Any]:
    """One SIGKILL of the only worker in the middle of the load, nobody after it. (history, ids in the broker, numbers, plan)."""
    shop = project(folder)
    file = shop.scenario(
        system={
            "broker": broker,
            "env": {"SHOP_SECONDS": "0.2"},
            "redelivery": None,
            "config": {"task_acks_late": acks_late},
            "workers": {"pay": {"replicas": 1, "concurrency": CONCURRENCY, "prefetch_multiplier": prefetch}},
        },
        load=[{"send": "shop.work", "args": [1], "count": CALLS}],
        timeline=[{"when": {"task": "shop.work", "reaches": MIDDLE, "nth": 9}, "fault": "worker.kill"}],
        drain={"timeout": "5s"},
    )
    document = json.loads(file.read_text())
    del document["system"]["redelivery"]
    file.write_text(json.dumps(document))
    clock = MonotonicClock()
    (loaded,) = load_scenarios(file, registry())
    cell = build_cell(loaded, folder, clock)
    reports = folder / "run"
    reports.mkdir()
    plan = cell.system("0101-000000-0000", reports)
    system: Any = runtime.system(plan)
    try:
        system.open()
        timeline = Timeline.of(cell.scenario.timeline, cell.faults(1))
        driver = PassDriver(system, cell.scenario, clock, lambda event: None, lambda: None)
        outcome = driver.begin(PassPlan("faults", cell.calls, "timed", triggers=timeline.triggers()))
        driver.go()
        timeline.t0 = outcome.t0
        deadline = clock.now() + 30
        while timeline.planned[0].state == "waiting" and clock.now() < deadline:
            driver.step()
            timeline.advance(driver.now(), system, driver.live)
        while (not driver.live.load_done or not outcome.ended) and clock.now() < deadline:
            driver.step()
        timeline.planned[0].state = "ended"  # never healed: nobody takes up what the dead worker left
        driver.stop()
        ids, numbers = LOOKS[broker](system.broker_server.endpoint)
        history = record_pass(outcome, [p.record for p in timeline.planned], system, clock, results=False)
        timeline.settle(history)
        system.came_to_its_end()
    finally:
        system.close()
    return history, ids, numbers, plan


def in_redis(endpoint: Any) -> tuple[set[str], dict[str, int]]:
    """Task ids in every list and in `unacked`, and how many are where. What is in `unacked` was delivered and not acknowledged."""
    client = redis.Redis(host=endpoint.host, port=endpoint.port, password=endpoint.password)
    ready = [json.loads(item) for key in client.scan_iter() if client.type(key) == b"list" for item in client.lrange(key, 0, -1)]
    unacked = [json.loads(item)[0] for item in client.hvals("unacked")]
    client.close()
    return {m["headers"]["id"] for m in [*ready, *unacked]}, {"ready": len(ready), "delivered": len(unacked)}


def in_rabbitmq(endpoint: Any) -> tuple[set[str], dict[str, int]]:
    """Task ids in the queue, and how many are where. What was delivered and not acknowledged is flagged redelivered by then."""
    login = base64.b64encode(f"{endpoint.user or 'monitor'}:{endpoint.password}".encode()).decode()

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        url = f"http://{endpoint.host}:{endpoint.ports['management']}/api/queues/%2F{path}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
            return json.load(answer)

    deadline, flags = time.monotonic() + 10, dict[str, bool]()
    while True:  # counts are as old as the queue's statistics
        found = ask("/celery/get", {"count": 10 * CALLS, "ackmode": "ack_requeue_true", "encoding": "auto"})
        for message in found:  # to look is to flag: the first look counts
            flags.setdefault(message["properties"]["headers"]["id"], message["redelivered"])
        (counts,) = [q for q in ask("?disable_stats=true&enable_queue_totals=true") if q["name"] == "celery"]
        if counts["messages_unacknowledged"] == 0 and counts["messages_ready"] == len(found):
            break
        assert time.monotonic() < deadline, counts
    delivered = sum(flags.values())
    return set(flags), {"ready": len(found) - delivered, "delivered": delivered}


LOOKS: dict[str, Callable[[Any], tuple[set[str], dict[str, int]]]] = {"redis": in_redis, "rabbitmq": in_rabbitmq}


#: acks late, prefetch multiplier: (lost, delivered).
TABLE = {
    # Early acks: what runs is acked and dies with the worker; what was prefetched stays.
    (False, 4): (CONCURRENCY, 4 * CONCURRENCY),
    (False, 1): (CONCURRENCY, CONCURRENCY),
    # Late acks: nothing that was delivered is lost.
    (True, 1): (0, CONCURRENCY),
}
ROWS = [(broker, *row, *numbers) for broker in LOOKS for row, numbers in TABLE.items()]
#: On RabbitMQ `make test` has what comes back from a killed worker in conformance/test_rabbitmq_broker.py, and LOST and STRANDED in
#: test_rabbitmq_queues.py.
QUICK = [("redis", *row, *TABLE[row]) for row in ((False, 4), (True, 1))]


@pytest.mark.parametrize(("broker", "acks_late", "prefetch", "lost", "delivered"), parts(ROWS, quick=QUICK))
def test_a_kill_loses_and_leaves_what_the_table_says(
    tmp_path: Path, runtimes: dict[str, Any], broker: str, acks_late: bool, prefetch: int, lost: int, delivered: int
) -> None:
    for attempt in range(6):  # on a busy machine one child may stand between two tasks while the other is half-way
        folder = tmp_path / str(attempt)
        folder.mkdir()
        history, in_broker, numbers, plan = killed_once(folder, broker, runtimes[broker], acks_late=acks_late, prefetch=prefetch)
        if sum(d.running_at_death for m in history.messages.values() for d in m.deliveries) == CONCURRENCY:
            break
    assert history.faults[0].evidence.bit is True
    found = fates(history, plan.broker.semantics)
    by_name: dict[str, set[str]] = {}
    for task_id, fate in found.items():
        by_name.setdefault(str(fate.kind).upper(), set()).add(task_id)
    assert len(found) == CALLS
    # Soundness: STRANDED is exactly what the broker holds and nobody finished; LOST is nowhere in it.
    assert by_name.get("STRANDED", set()) == in_broker - by_name.get("SUCCEEDED", set())
    assert not by_name.get("LOST", set()) & in_broker
    assert not by_name.get("UNKNOWN")
    assert len(by_name.get("LOST", set())) == lost
    assert abs(numbers["delivered"] - delivered) <= CONCURRENCY
