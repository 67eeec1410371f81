"""What a plan comes to as a schedule, and that the loader takes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assembly import registry
from harness.errors import UsageError
from harness.scenario import load_scenarios
from harness.scenario.loader import written_out
from harness.testing.plans import Ground, Heal, Plan, PlannedCall, PlannedChord, PlannedFault, PlanStep, Settle
from harness.testing.workshop import _plain

GROUND = Ground(("pay",), ("payments",))
ONE = PlannedCall("orders.charge", (1, 900))
TWO = PlannedCall("orders.charge", (2, 900), options={"countdown": "1s"})


def steps(*given: PlanStep, ground: Ground = GROUND) -> list[str]:
    return [next(iter(step)) for step in Plan(given).schedule(ground)]


def test_calls_are_steps_in_their_order() -> None:
    assert Plan.of([ONE, TWO]).schedule(GROUND) == [
        {"send": "orders.charge", "args": [1, 900]},
        {"send": "orders.charge", "args": [2, 900], "countdown": "1s"},
    ]


def test_a_fault_is_armed_just_before_its_call() -> None:
    crash = PlannedFault("task.crash", 2, "end", parameters={"restart_after": "100ms"})
    schedule = Plan.of([ONE, TWO], [crash]).schedule(GROUND)
    assert [next(iter(step)) for step in schedule] == ["send", "fault", "send"]
    when = {"task": "orders.charge", "reaches": "end", "call": 2}
    assert schedule[1] == {"fault": "task.crash", "when": when, "restart_after": "100ms"}


def test_calls_are_counted_round_where_there_are_fewer() -> None:
    assert Plan.of([ONE, TWO], [PlannedFault("task.crash", 3)]).schedule(GROUND)[0]["when"]["call"] == 1


def test_a_fault_aims_at_any_task_of_a_chord() -> None:
    chord = PlannedChord((PlannedCall("albums.thumbnail", ("a",)), PlannedCall("albums.thumbnail", ("b",))), PlannedCall("albums.ready"))
    aims = [Plan.of([chord], [PlannedFault("task.crash", task=n)]).schedule(GROUND)[0]["when"]["task"] for n in range(3)]
    assert aims == ["albums.thumbnail", "albums.ready", "albums.thumbnail"]


def test_a_fault_without_a_call_begins_at_its_place() -> None:
    assert steps(ONE, PlannedFault("broker.restart", call=0), TWO) == ["send", "fault", "send"]


def test_healing_waits_a_little_and_means_nothing_before_a_fault() -> None:
    assert steps(Heal(), ONE) == ["send"]
    assert steps(PlannedFault("worker.kill"), ONE, Heal()) == ["fault", "send", "wait", "heal"]


def test_what_can_only_mean_one_thing_is_filled_in() -> None:
    faults = [
        PlannedFault("message.duplicate", parameters={"count": 1}),
        PlannedFault("net.partition", parameters={"between": ["", "broker"]}),
        PlannedFault("worker.scale", parameters={"replicas": 2}),
    ]
    copy, cut, scale = Plan.of([ONE], faults).schedule(GROUND)[:3]
    assert (copy["queue"], cut["between"], scale["target"]) == ("payments", ["pay", "broker"], "pay")


def test_what_could_mean_several_things_is_refused() -> None:
    plan = Plan.of([ONE], [PlannedFault("message.duplicate", parameters={"count": 1})])
    with pytest.raises(UsageError, match="which queue"):
        plan.schedule(Ground(("pay",), ("payments", "mail")))


def test_the_ground_is_read_from_a_configuration() -> None:
    assert Ground.of({}) == Ground(("worker",), ("celery",))
    workers = {"pay": {"queues": ["payments", "refunds"]}, "mail": {}}
    assert Ground.of({"system": {"workers": workers}}) == Ground(("pay", "mail"), ("payments", "refunds"))


def test_the_same_schedule_has_the_same_key() -> None:
    one = Plan.of([ONE], [PlannedFault("task.crash", 1)])
    assert one.key(GROUND) == Plan.of([ONE], [PlannedFault("task.crash", 3)]).key(GROUND)
    assert one.key(GROUND) != Plan.of([ONE]).key(GROUND)


def test_lasting_faults_are_told_from_those_that_end_by_themselves() -> None:
    assert PlannedFault("worker.kill").lasts
    assert PlannedFault("net.partition").lasts
    assert not PlannedFault("net.partition", parameters={"for": "1s"}).lasts
    assert not PlannedFault("task.crash").lasts
    assert not PlannedFault("worker.kill", parameters={"restart_after": "1s"}).lasts


def test_every_kind_of_step_is_one_that_the_loader_takes(tmp_path: Path) -> None:
    chord = PlannedChord((ONE,), PlannedCall("orders.done", kwargs={"text": "\x00\x85 “quoted”: #\n"}))
    plan = Plan((PlannedFault("worker.kill", 1), ONE, Heal(), Settle(), PlannedFault("task.crash", 2, task=1), chord))
    file = tmp_path / "plan.yaml"
    document = {"version": 1, "system": {"app": "a:app", "workers": {"pay": {}}}, "schedule": plan.schedule(GROUND)}
    file.write_text(written_out(_plain(document)), encoding="utf-8")
    (loaded,) = load_scenarios(file, registry())
    assert len(loaded.scenario.load) == 2
    assert loaded.scenario.load[1].chord is not None
    assert loaded.scenario.load[1].chord.body.kwargs == {"text": "\x00\x85 “quoted”: #\n"}


def test_a_plan_reads_like_what_it_does() -> None:
    cut = PlannedFault("net.partition", 4, parameters={"between": ["pay", "broker"], "for": "1s"})
    assert repr(Plan((cut, ONE, Settle(), Heal()))) == (
        "Plan(net.partition when call 1 reaches start, between pay and broker, for 1s; orders.charge(1, 900); settle; heal)"
    )


def test_a_group_that_is_left_to_the_system_is_named_for_what_it_is() -> None:
    assert repr(PlannedFault("net.partition", parameters={"between": ["", "broker"]})).endswith("between the workers and broker")


def test_a_call_that_is_taken_out_takes_its_faults_along() -> None:
    plan = Plan((PlannedFault("task.crash", 1), ONE, PlannedFault("worker.pause", 2), TWO))
    assert plan.without(1) == Plan((PlannedFault("worker.pause", 1), TWO))
    assert plan.without(0) == Plan((ONE, PlannedFault("worker.pause", 2), TWO))
