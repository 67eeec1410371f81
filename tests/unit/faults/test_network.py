"""Network faults: what they ask of the links, that they heal twice and only their own, and when they say that they bit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.history import FaultRecord, History
from harness.ports.network import Traffic
from tests.unit.faults.fakes import FakeLink, FakeNetwork, Told, fault, life, record

PAY_BROKER = ("pay", "broker")


def network() -> tuple[FakeNetwork, FakeLink, FakeLink]:
    first, second = FakeLink("pay-1", "broker"), FakeLink("pay-2", "broker")
    return FakeNetwork([first, second, FakeLink("mail-1", "broker")]), first, second


def partition(mode: str, **more: Any) -> Any:
    return fault("net.partition", between=PAY_BROKER, mode=mode, **more)


EVERY = {
    "net.latency": {"latency": "100ms"},
    "net.bandwidth": {"rate": 10},
    **{f"net.partition {mode}": {"mode": mode} for mode in ("stall", "blackhole", "refuse", "reset")},
}


def make(name: str) -> Any:
    return fault(name.partition(" ")[0], between=PAY_BROKER, **EVERY[name])


@pytest.mark.parametrize("name", EVERY)
def test_it_hits_both_workers_and_heals_twice(name: str) -> None:
    system, first, second = network()
    one = make(name)
    begun = one.begin(system)
    assert (begun.target, begun.note) == ("pay and broker", "2 links")
    assert first.names and second.names and not system.all[2].names
    assert not one.healed(system)
    for _ in range(2):
        one.end(system)
        assert one.healed(system)
        assert not first.names and not second.names and first.open and second.open


@pytest.mark.parametrize("name", EVERY)
def test_it_heals_before_it_ever_began(name: str) -> None:
    system, first, _ = network()
    one = make(name)
    one.end(system)
    assert one.healed(system) and first.open


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("other", EVERY)
def test_two_at_once_heal_only_their_own(name: str, other: str) -> None:
    system, first, _ = network()
    one, two = make(name), make(other)
    one.begin(system)
    before = set(first.names)
    two.begin(system)
    one.end(system)
    assert one.healed(system) and not two.healed(system)
    assert first.names and not before & set(first.names)
    assert first.open is ("refuse" not in other)
    two.end(system)
    assert two.healed(system) and not first.names and first.open


@pytest.mark.parametrize("name", EVERY)
def test_a_beginning_that_fails_half_way_leaves_nothing(name: str) -> None:
    system, first, second = network()
    second.hangs = {"add upstream", "add downstream"}
    with pytest.raises(EnvironmentFault, match="pay-2 hangs"):
        make(name).begin(system)
    assert not first.names and not second.names and first.open and second.open


@pytest.mark.parametrize("name", EVERY)
def test_a_worker_that_comes_meanwhile_is_hit_once(name: str) -> None:
    system, first, _ = network()
    one = make(name)
    one.begin(system)
    late = FakeLink("pay-3", "broker")
    system.all.append(late)
    one.tick(system)
    one.tick(system)
    assert len(late.names) == len(first.names) == len(first.added) == len(late.added)
    one.end(system)
    assert not late.names and late.open


def test_a_late_link_that_could_be_hit_only_in_part_is_tried_again() -> None:
    system, first, _ = network()
    one = partition("stall")
    one.begin(system)
    late = FakeLink("pay-3", "broker", hangs={"add downstream"})
    system.all.append(late)
    with pytest.raises(EnvironmentFault):
        one.tick(system)
    late.hangs = set()
    one.tick(system)
    assert late.names == first.names
    one.end(system)
    assert not late.names


def test_a_proxy_that_does_not_count_is_disturbed_all_the_same() -> None:
    system, first, second = network()
    first.hangs = second.hangs = {"traffic"}
    one = partition("stall")
    one.begin(system)
    assert first.names and second.names
    one.end(system)
    assert one.healed(system)
    assert one.evidence(record(), Told(life(disconnected=[1.1])).history).bit is True
    assert one.evidence(record(), busy()).bit is None


def test_a_link_that_cannot_be_healed_keeps_no_other_from_it() -> None:
    system, first, second = network()
    one = partition("stall")
    one.begin(system)
    first.hangs = {"remove"}
    with pytest.raises(EnvironmentFault):
        one.end(system)
    assert not second.names and not one.healed(system)
    first.hangs = set()
    one.end(system)
    assert one.healed(system)


def test_a_link_that_does_not_open_is_not_healed() -> None:
    system, first, _ = network()
    one = partition("refuse")
    one.begin(system)
    first.hangs = {"enable"}
    with pytest.raises(EnvironmentFault):
        one.end(system)
    assert not one.healed(system)


def test_two_parts_that_do_not_talk() -> None:
    with pytest.raises(ScenarioError, match="do not talk"):
        make("net.latency").begin(FakeNetwork([FakeLink("mail-1", "broker")]))


@pytest.mark.parametrize(
    ("mode", "type", "attributes"),
    [
        ("stall", "bandwidth", {"rate": 0}),
        ("blackhole", "timeout", {"timeout": 0}),
        ("reset", "reset_peer", {"timeout": 0}),
    ],
)
def test_what_a_mode_asks_of_the_proxy(mode: str, type: str, attributes: dict[str, int]) -> None:
    system, first, _ = network()
    partition(mode).begin(system)
    assert [(t.type, t.stream, dict(t.attributes), t.toxicity) for t in first.added] == [
        (type, "upstream", attributes, 1.0),
        (type, "downstream", attributes, 1.0),
    ]
    assert first.open


def test_refusing_closes_the_link_and_disturbs_nothing_else() -> None:
    system, first, _ = network()
    partition("refuse").begin(system)
    assert not first.open
    assert [(t.type, dict(t.attributes)) for t in first.added] == [("latency", {"latency": 0, "jitter": 0})]


@pytest.mark.parametrize("direction", ["upstream", "downstream"])
@pytest.mark.parametrize("mode", ["stall", "blackhole", "reset"])
def test_one_direction(mode: str, direction: str) -> None:
    system, first, _ = network()
    partition(mode, direction=direction).begin(system)
    assert [toxic.stream for toxic in first.added] == [direction]


def test_latency_and_bandwidth_in_the_proxys_units() -> None:
    system, first, _ = network()
    fault("net.latency", between=PAY_BROKER, latency="1500ms", jitter="20ms", direction="downstream").begin(system)
    fault("net.bandwidth", between=("broker", "pay-1"), rate=64, direction="upstream").begin(system)
    assert [(t.type, t.stream, dict(t.attributes)) for t in first.added] == [
        ("latency", "downstream", {"latency": 1500, "jitter": 20}),
        ("bandwidth", "upstream", {"rate": 64}),
    ]


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("net.partition", {"mode": "refuse", "direction": "upstream"}, "no `direction`"),
        ("net.partition", {"mode": "drop"}, "stall"),
        ("net.latency", {}, "latency"),
        ("net.latency", {"latency": "0s"}, "greater than 0"),
        ("net.bandwidth", {"rate": 0}, "greater than or equal to 1"),
    ],
)
def test_parameters_that_make_no_sense(name: str, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        fault(name, between=PAY_BROKER, **wrong)


# --- evidence ------------------------------------------------------------------------------------------------------


def after(one: Any, traffic: Traffic, *, live: bool = True) -> Any:
    """The fault over pay-1's link, which took these bytes in and gave those out meanwhile."""
    link = FakeLink("pay-1", "broker", counted=Traffic(1000, 1000, 500, 500), counts_live=live)
    system = FakeNetwork([link])
    one.begin(system)
    now = link.counted
    link.counted = Traffic(*(getattr(now, n) + getattr(traffic, n) for n in Traffic.__slots__))
    one.end(system)
    link.counted = Traffic(9000, 9000, 9000, 9000)
    one.end(system)  # what flows once it is healed no longer counts
    return one


NOTHING, HELD = Traffic(), Traffic(sent_in=300, received_in=20)
PASSED = Traffic(sent_in=70, sent_out=70, received_in=5, received_out=5)


def judged(one: Any, history: History, at: FaultRecord | None = None) -> tuple[bool | None, str]:
    evidence = one.evidence(at or record(), history)
    return evidence.bit, evidence.text


def busy() -> History:
    """pay-1 took a message while it lasted, and nothing in it tells of the fault."""
    told = Told()
    told.deliver(1.5, told.publish(0.9), took=0.1)
    return told.history


def at_work() -> History:
    """pay-1 ran a task all the time, which needed no broker."""
    told = Told()
    told.deliver(0.5, took=2.0)
    return told.history


POLLED = (False, "nothing was sent meanwhile: a worker that only asks for work loses none")


def test_bytes_that_were_held_or_dropped() -> None:
    history = busy()
    assert judged(after(partition("stall"), HELD), history) == (True, "320 bytes held")
    assert judged(after(partition("blackhole"), HELD), history) == (True, "320 bytes dropped")
    assert after(partition("stall"), HELD).evidence(record(), history).numbers == {"bytes held": 320.0}


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("history", [Told().history, at_work()], ids=["idle", "at work"])
def test_bytes_of_a_worker_that_only_asks_for_work_prove_nothing(history: History, live: bool) -> None:
    """It asks a broker all the time; a server that counts late sees none of it, and one scenario has one verdict on both."""
    assert judged(after(partition("stall"), HELD, live=live), history) == POLLED
    assert judged(after(fault("net.latency", between=PAY_BROKER, latency="1s"), PASSED, live=live), history) == POLLED


def test_what_another_fault_explains_as_well_cannot_be_told() -> None:
    history = Told(life(disconnected=[1.5])).history
    history.faults = [record(), record(index=1, name="broker.restart")]
    assert judged(after(partition("stall"), HELD), history) == (None, "what was noticed, another fault explains as well")
    history.faults[1].name, history.faults[1].target = "net.partition", "mail and broker"
    assert judged(after(partition("stall"), HELD), history)[0] is True


def on_a_service(name: str, told: Told, traffic: Traffic, *, live: bool, dependency: str = "db") -> tuple[bool | None, str]:
    """What a fault on pay-1's link to a database says, after such traffic meanwhile."""
    more = {"latency": "1s"} if name == "net.latency" else {"rate": 10} if name == "net.bandwidth" else {}
    one = fault(name, between=("pay", dependency), **more)
    link = FakeLink("pay-1", dependency, counted=Traffic(10, 10, 10, 10), counts_live=live)
    one.begin(FakeNetwork([link]))
    link.counted = Traffic(*(10 + getattr(traffic, field) for field in Traffic.__slots__))
    one.end(FakeNetwork([link]))
    return judged(one, told.history)


SLOW = ["net.latency", "net.bandwidth"]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("name", ["net.partition", *SLOW])
@pytest.mark.parametrize("dependency", ["db", "backend"])
def test_bytes_on_the_way_to_a_service_prove_nothing_whoever_counts(name: str, live: bool, dependency: str) -> None:
    """A connection pool keeps its connections alive, while nobody works and while a task does something else."""
    traffic = HELD if name == "net.partition" else PASSED
    assert on_a_service(name, Told(), traffic, live=live, dependency=dependency)[0] is False
    told = Told()
    told.deliver(0.5, took=2.0)
    assert on_a_service(name, told, traffic, live=live, dependency=dependency)[0] is None


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("name", ["net.partition", *SLOW])
def test_a_task_that_was_slowed_by_a_service_is_evidence_whoever_counts(name: str, live: bool) -> None:
    told = Told()
    for at in (10.0, 11.0, 12.0):
        told.deliver(at, took=0.1)
    told.deliver(1.1, took=1.5)
    traffic = HELD if name == "net.partition" else PASSED
    bit, text = on_a_service(name, told, traffic, live=live)
    assert bit is True
    assert "1 task took far longer than usual" in text
    assert ("bytes" in text) is live, "what was counted is told beside it"


@pytest.mark.parametrize("name", SLOW)
def test_where_not_a_byte_passed_nobody_was_slowed(name: str) -> None:
    told = Told()
    told.deliver(0.5, took=2.0)
    assert on_a_service(name, told, NOTHING, live=True) == (False, "no byte passed while it lasted")


@pytest.mark.parametrize("live", [True, False])
def test_what_is_sent_into_a_cut_link_is_held_whoever_counts(live: bool) -> None:
    told = Told()
    told.deliver(0.5, took=1.0, ack=1.6)
    bit, text = judged(after(partition("stall"), HELD, live=live), told.history, record())
    assert bit is None if not live else bit is True  # it was cut for no measurable time here
    one = after(partition("stall"), HELD, live=live)
    one._applied, one._lifted = 0.1, 1.0
    bit, text = judged(one, told.history)
    assert bit is True
    assert "1 message or ack sent into it" in text


@pytest.mark.parametrize("mode", ["refuse", "reset"])
def test_bytes_in_the_buffers_of_a_closing_connection_prove_nothing(mode: str) -> None:
    assert judged(after(partition(mode), HELD), Told().history)[0] is False


@pytest.mark.parametrize("mode", ["refuse", "reset", "blackhole"])
def test_workers_that_were_cut_off(mode: str) -> None:
    history = Told(life(disconnected=[1.1]), life(name="mail-1", pid=11, disconnected=[1.1])).history
    assert judged(after(partition(mode), NOTHING), history) == (True, "1 worker cut off")


def test_a_partition_of_somebody_who_does_nothing_did_not_bite() -> None:
    assert judged(after(partition("stall"), NOTHING), Told().history) == POLLED


def test_work_without_a_trace_of_the_fault_cannot_be_told() -> None:
    assert judged(after(partition("stall"), NOTHING), busy())[0] is None


def test_counters_that_come_late_count_for_nothing() -> None:
    told = Told()
    assert judged(after(partition("stall"), HELD, live=False), busy())[0] is None
    told.deliver(1.4, told.publish(0.5))
    assert judged(after(fault("net.latency", between=PAY_BROKER, latency="1s"), NOTHING, live=False), told.history) == (
        True,
        "1 message or request passed",
    )


@pytest.mark.parametrize("name", ["net.latency", "net.bandwidth"])
def test_a_slow_network_bites_what_passes(name: str) -> None:
    assert judged(after(make(name), PASSED), busy()) == (True, "75 bytes passed, 1 message or request passed")
    assert judged(after(make(name), NOTHING), at_work()) == POLLED


@pytest.mark.parametrize("name", EVERY)
def test_one_that_never_began_says_why(name: str) -> None:
    assert judged(make(name), Told().history, record(begun=None, ended=None)) == (False, "never begun: the event did not happen")
    assert judged(make(name), Told().history, record(begun=None, note="the proxy hangs")) == (False, "never begun: the proxy hangs")
