"""Good files: what the loader makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import ScenarioError, UsageError
from harness.model.quantities import parse_duration
from harness.ports.registry import Registry
from harness.ports.store import StoreParameters
from harness.scenario import LoadedScenario, ScenarioErrors, load_scenarios
from harness.scenario.rules import SWEEP_SECONDS

Load = Callable[..., list[LoadedScenario]]
Doc = Callable[..., str]

FULL = """\
# yaml-language-server: $schema=../harness/scenario/schema.json
version: 1
description: a card is charged once in spite of a kill, a partition and duplicates
tags: [ci, payments]
seed: 20240611
matrix: {broker: [redis, rabbitmq]}
system:
  app: sample_tasks.orders:app
  setup: sample_tasks.orders_world:create
  broker: ${{ matrix.broker }}
  backend: redis
  redelivery: 5s
  services: {db: sqlite, card_api: {http: {idempotency_key: Idempotency-Key}}}
  env: {DATABASE_URL: "${{ db.url }}", CARD_API: "${{ card_api.url }}", DIR: "${{ db.path }}", B: "${{ broker.port }}"}
  config: {task_acks_late: true}
  workers:
    pay: {replicas: 2, queues: [payments], pool: prefork, concurrency: 4}
load:
  - send: orders.charge
    args: sample_tasks.orders_world:charges
    rate: 50/s
    for: 30s
timeline:
  - {when: {task: orders.charge, reaches: start, nth: 3}, fault: worker.kill}
  - {at: 5s, fault: worker.kill, target: pay, restart_after: 2s}
  - {at: 12s, for: 5s, fault: net.partition, between: [pay-2, broker], mode: stall}
  - {at: 20s, for: 5s, fault: message.duplicate, queue: payments, ratio: 20%}
  - {when: {task: "orders.*", reaches: "orders.py:41#2"}, fault: task.crash}
drain: {timeout: 60s}
checks:
  no_loss:
  idempotent: {observe: [db, card_api], ignore: [orders.updated_at]}
  retry_policy:
    orders.*: {max_retries: 3, backoff: exponential, base: 1s}
  recovery: {within: 20s}
thresholds:
  end_to_end_latency: ["p(95) < 2s"]
  throughput{phase:healthy}: ["mean > 40/s"]
"""


def test_the_whole_of_a_scenario(load: Load) -> None:
    first, second = load(FULL)
    assert (first.scenario.system.broker, second.scenario.system.broker) == ("redis", "rabbitmq")
    assert [type(parameters).__name__ for parameters in first.faults] == [
        "TargetParameters",
        "TargetParameters",
        "CutParameters",
        "CopyParameters",
        "TargetParameters",
    ]
    assert first.faults[1].model_dump() == {"target": "pay", "restart_after": 2.0}
    assert [fault.name for fault in first.fault_kinds][2:4] == ["net.partition", "message.duplicate"]
    assert list(first.checks) == ["no_loss", "idempotent", "retry_policy", "recovery", "thresholds"]
    assert first.checks["thresholds"].model_dump() == {"end_to_end_latency": ("p(95) < 2s",), "throughput{phase:healthy}": ("mean > 40/s",)}
    assert first.stores["db"][0] == "sqlite"
    assert first.stores["card_api"][1].model_dump() == {"idempotency_key": "Idempotency-Key", "status": 200}
    assert first.scenario.checks["no_loss"] == {}
    assert first.scenario.timeline[3].parameters == {"queue": "payments", "ratio": "20%"}


def test_locations_after_loading(load: Load) -> None:
    loaded = load(FULL)[1]
    assert loaded.where("load", 0, "send").endswith("orders.yaml:19:11")
    assert loaded.where("load", 0, "send", key=True).endswith("orders.yaml:19:5")
    assert loaded.where("timeline", 1, "target").endswith("orders.yaml:25:42")
    assert loaded.where("load", 0, "").endswith("orders.yaml:19:5")
    assert loaded.where().endswith("orders.yaml:2:1")
    error = loaded.error("task x is not registered", "load", 0, "send", hint="registered: y")
    assert isinstance(error, ScenarioError)
    assert str(error).endswith("orders.yaml:19:11: task x is not registered\n  registered: y")


def test_a_seed_from_the_command_line_goes_first_and_is_in_the_text(load: Load, doc: Doc) -> None:
    for text in (doc(), doc(seed="seed: 5")):
        (loaded,) = load(text, seed=2**63 - 1)
        assert loaded.scenario.seed == 2**63 - 1
        assert load(loaded.text)[0].scenario.seed == 2**63 - 1


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_is_none(load: Load, doc: Doc, seed: int) -> None:
    with pytest.raises(UsageError, match=str(seed)):
        load(doc(), seed=seed)


def test_thresholds_are_never_dropped(load: Load, doc: Doc, make_registry: Callable[..., Registry]) -> None:
    with pytest.raises(ScenarioError, match="no check `thresholds`"):
        load(doc(thresholds="thresholds: {latency: ['p(95) < 2s']}"), make_registry(checks={}))
    assert "thresholds" not in load(doc(thresholds="thresholds: {}"))[0].checks


def test_a_rule_of_one_threshold_is_told_at_its_key(doc: Doc, refused: Callable[..., list[ScenarioError]]) -> None:
    (error,) = refused(doc(thresholds="thresholds:\n  latency: ['p(95) < 2s']\n  «throughput: ['fast']"))
    assert error.what == "('fast',) compares nothing"


def test_what_services_offer(
    load: Load, doc: Doc, refused: Callable[..., list[ScenarioError]], make_registry: Callable[..., Registry]
) -> None:
    services = "services: {db: sqlite, dir: files, kv: redis, api: http}"
    env = "env: {A: '${{ db.path }}', B: '${{ dir.url }}', C: '${{ kv.password }}', D: '${{ api.host }}', E: '${{ broker.url }}'}"
    assert load(doc(system=f"system: {{app: 'a:b', {services}, {env}}}"))
    refused(doc(system=f"system: {{app: 'a:b', {services}, env: {{A: «'${{{{ db.host }}}}', B: «'${{{{ api.password }}}}'}}}}"))
    own = make_registry(stores={"own": SimpleNamespace(kind="own", summary="", Parameters=StoreParameters, offered=("token",))})
    assert load(doc(system="system: {app: 'a:b', services: {x: own}, env: {A: '${{ x.token }}'}}"), own)
    (error,) = refused(doc(system="system: {app: 'a:b', services: {x: own}, env: {A: «'${{ x.url }}'}}"), own)
    assert error.hint == "it offers token"


def test_no_checks_and_no_timeline_are_legal(load: Load, doc: Doc) -> None:
    (loaded,) = load(doc())
    assert (loaded.checks, loaded.faults, loaded.stores) == ({}, (), {})


def test_for_on_an_instantaneous_fault_is_legal(load: Load, doc: Doc) -> None:
    assert load(doc(timeline="timeline: [{at: 1s, for: 2s, fault: worker.kill}]"))


def test_an_armed_fault_that_does_not_strike_by_itself_is_held(load: Load, doc: Doc) -> None:
    assert load(doc(timeline="timeline: [{when: {task: a}, fault: message.duplicate, queue: q, count: 1}]"))


def test_targets(load: Load, doc: Doc) -> None:
    system = "system: {app: 'a:b', backend: redis, services: {db: sqlite}, workers: {pay: {replicas: 2}, mail: {}}}"
    items = [f"{{at: 1s, fault: any.hit, target: {target}}}" for target in ("pay", "pay-2", "mail-1", "broker", "backend", "db", "''")]
    scaled = "{at: 1s, fault: worker.scale, target: mail, replicas: 3}, {at: 2s, fault: worker.kill, target: mail-3}"
    assert load(doc(system=system, timeline=f"timeline: [{', '.join(items)}, {scaled}]"))


def test_the_default_group_is_worker(load: Load, doc: Doc) -> None:
    assert load(doc(timeline="timeline: [{at: 1s, fault: worker.kill, target: worker-1}]"))


def test_a_drain_just_long_enough(load: Load, doc: Doc) -> None:
    redelivery = parse_duration("10s")
    drain = f"drain: {{timeout: {redelivery + SWEEP_SECONDS + 0.1:g}s}}"
    assert load(doc(system="system: {app: 'a:b', redelivery: 10s}", drain=drain))


def test_a_countdown_that_the_rest_of_the_load_outlasts(load: Load, doc: Doc) -> None:
    """What waits while other calls are still sent needs no drain."""
    load(doc(load="load: [{send: a, count: 1, countdown: 70s}, {send: b, rate: 1/s, for: 60s}]"))


def test_a_fault_in_the_drain_is_legal(load: Load, doc: Doc) -> None:
    assert load(doc(timeline="timeline: [{at: 60s, fault: worker.kill}]"))


def test_a_call_of_a_random_load_cannot_be_refused(load: Load, doc: Doc) -> None:
    load_text = "load: [{send: a, arrival: poisson, rate: 1/s, for: 10s}]"
    assert load(doc(load=load_text, timeline="timeline: [{when: {task: a, call: 15}, fault: worker.kill}]"))


def test_places_are_told_as_the_path_was_given(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("version: 1\nnope: 1\n")
    with pytest.raises(ScenarioErrors) as caught:
        load_scenarios(Path("a.yaml"), registry)
    assert [error.where for error in caught.value.errors] == ["a.yaml:1:1", "a.yaml:1:1", "a.yaml:2:1"]
