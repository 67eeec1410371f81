"""Workers of Locust on another machine: what is known of their clock, and what the master keeps for them. Needs no Locust."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from celery_harness_agent.settings import Settings
from harness.run.journal import JournalReader, read_header
from tests.unit.agent.test_locust_calls import module, stand_alone

__all__ = ["stand_alone"]

MS = 10**6


def bounds() -> Any:
    return module("clocks").ClockBounds()


def test_one_answer_bounds_the_clock_by_the_time_that_it_took() -> None:
    clock = bounds()
    clock.heard(1_000 * MS, 501_002 * MS, 1_005 * MS)
    assert (clock.low, clock.high) == (499_997 * MS, 500_002 * MS)
    assert clock.shift(1_005 * MS) == 499_996.5 * MS and clock.error(1_005 * MS) == 5.5 * MS


def test_bounds_grow_while_nobody_asks() -> None:
    clock = bounds()
    clock.heard(0, 10 * MS, 2 * MS)
    assert clock.shift(2 * MS) == 7.5 * MS and clock.error(2 * MS) == 2.5 * MS
    assert clock.shift(1_002 * MS) == 7.5 * MS and clock.error(1_002 * MS) == 2.6 * MS, "100 ppm for a second"
    assert clock.shift(10_002 * MS) == 6.5 * MS, "the truth could be below it"


def test_a_shift_stays_until_it_would_be_wrong_or_much_too_early() -> None:
    clock = bounds()
    clock.heard(0, 10 * MS, 2 * MS)
    shifts = []
    for at in range(100, 60_000, 100):
        drift = int(at * MS * 50e-6)  # a clock that runs fast by 50 ppm
        clock.heard(at * MS, at * MS + 10 * MS + drift, at * MS + 1)
        shifts.append(clock.shift(at * MS + 1))
        assert shifts[-1] <= 10 * MS + drift <= shifts[-1] + clock.error(at * MS + 1)
    assert len(set(shifts)) <= 4, "3 ms in a minute, by a millisecond or more each time"


def test_a_clock_that_jumps_makes_void_what_was_known() -> None:
    clock = bounds()
    clock.heard(0, 10 * MS, 2 * MS)
    clock.heard(100 * MS, 9_000 * MS, 101 * MS)
    assert (clock.low, clock.high) == (8_899 * MS, 8_900 * MS)


@pytest.mark.parametrize("seed", range(20))
def test_the_truth_is_always_within_the_bounds(seed: int) -> None:
    """Two clocks that run apart by up to 100 ppm, on a network whose delays differ by direction."""
    rng = random.Random(seed)
    clock, offset, rate = bounds(), rng.randrange(-(10**15), 10**15), 1 + rng.uniform(-1, 1) * 99e-6
    now = rng.randrange(10**12)

    def other(at: int) -> int:
        return offset + int(at * rate)

    for _ in range(200):
        asked = now
        answered = asked + int(rng.expovariate(1 / MS))
        now = answered + int(rng.expovariate(1 / (3 * MS)))
        clock.heard(asked, other(answered), now)
        now += rng.randrange(500 * MS)
        truth = other(now) - now
        assert clock.shift(now) - 2 <= truth <= clock.shift(now) + clock.error(now) + 2, "but for rounding"


def test_records_get_the_times_of_the_run() -> None:
    shifted = module("clocks").shifted
    call = '{"k":"call","m":1000,"no":1,"n":"a","args":"[[\\"\\\\\\"due\\\\\\":7, \\\\\\"m\\\\\\":5\\"], {}]","due":1000,"late":0}\n'
    before, after = json.loads(call), json.loads(shifted(call, 50, 400))
    assert (after["m"], after["due"], after["args"]) == (1050, 650, before["args"])
    publish = '{"k":"publish","m":1000,"msg":"x:1","asked":null}\n'
    assert json.loads(shifted(publish, -50, 400)) == {"k": "publish", "m": 950, "msg": "x:1", "asked": None}


class Master:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.listeners: dict[str, Any] = {}
        self.sent: list[tuple[str, dict[str, Any], str]] = []

    def register_message(self, kind: str, listener: Any) -> None:
        self.listeners[kind] = listener

    def send_message(self, kind: str, data: dict[str, Any], client: str) -> None:
        self.sent.append((kind, data, client))

    def gets(self, kind: str, client: str, **data: Any) -> None:
        self.listeners[kind](environment=None, msg=SimpleNamespace(node_id=client, data=data))


def served(folder: Path, token: str = "t") -> tuple[Any, Master]:
    document = {"run": "r1", "pass": "faults", "role": "producer", "name": "producer", "journal": str(folder), "token": token}
    guests, master = module("guests").Guests(Settings(document)), Master()
    guests.serve(master)
    return guests, master


def test_a_guest_gets_a_seat_of_its_own_and_its_records_a_journal(tmp_path: Path) -> None:
    guests, master = served(tmp_path)
    for client in ("one", "two"):
        guests.welcome(client, {"host": f"host-{client}", "run": "r1", "token": "t"})
    seats = {client: data for kind, data, client in master.sent if kind == "celery_harness_seat"}
    assert seats["one"]["pid"] != seats["two"]["pid"] and seats["one"]["stem"] != seats["two"]["stem"]
    assert abs(seats["one"]["calls"] - seats["two"]["calls"]) >= 10**9
    guests.welcome("one", {"host": "host-one", "run": "r1", "token": "t"})
    assert master.sent[-1][1] == seats["one"], "who asks again gets the same seat"
    assert not guests.ready()
    lines = '{"k":"call","m":5,"no":1,"n":"a","args":"","due":1}\n{"k":"call_ok","m":6,"no":1,"id":"x","ids":["x"]}\n'
    master.gets("celery_harness_records", "one", lines=lines, error=2 * MS, last=False)
    master.gets("celery_harness_records", "nobody", lines=lines, error=1, last=True)
    assert guests.ready() == {seats["one"]["pid"]: "one"}
    (path,) = [path for path in tmp_path.iterdir() if path.name.startswith(str(seats["one"]["pid"]))]
    header = read_header(path)
    assert (header.pid, header.role, header.ppid) == (seats["one"]["pid"], "producer", 0) and header.wall_offset is not None
    assert [record["k"] for block in JournalReader(path) for record in block] == ["open", "call", "call_ok"]
    assert guests.vanished() == ["one", "two"]
    master.gets("celery_harness_records", "one", lines="", error=1 * MS, last=True)
    master.gets("celery_harness_records", "one", lines="", error=1 * MS, last=False)
    assert guests.vanished() == ["two"]
    assert "1 call was made by 2 Locust workers on host-one, host-two" in guests.summary() and "up to 2 ms" in guests.summary()


def test_who_comes_late_is_told_when_the_load_began(tmp_path: Path) -> None:
    guests, master = served(tmp_path)
    guests.welcome("one", {"host": "a", "run": "r1", "token": "t"})
    guests.begin_at(77)
    guests.welcome("two", {"host": "a", "run": "r1", "token": "t"})
    assert ("celery_harness_start", {"t0": 77}, "one") in master.sent
    assert next(data["t0"] for kind, data, client in master.sent if (kind, client) == ("celery_harness_seat", "two")) == 77


@pytest.mark.parametrize(("own", "shown"), [("t", "of another run"), ("t", None), ("", "")])
def test_nobody_is_a_guest_without_the_runs_own_token(tmp_path: Path, own: str, shown: str | None) -> None:
    guests, master = served(tmp_path, own)
    guests.welcome("one", {"host": "a", "run": "r0", "token": shown})
    ((kind, data, client),) = master.sent
    assert (kind, client) == ("celery_harness_seat", "one") and "file of run r0" in data["refused"]
    assert not guests.is_one("one") and not list(tmp_path.iterdir())
    assert guests.summary() == ""
