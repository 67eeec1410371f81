"""What a network fault says of itself after a whole run: that it bit where it did, and never that it bit where nobody was hit.

Both Toxiproxy servers, both runtimes, the same file: one counts bytes as they pass, the other when a connection ends.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.toxiproxy_support import real_program
from tests.e2e.containers import needs_engine
from tests.e2e.support import Project, project
from tests.parts import chosen, parts

APP = """
import os, time, urllib.request

from celery import Celery

app = Celery("shop")
app.conf.worker_prefetch_multiplier = 4  # with 1 a reset at the wrong moment silences a worker (docs/faults.md)

def make(name):
    @app.task(name="shop." + name, queue=name)
    def work():
        time.sleep(0.02)
        urllib.request.urlopen(os.environ["CARD_API"] + "/alive", timeout=5).read()

for name in ("stalled", "refused", "swallowed", "reset"):
    make(name)
"""
GROUPS = ("stalled", "refused", "swallowed", "reset", "lazy")
LASTS = 1.2
#: A sign of one fault may be another's as long as that lasts, and for two seconds more.
APART = LASTS + 2.4
Expected = tuple[bool | None, ...]
#: In order: at one time, who from what, how, what may be said of it. Nothing is ever sent to `lazy`, which asks the broker all the same.
FAULTS: list[list[tuple[str, dict[str, Any], Expected]]] = [
    [
        ("net.partition", {"between": ["lazy", "broker"]}, (False, None)),
        ("net.partition", {"between": ["lazy", "card_api"]}, (False,)),
        ("net.partition", {"between": ["refused", "broker"], "mode": "refuse"}, (True,)),
        ("net.partition", {"between": ["swallowed", "broker"], "mode": "blackhole"}, (True,)),
        ("net.partition", {"between": ["reset", "broker"], "mode": "reset"}, (True,)),
    ],
    [("net.partition", {"between": ["stalled", "broker"]}, (True,))],
    [("net.partition", {"between": ["stalled", "card_api"]}, (True,))],
    [
        ("net.latency", {"between": ["lazy", "broker"], "latency": "50ms"}, (False, None)),
        ("net.latency", {"between": ["stalled", "broker"], "latency": "50ms"}, (True,)),
        ("net.bandwidth", {"between": ["lazy", "card_api"], "rate": 100}, (False,)),
        ("net.bandwidth", {"between": ["refused", "broker"], "rate": 100}, (True,)),
    ],
]
ON_CONTAINERS: list[list[tuple[str, dict[str, Any], Expected]]] = [
    [("net.disconnect", {"target": "lazy"}, (False, None))],
    [("net.disconnect", {"target": "stalled"}, (True,))],
]


def faults_of(place: str) -> list[list[tuple[str, dict[str, Any], Expected]]]:
    return FAULTS + (ON_CONTAINERS if place == "containers" else [])


def begun(folder: Path, place: str) -> tuple[Project, subprocess.Popen[str]]:
    """The run of one place."""
    folder.mkdir()
    shop = project(folder, shop=APP)
    together = faults_of(place)
    timeline = [
        {"at": f"{0.5 + number * APART:.1f}s", "for": f"{LASTS}s", "fault": fault, **parameters}
        for number, same in enumerate(together)
        for fault, parameters, _ in same
    ]
    seconds = f"{0.5 + len(together) * APART:.1f}s"
    worker = {"replicas": 1, "concurrency": 1, "pool": "solo"}
    file = shop.scenario(
        system={
            "services": {"card_api": {"http": {"ignore_methods": ["GET"]}}},
            "env": {"CARD_API": "${{ card_api.url }}"},
            "workers": {name: {**worker, "queues": [name]} for name in GROUPS},
        },
        load=[{"send": f"shop.{name}", "rate": "5/s", "for": seconds} for name in GROUPS if name != "lazy"],
        timeline=timeline,
        runtime="containers" if place == "containers" else "processes",
    )
    if place == "go":
        (folder / "bin").mkdir()
        (folder / "bin" / "toxiproxy-server").symlink_to(real_program())
        shop.env = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    return shop, shop.command("run", str(file), "--runtime", "auto")


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Any]]]:
    """Of runs side by side: they wait most of the time."""
    places = chosen(request, "place")
    if "containers" in places:
        needs_engine()
    folder = tmp_path_factory.mktemp("evidence")
    running = {place: begun(folder / place, place) for place in places}
    found = {}
    try:
        for place, (shop, process) in running.items():
            out, err = process.communicate(timeout=100)
            found[place] = shop.result()["faults"]
            assert process.returncode in (1, 4), out + err  # the blackhole may swallow a message, and lazy was not hit
        yield found
    finally:
        for _, process in running.values():
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=60)


@pytest.mark.parametrize("place", parts(["embedded", "go", "containers"], quick=[]))
def test_evidence_is_true_where_it_bit_and_nowhere_else(results: dict[str, list[Any]], place: str) -> None:
    expected = [(name, parameters, may) for same in faults_of(place) for name, parameters, may in same]
    told = results[place]
    assert [fault["name"] for fault in told] == [name for name, _, _ in expected]
    wrong = [
        (parameters, fault["bit"], fault["evidence"])
        for (_, parameters, may), fault in zip(expected, told, strict=True)
        if fault["bit"] not in may or not fault["evidence"]
    ]
    assert not wrong
    assert all(fault["healed"] for fault in told)


@pytest.mark.exhaustive
def test_one_scenario_has_one_verdict_wherever_it_runs(results: dict[str, list[Any]]) -> None:
    """True or not True: that is what a verdict is made of."""
    bit = {place: [fault["bit"] is True for fault in told[: sum(map(len, FAULTS))]] for place, told in results.items()}
    assert len(bit) > 1 and len({tuple(told) for told in bit.values()}) == 1
