"""Every network fault cuts what it says, in the direction that it says, and nothing else: told by the test's own connections."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.assembly import build_cell, choose_runtime, registry
from harness.ports.clock import MonotonicClock
from harness.ports.runtime import PassPlan
from harness.run.passes import PassDriver
from harness.scenario import load_scenarios
from tests.conformance.toxiproxy_support import real_program
from tests.e2e.containers import needs_engine
from tests.e2e.probes import FULL, QUIET, Line, Lines, Probe, Through, http_answers, started_in
from tests.e2e.support import project
from tests.parts import parts

PLACES = ("embedded", "go", "containers")
#: None of these ever begins: each pair that they name gets a link.
LINKED = [
    {"at": "1s", "for": "1s", "fault": "net.partition", "between": list(pair)}
    for pair in (("pay", "broker"), ("producer", "broker"), ("pay", "card_api"))
]
LEAVES = [{"at": "1s", "for": "1s", "fault": "net.disconnect"}]
NOTHING, UP, DOWN = Through(up=False, down=False), Through(up=True, down=False), Through(up=False, down=True)
#: What still goes through while a direction is cut.
CUT = {"both": NOTHING, "upstream": DOWN, "downstream": UP}


@dataclass
class Place:
    """A running system with a probe beside each client."""

    name: str
    system: Any
    lines: Lines
    probes: dict[str, Probe] = field(default_factory=dict)

    def standing(self, *clients: str) -> list[Line]:
        """A connection each to the broker, proven."""
        return [self.lines.standing(self.probes[client]) for client in clients]

    @contextmanager
    def fault(self, name: str, **parameters: Any) -> Iterator[Any]:
        """One that has begun, as a run begins it; healed at the end, whatever happens meanwhile."""
        kind = registry().faults[name]
        fault = kind(kind.Parameters(**parameters), random.Random(1))
        fault.begin(self.system)
        try:
            yield fault
            fault.end(self.system)
            assert fault.healed(self.system)
        finally:
            fault.end(self.system)


@contextmanager
def started(folder: Path, runtime: str) -> Iterator[Any]:
    """Two workers, the producer, a Redis and an HTTP service, all ready and with nothing to do."""
    shop = project(folder)
    file = shop.scenario(
        system={
            "services": {"card_api": {"http": {"ignore_methods": ["GET"]}}},
            "env": {"CARD_API": "${{ card_api.url }}"},
            "workers": {"pay": {"replicas": 2, "concurrency": 1, "pool": "solo"}},
        },
        timeline=[*LINKED, *(LEAVES if runtime == "containers" else [])],
        runtime=runtime,
    )
    clock = MonotonicClock()
    (loaded,) = load_scenarios(file, registry())
    cell = build_cell(loaded, folder, clock)
    reports = folder / "run"
    reports.mkdir()
    system: Any = choose_runtime(runtime).system(cell.system(f"0102-000000-{random.getrandbits(16):04x}", reports))
    try:
        system.open()
        driver = PassDriver(system, cell.scenario, clock, lambda event: None, lambda: None)
        driver.begin(PassPlan("faults", cell.calls, "timed"))
        yield system
    finally:
        system.close()


#: What `make test` tries in containers too; there, and in `go`, `make exhaustive` tries all. Both have the same Toxiproxy server.
IN_CONTAINERS = (
    "test_refusal_of_one_worker",
    "test_a_group_is_all_its_replicas_and_nobody_else",
    "test_off_the_network_nothing_is_reached_by_that_worker_and_all_by_the_other",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    quick = ["embedded", "containers"] if metafunc.function.__name__ in IN_CONTAINERS else ["embedded"]
    metafunc.parametrize("place", parts(PLACES, quick=quick), indirect=True, scope="module")


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One system for all tests of a place: each shows first that its connections work."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        if request.param == "containers":
            needs_engine()
        if request.param == "go":
            (folder / "bin").mkdir()
            (folder / "bin" / "toxiproxy-server").symlink_to(real_program())
            patch.setenv("PATH", str(folder / "bin"), prepend=":")
        system = stack.enter_context(started(folder, "containers" if request.param == "containers" else "processes"))
        made = Place(request.param, system, Lines.of(system))
        stack.callback(made.lines.admin.close)
        for client in ("pay-1", "pay-2", "producer"):
            made.probes[client] = stack.enter_context(started_in(system, client))
        yield made


@pytest.fixture(autouse=True)
def no_line_is_left(place: Place) -> Iterator[None]:
    yield
    place.lines.close()


def all_but_pay_1_is_well(place: Place, others: list[Line]) -> None:
    """Old connections and new ones, to the broker and to the service; pay-1 reaches the service too."""
    for line in others:
        line.speak()
        line.becomes(FULL, "while another is cut off")
    place.standing("pay-2", "producer")
    assert http_answers(place.probes["pay-1"])
    assert http_answers(place.probes["pay-2"])


def stays(lines: list[Line], expected: Through, since: float) -> None:
    """What goes through has gone; what must not has had its time."""
    for line in lines:
        line.becomes(expected)
    time.sleep(max(0.0, since + QUIET - time.monotonic()))
    assert [line.look() for line in lines] == [expected] * len(lines)


@pytest.mark.parametrize("direction", list(CUT))
@pytest.mark.parametrize("mode", ["stall", "blackhole"])
def test_silence_of_one_worker(place: Place, mode: str, direction: str) -> None:
    """Connections stay; what was sent meanwhile arrives afterwards, or never."""
    old, *others = place.standing("pay-1", "pay-2", "producer")
    new = place.lines.line(place.probes["pay-1"])
    with place.fault("net.partition", between=("pay-1", "broker"), mode=mode, direction=direction):
        since = time.monotonic()
        assert new.open() == "open"
        new.log_in()
        old.speak()
        all_but_pay_1_is_well(place, others)
        stays([old], CUT[direction], since)
        assert not new.look().end
        subscribed = dict(place.lines.admin.pubsub_numsub(new.name))[new.name] == 1
        assert subscribed == CUT[direction].up and ("proto" in new.got) is False
    if mode == "stall":
        old.becomes(FULL, "what waited has arrived")
        old.speak()
        old.becomes(FULL, "the very same connection goes on")
    else:
        old.becomes(Through(CUT[direction].up, CUT[direction].down, "closed"), "lost for good, and closed")
    place.standing("pay-1")


def test_refusal_of_one_worker(place: Place) -> None:
    """Connections are closed and new ones refused; afterwards they are taken again."""
    old, *others = place.standing("pay-1", "pay-2", "producer")
    new = place.lines.line(place.probes["pay-1"])
    with place.fault("net.partition", between=("pay-1", "broker"), mode="refuse"):
        assert new.open() == "refused"
        old.ends("closed", "reset")
        all_but_pay_1_is_well(place, others)
        assert new.open() == "refused", "still"
    place.standing("pay-1")


@pytest.mark.parametrize("direction", list(CUT))
def test_reset_of_one_worker(place: Place, direction: str) -> None:
    """A connection lives until something is said in the direction that is hit. A socket is told to reset when it is opened, so one
    that is older than the fault only closes, with Toxiproxy's server and with ours: docs/faults.md says so.
    """
    speaks, hears, *others = place.standing("pay-1", "pay-1", "pay-2", "producer")
    new = place.lines.line(place.probes["pay-1"])
    with place.fault("net.partition", between=("pay-1", "broker"), mode="reset", direction=direction):
        assert new.open() == "open"
        hears.publish()
        if direction == "upstream":
            hears.becomes(FULL, "only what the client sends is hit")
        else:
            hears.ends("closed")
            assert not hears.look().down
        speaks.sent += 1
        speaks.send(f"SET {speaks.name} {speaks.sent}\r\n")
        speaks.ends("closed")  # downstream: by Redis's answer
        assert speaks.look().up == (direction == "downstream")
        new.log_in()
        new.ends("reset")
        all_but_pay_1_is_well(place, others)
    place.standing("pay-1")


LATE = 0.5
#: Seconds that a fault adds: (up, down).
ADDED = {"both": (LATE, LATE), "upstream": (LATE, 0.0), "downstream": (0.0, LATE)}


def on_time(expected: float, measure: Callable[[], float]) -> bool:
    """Never earlier than the fault says, and at least once of some times not much later: a busy machine may be late as well."""
    for _ in range(6):
        seconds = measure()
        if seconds < expected * 0.95:
            return False
        if seconds < expected + 0.8 * LATE:
            return True
    return False


@pytest.mark.parametrize("direction", list(ADDED))
def test_delay_of_one_worker(place: Place, direction: str) -> None:
    """Either way is timed alone, by Redis's own state and by the probe's clock. Nothing is lost and the order stays."""
    line, other = place.standing("pay-1", "pay-2")
    with place.fault("net.latency", between=("pay-1", "broker"), direction=direction, latency=f"{LATE}s"):
        up, down = ADDED[direction]
        assert on_time(up, lambda: line.time_up())
        assert on_time(down, lambda: line.time_down())
        assert on_time(0.0, lambda: max(other.time_up(), other.time_down()))
        assert http_answers(place.probes["pay-1"])
    line.becomes(FULL)
    assert [line.got.index(f"<{number}>") for number in range(1, line.published + 1)] == sorted(
        line.got.index(f"<{number}>") for number in range(1, line.published + 1)
    )
    assert on_time(0.0, lambda: max(line.time_up(), line.time_down()))


@pytest.mark.parametrize("direction", list(ADDED))
def test_a_narrow_line_of_one_worker(place: Place, direction: str) -> None:
    """40 KB at 80 KB/s take half a second, in the direction that is hit alone."""
    line, other = place.standing("pay-1", "pay-2")
    size = 40_000
    with place.fault("net.bandwidth", between=("pay-1", "broker"), direction=direction, rate=80):
        up, down = ADDED[direction]
        assert on_time(up, lambda: line.time_up(size))
        assert on_time(down, lambda: line.time_down(size))
        assert on_time(0.0, lambda: max(other.time_up(size), other.time_down(size)))
    assert on_time(0.0, lambda: max(line.time_up(size), line.time_down(size)))


def test_a_group_is_all_its_replicas_and_nobody_else(place: Place) -> None:
    first, second, producer = place.standing("pay-1", "pay-2", "producer")
    with place.fault("net.partition", between=("broker", "pay")):
        since = time.monotonic()
        for line in (first, second, producer):
            line.speak()
        producer.becomes(FULL)
        stays([first, second], NOTHING, since)
        assert http_answers(place.probes["pay-1"])
    for line in (first, second):
        line.becomes(FULL)


def test_the_producer_is_cut_off_alone(place: Place) -> None:
    *workers, producer = place.standing("pay-1", "pay-2", "producer")
    with place.fault("net.partition", between=("producer", "broker")):
        since = time.monotonic()
        for line in (*workers, producer):
            line.speak()
        for line in workers:
            line.becomes(FULL)
        stays([producer], NOTHING, since)
    producer.becomes(FULL)


@pytest.mark.parametrize("mode", ["stall", "blackhole", "refuse", "reset"])
def test_a_service_is_cut_off_from_one_worker_alone(place: Place, mode: str) -> None:
    """The broker is not, nor is the service from the other worker."""
    lines = place.standing("pay-1", "pay-2", "producer")
    assert http_answers(place.probes["pay-1"])
    with place.fault("net.partition", between=("pay-1", "card_api"), mode=mode):
        assert not http_answers(place.probes["pay-1"], QUIET)
        assert http_answers(place.probes["pay-2"])
        for line in lines:
            line.speak()
            line.becomes(FULL)
    assert http_answers(place.probes["pay-1"])


def test_off_the_network_nothing_is_reached_by_that_worker_and_all_by_the_other(place: Place) -> None:
    """Neither side is told; back on the network the very same connection delivers what waited."""
    if place.name != "containers":
        assert not hasattr(place.system, "leave_network"), "refused when the scenario loads: tests/unit/scenario"
        return
    old, *others = place.standing("pay-1", "pay-2", "producer")
    new = place.lines.line(place.probes["pay-1"])
    with place.fault("net.disconnect", target="pay-1"):
        since = time.monotonic()
        old.speak()
        assert new.open() == "unreachable"
        assert not http_answers(place.probes["pay-1"])
        for line in others:
            line.speak()
            line.becomes(FULL)
        assert http_answers(place.probes["pay-2"])
        stays([old], NOTHING, since)
    old.becomes(FULL, "TCP sends again what was lost")
    place.standing("pay-1")
    assert http_answers(place.probes["pay-1"])
