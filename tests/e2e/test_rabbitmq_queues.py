"""Queues of an app on RabbitMQ that are no plain queues of work, by the command line: the drain ends, and causes have their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import project

POST = '''"""Parcels: a queue that expires into dead letters, one beside it that nobody reads, one that is too short."""
import time

from celery import Celery, bootsteps
from kombu import Exchange, Queue

app = Celery("post")
work = Exchange("work", type="topic")
limits = {"x-message-ttl": 60000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
app.conf.update(
    task_queues=(
        Queue("parcels", work, routing_key="parcels", queue_arguments=limits),
        Queue("short", Exchange("short"), routing_key="short", queue_arguments={"x-max-length": 2}),
    ),
    task_default_queue="parcels",
    task_default_exchange="work",
    task_default_exchange_type="topic",
    task_default_routing_key="parcels",
    task_routes={"post.rush": {"queue": "short"}, "post.forget": {"queue": "nobody"}},
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"confirm_publish": True},
)


class Declare(bootsteps.StartStopStep):
    requires = ("celery.worker.components:Pool",)

    def start(self, parent):
        with app.connection_for_write() as connection:
            for queue in (Queue("audit", work, routing_key="#"), Queue("dead")):
                queue(connection.default_channel).declare()


app.steps["worker"].add(Declare)


@app.task(name="post.send")
def send(n):
    time.sleep(0.02)


@app.task(name="post.rush")
def rush(n):
    time.sleep(0.5)


@app.task(name="post.forget")
def forget(n):
    pass
'''


#: In `make test` what the inspector makes of each is in tests/conformance/test_rabbitmq_places.py.
@pytest.mark.exhaustive
def test_queues_that_are_no_plain_queues_of_work(tmp_path: Path) -> None:
    post = project(tmp_path, post=POST)
    system = {"app": "post:app", "broker": "rabbitmq", "workers": {"w": {"concurrency": 1, "queues": ["parcels", "short"]}}}
    files = [
        post.scenario(task, system=system, load=[{"send": f"post.{task}", "args": [1], "count": 8}], drain={"timeout": "60s"})
        for task in ("send", "rush", "forget")
    ]
    done = post.run("run", *map(str, files), "--runtime", "processes", "--json", timeout=200)
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    results: dict[str, Any] = {d["result"]["scenario"]: d["result"] for d in documents if isinstance(d.get("result"), dict)}
    assert {name: result["verdict"] for name, result in results.items()} == {"send": "pass", "rush": "fail", "forget": "fail"}, done.stderr
    for result in results.values():
        drained = next(t["seconds"] for t in result["timings"] if t["name"] == "drain")
        assert drained < 30, "what nobody consumes keeps nobody waiting"
    summaries = {name: result["checks"][0]["summary"] for name, result in results.items()}
    assert summaries["send"] == "8 = 8 succeeded", "a copy in the audit queue is no second run"
    (dropped,) = results["rush"]["checks"][0]["findings"]
    assert (dropped["word"], dropped["cause"]) == ("LOST", "dropped by its queue's length limit")
    assert "max-length 2" in dropped["sentence"]
    assert exchanges(tmp_path) == {"post.send": "work", "post.rush": "", "post.forget": ""}
    (stranded,) = results["forget"]["checks"][0]["findings"]
    assert stranded["word"] == "STRANDED" and "'nobody'" in stranded["sentence"] and len(stranded["task_ids"]) == 8


def exchanges(folder: Path) -> dict[str, str]:
    """Task -> the exchange that the agent recorded for its publishes. Celery sends by the default one where a queue's own is direct."""
    found = {}
    for journal in (folder / "reports").glob("*/journal/faults/*.journal"):
        lines = [line.strip(b"\0") for line in journal.read_bytes().splitlines()]
        records = [json.loads(line) for line in lines if line.startswith(b'{"k":"publish",')]
        found |= {record["n"]: record["x"] for record in records}
    return found
