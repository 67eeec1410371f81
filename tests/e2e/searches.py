"""A shop whose capacity is known, and what a search of it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.support import Project, project

#: One at a time, 40 ms each: 25 calls a second at most.
SHOP = '''"""A shop."""
import os
import time

from celery import Celery

app = Celery("shop", broker=os.environ.get("SHOP_BROKER", "redis://localhost:6379/0"))
app.conf.worker_prefetch_multiplier = 1


@app.task(name="shop.work")
def work(n):
    time.sleep(0.04)
'''
#: Once there is a pile of calls it stays slow, whatever the load is then.
SICK = (
    SHOP.partition("@app.task")[0]
    + """
state = {"sick": False}


@app.task(name="shop.work")
def work(n):
    with app.connection_or_acquire() as connection:
        state["sick"] = state["sick"] or connection.default_channel.client.llen("celery") > 12
    time.sleep(0.3 if state["sick"] else 0.04)
"""
)
SCENARIO: dict[str, Any] = {
    "system": {"workers": {"pay": {"replicas": 1, "concurrency": 1, "pool": "solo"}}},
    "load": [{"send": "shop.work", "args": [1], "rate": "9/s", "for": "5s"}],
    "thresholds": {"end_to_end_latency": ["p(95) < 500ms"]},
    "timeline": [{"at": "1s", "fault": "worker.kill"}],
    "drain": {"timeout": "6s"},
}


def shop(folder: Path, text: str = SHOP, **changes: Any) -> Project:
    made = project(folder, shop=text)
    made.scenario(**{**SCENARIO, **changes})
    return made


def found(made: Project, kind: str) -> tuple[dict[str, Any], Path]:
    (file,) = (made.folder / "reports" / kind).glob(f"*/{kind}.json")
    assert file.with_suffix(".html").is_file()
    return json.loads(file.read_text()), file.parent
