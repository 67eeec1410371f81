"""The JSON Schema: generated, deterministic, equal to the committed copy, and true to what the loader takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from harness.ports.registry import Registry
from harness.scenario import build_schema, load_scenarios, write_schema
from harness.scenario.schema import SCHEMA_PATH, schema_text


def parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture
def errors(registry: Registry) -> Callable[[str], list[str]]:
    schema = build_schema(registry)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    return lambda text: [error.message for error in validator.iter_errors(parsed(text))]


GOOD = """\
version: 1
seed: ${{ matrix.n }}
matrix: {n: [1, 2]}
system:
  app: a:b
  broker: {kind: redis, persistence: "${{ matrix.n }}"}
  backend: redis
  redelivery: 1m 30s
  services: {db: sqlite, api: {http: {status: 500}}, other: {http: null}, any: "${{ matrix.n }}"}
  env: {A: "${{ db.url }}"}
  workers: {pay: {replicas: "${{ matrix.n }}", pool: solo}}
load:
- {send: a, rate: 5/s, for: "${{ matrix.n }}s", args: [1, x]}
- {chord: {header: [{send: a}], body: {send: b, countdown: 2s}}, count: 3, arrival: burst}
timeline:
- {at: 1s, for: 2s, fault: worker.kill, target: pay, restart_after: 1s}
- {when: {task: a, reaches: end}, fault: message.duplicate, queue: q, ratio: 20%}
- {at: 1s, fault: "${{ matrix.n }}", whatever: 1}
checks: {no_loss: , idempotent: {observe: [db]}, retry_policy: {"a.*": {max_retries: 3}}}
thresholds: {latency: ["p(95) < 2s"]}
time: {retries: /60}
"""

BAD = {
    "no app": GOOD.replace("  app: a:b\n", ""),
    "no load": "version: 1\nsystem: {app: a:b}\n",
    "unknown key": GOOD + "nope: 1\n",
    "other version": GOOD.replace("version: 1", "version: 2"),
    "duration without a unit": GOOD.replace("1m 30s", "90"),
    "unknown broker": GOOD.replace("backend: redis", "backend: reddis"),
    "unknown service": GOOD.replace("db: sqlite", "db: sqlit"),
    "two kinds of a service": GOOD.replace("{http: null}", "{http: null, redis: null}"),
    "unknown fault": GOOD.replace("worker.kill", "worker.kil"),
    "unknown key of a fault": GOOD.replace("target: pay", "targt: pay"),
    "missing key of a fault": GOOD.replace("queue: q, ", ""),
    "neither at nor when": GOOD.replace("at: 1s, for: 2s, ", ""),
    "unknown check": GOOD.replace("no_loss: ,", "no_los: ,"),
    "unknown key of a check": GOOD.replace("observe: [db]", "obsrve: [db]"),
    "bad value of a check": GOOD.replace("max_retries: 3", "max_retries: -1"),
    "unknown pool": GOOD.replace("pool: solo", "pool: sole"),
    "environment number": GOOD.replace('A: "${{ db.url }}"', "A: 5"),
}


def test_a_good_file(errors: Callable[[str], list[str]]) -> None:
    assert errors(GOOD) == []


@pytest.mark.parametrize("text", BAD.values(), ids=list(BAD))
def test_bad_files(errors: Callable[[str], list[str]], text: str) -> None:
    assert text != GOOD
    assert errors(text)


def test_a_file_that_extends_another_may_lack_and_remove(errors: Callable[[str], list[str]]) -> None:
    assert errors("extends: base.yaml\nsystem: {broker: {proxy: true}, services: {db: null}}\nchecks: {recovery: null}\n") == []
    assert errors("extends: base.yaml\nsystm: {}\n")


def test_every_description_and_no_made_up_title(registry: Registry) -> None:
    schema = build_schema(registry)
    assert schema["$defs"]["fault.worker.kill"]["description"] == "SIGKILL to a worker"
    assert schema["$defs"]["Drain"]["properties"]["timeout"]["default"] == "60s"
    text = json.dumps(schema)
    assert text.count('"title"') == 1
    assert '"gt"' not in text


def test_every_reference_leads_somewhere(registry: Registry) -> None:
    schema = build_schema(registry)
    text = json.dumps(schema)
    names = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert names <= set(schema["$defs"])


def test_the_order_of_the_registry_does_not_matter(registry: Registry) -> None:
    backwards = Registry(
        faults=dict(reversed(registry.faults.items())),
        checks=dict(reversed(registry.checks.items())),
        brokers=dict(reversed(registry.brokers.items())),
        stores=dict(reversed(registry.stores.items())),
    )
    assert schema_text(backwards) == schema_text(registry)


def test_an_empty_registry_has_a_schema() -> None:
    schema = build_schema(Registry())
    jsonschema.Draft7Validator.check_schema(schema)
    assert not list(jsonschema.Draft7Validator(schema).iter_errors(parsed("version: 1\nsystem: {app: a:b}\nload: [{send: a, count: 1}]\n")))


def test_write(tmp_path: Path, registry: Registry) -> None:
    path = write_schema(registry, tmp_path / "schema.json")
    assert json.loads(path.read_text()) == build_schema(registry)


def test_the_committed_copy_is_the_generated_one() -> None:
    """After a change of a model, a fault, a check or a store: `write_schema(registry())`."""
    from harness.assembly import registry as real_registry  # here: the rest of this file needs none of what it imports

    assert SCHEMA_PATH.read_text(encoding="utf-8") == schema_text(real_registry())


def test_importing_the_loader_is_enough_for_no_third_party_server() -> None:
    """Loading must not need Celery: `validate` runs where only the harness is."""
    code = "import sys, harness.scenario; sys.exit('celery' in sys.modules or 'redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


def test_what_the_loader_takes_the_schema_takes(tmp_path: Path, registry: Registry, errors: Callable[[str], list[str]]) -> None:
    """The file of the loader's own test of everything."""
    text = (Path(__file__).parent / "test_loading.py").read_text().partition('FULL = """\\\n')[2].partition('"""')[0]
    path = tmp_path / "full.yaml"
    path.write_text(text)
    assert load_scenarios(path, registry)
    assert errors(text) == []
