"""Whatever stands in a file, the loader answers with a scenario or with errors that have a place: never with a traceback."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from harness.errors import ScenarioError
from harness.scenario import LoadedScenario, ScenarioErrors

Load = Callable[..., list[LoadedScenario]]

TEXT = """\
version: 1
matrix: {n: [1, 2], broker: [redis]}
tags: [ci]
system:
  app: shop.tasks:app
  broker: ${{ matrix.broker }}
  backend: {kind: redis}
  redelivery: 5s
  services: {db: sqlite, api: {http: {status: 500}}}
  env: {URL: "${{ db.url }}", N: "n${{ matrix.n }}"}
  workers: {pay: {replicas: 2, queues: [q]}}
load:
- {send: shop.pay, rate: 5/s, for: 3s, args: [1, x]}
- {chord: {header: [{send: a}], body: {send: b, countdown: 2s}}, count: 3}
timeline:
- {at: 1s, fault: worker.kill, target: pay-1}
- {when: {task: shop.pay, reaches: "a.py:4"}, fault: message.duplicate, queue: q, ratio: 20%}
drain: {timeout: 30s}
checks: {no_loss: , idempotent: {observe: [db]}, retry_policy: {"a.*": {base: 2s}}}
thresholds: {latency: ["p(95) < 2s"]}
time: {retries: /60}
semantics: {a: at_most_once}
"""

WORDS = [
    "",
    "null",
    "true",
    "-1",
    "0",
    "1e400",
    "5s",
    "[]",
    "{}",
    "[[1]]",
    "{a: b}",
    "'${{ matrix.n }}'",
    "${{",
    "&a",
    "*a",
    "!x",
    "\t",
    "é",
    "<<",
    "-",
    ":",
]
ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
ODD |= st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=3), max_size=2)

bounded = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def answers(load: Load, text: str) -> None:
    try:
        loaded = load(text)
    except ScenarioError as error:
        errors = error.errors if isinstance(error, ScenarioErrors) else (error,)
        for one in errors:
            assert re.search(r"orders\.yaml:[1-9]\d*:[1-9]\d*$", one.where), one.where
            assert one.what
    else:
        assert loaded
        assert all(load(one.text)[0].scenario == one.scenario for one in loaded)


@bounded
@given(data=st.data())
def test_a_word_put_anywhere(load: Load, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(TEXT)))
    end = data.draw(st.integers(start, min(len(TEXT), start + 12)))
    answers(load, TEXT[:start] + data.draw(st.sampled_from(WORDS)) + TEXT[end:])


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in inner for deeper in _paths(item, (*path, key)))]


PATHS = _paths(YAML(typ="safe", pure=True).load(TEXT))[1:]


@bounded
@given(path=st.sampled_from(PATHS), odd=ODD)
def test_any_value_in_any_place(load: Load, path: tuple[Any, ...], odd: Any) -> None:
    document: Any = YAML(typ="safe", pure=True).load(TEXT)
    here = document
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = odd
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(document, stream)
    answers(load, stream.getvalue())
