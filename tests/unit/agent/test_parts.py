"""Parts of the agent that need no worker."""

from __future__ import annotations

import sys
import traceback
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from celery_harness_agent import arguments, config, guard, triggers
from celery_harness_agent.frames import Frames, code_of
from celery_harness_agent.publish import rerouted_key, shortened


@pytest.mark.parametrize(
    ("point", "expected"),
    [("start", ("", 0, 0)), ("after_ack", ("", 0, 0)), ("pay.py:41", ("pay.py", 41, 0)), ("shop/pay.py:41#2", ("shop/pay.py", 41, 2))],
)
def test_points(point: str, expected: tuple[str, int, int]) -> None:
    assert triggers._line_point(point) == expected


@pytest.mark.parametrize("point", ["begin", "pay.py", "pay.py:x", ":3", "pay.py:3#x"])
def test_bad_points_are_named(point: str) -> None:
    with pytest.raises(ValueError, match="is no point"):
        triggers._line_point(point)


def test_shortened_delay_is_divided_and_exact() -> None:
    asked = datetime.now(timezone.utc) + timedelta(seconds=600)
    eta = datetime.fromisoformat(shortened(asked.isoformat(), 60))
    assert 9.5 < (eta - datetime.now(timezone.utc)).total_seconds() <= 10


def test_a_past_eta_stays() -> None:
    past = (datetime.now(timezone.utc) - timedelta(seconds=1)).isoformat()
    assert shortened(past, 60) == past


@pytest.mark.parametrize(("seconds", "left"), [(600.5, 600), (1.5, 1), (0.5, 0), (-3.0, 0)])
def test_a_native_delay_is_rerouted_to_the_whole_seconds_that_are_left(seconds: float, left: int) -> None:
    """kombu.transport.native_delayed_delivery: 28 bits, then the key."""
    eta = (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()
    key = rerouted_key(".".join(f"{86_400:028b}") + ".orders.high", eta)
    bits, rest = key.split(".")[:28], key.split(".")[28:]
    assert int("".join(bits), 2) == left and rest == ["orders", "high"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("api.example.com", ("api.example.com", None)),
        ("API.example.com:443", ("api.example.com", 443)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("fe80::1", ("fe80::1", None)),
        ("[fe80::1]:80", ("fe80::1", 80)),
    ],
)
def test_egress_entries(entry: str, expected: tuple[str, int | None]) -> None:
    assert guard._host_and_port(entry) == expected


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1", "LOCALHOST.", ""])
def test_all_of_loopback_is_one_host(name: str) -> None:
    assert guard._normal(name) == "127.0.0.1"


def test_merge_goes_key_by_key_and_twice_is_once() -> None:
    from celery import Celery

    app = Celery("x", set_as_current=False)
    app.conf.update(broker_transport_options={"visibility_timeout": 9, "own": 1}, task_acks_late=False)
    for _ in range(2):
        config.merge(app.conf, {"task_acks_late": True, "broker_transport_options": {"visibility_timeout": 3}})
    assert app.conf.task_acks_late is True
    assert app.conf.broker_transport_options == {"visibility_timeout": 3, "own": 1}


def test_merge_beats_a_namespaced_configuration() -> None:
    from celery import Celery

    app = Celery("x", set_as_current=False)
    app.config_from_object({"CELERY_TASK_ACKS_LATE": False}, namespace="CELERY")
    config.merge(app.conf, {"task_acks_late": True})
    assert app.conf.task_acks_late is True


def test_settings_shown_hold_no_secret() -> None:
    options = {"sentinel_kwargs": {"password": "hunter2"}, "visibility_timeout": 5}
    assert config.plain(options, "broker_transport_options") == {"sentinel_kwargs": {"password": "**"}, "visibility_timeout": 5}


def test_user_frames_are_those_below_the_root(tmp_path: Path) -> None:
    frames = Frames(str(tmp_path))
    assert frames.is_user(str(tmp_path / "pay.py"))
    assert not frames.is_user(str(tmp_path / ".venv/lib/python3.11/site-packages/celery/app/trace.py"))
    assert not frames.is_user(traceback.__file__)
    assert not Frames(".").is_user("<string>")


def test_innermost_user_frame_skips_library_frames() -> None:
    frames = Frames(str(Path(__file__).parent))
    try:
        datetime.fromisoformat(None)  # type: ignore[arg-type]
    except TypeError as exc:
        file, line = frames.of_exception(exc)
    assert file == __file__
    assert line is not None
    assert frames.innermost(None) == (None, None)
    assert code_of(len) is None


ITEM = {"send": "shop.ok", "args": "drawn_from:numbers"}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    import types

    from hypothesis import strategies as st

    module = types.ModuleType("drawn_from")
    module.numbers = lambda rng: ([rng.randrange(10**9)], {})  # type: ignore[attr-defined]
    module.constant = lambda: ((1,), {"a": 2})  # type: ignore[attr-defined]
    module.wrong = lambda: [1, 2, 3]  # type: ignore[attr-defined]
    module.strategy = st.tuples(st.tuples(st.integers()), st.fixed_dictionaries({"flag": st.booleans()}))  # type: ignore[attr-defined]
    module.pair = st.tuples(st.tuples(st.booleans()), st.just({}))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "drawn_from", module)
    return module


def draw(source: Any, *, seed: int = 1, calls: int = 20, **item: Any) -> list[Any]:
    plan = [[n, 0, 0] for n in range(1, calls + 1)]
    return list(arguments.draw(seed, [{"send": "shop.ok", "args": source, **item}], plan).values())


@pytest.mark.parametrize("source", ["drawn_from:numbers", "drawn_from:strategy"])
def test_same_seed_same_arguments(module: Any, source: str) -> None:
    assert draw(source) == draw(source)
    assert draw(source) != draw(source, seed=2)
    assert len({str(d) for d in draw(source)}) == 20


def test_a_strategy_with_few_values_repeats_them(module: Any) -> None:
    drawn = draw("drawn_from:pair", calls=50)
    assert len(drawn) == 50
    assert {str(d) for d in drawn} == {"[([True], {})]", "[([False], {})]"}


def test_order_of_the_calls_in_the_plan_does_not_matter(module: Any) -> None:
    item = [{"send": "shop.ok", "args": "drawn_from:numbers"}]
    calls = [[n, 0, 0] for n in range(1, 9)]
    assert arguments.draw(1, item, calls) == arguments.draw(1, item, calls[::-1])


def test_literals_and_callables_without_a_parameter(module: Any) -> None:
    assert draw([1, {"a": 2}], kwargs={"b": 3}, calls=2) == [[([1, {"a": 2}], {"b": 3})]] * 2
    assert draw("drawn_from:constant", calls=1) == [[([1], {"a": 2})]]


def test_wrong_arguments_say_what_is_wanted(module: Any) -> None:
    with pytest.raises(arguments.BadArguments, match=r"must give \(args, kwargs\)"):
        draw("drawn_from:wrong", calls=1)


def test_parts_of_a_chord_are_drawn_in_order(module: Any) -> None:
    item = {"chord": {"header": [{"send": "a", "args": [1]}, {"send": "b", "args": [2]}], "body": {"send": "c", "kwargs": {"x": 1}}}}
    assert arguments.draw(1, [item], [[1, 0, 0]]) == {1: [([1], {}), ([2], {}), ([], {"x": 1})]}
    assert arguments.text_of([([1], {})], single=True) == "[[1], {}]"
    assert arguments.text_of([([1], {}), ([2], {})], single=False) == "[[[1], {}], [[2], {}]]"
