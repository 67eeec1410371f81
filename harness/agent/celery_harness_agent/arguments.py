"""Arguments of the load's calls: drawn before anything is sent, the same ones for the same seed in every pass."""

from __future__ import annotations

import inspect
import json
import random
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from celery_harness_agent.application import resolve

__all__ = ["Arguments", "calls_of", "draw", "own_tasks", "text_of"]

#: Positional and keyword arguments of one task.
Arguments = Tuple[List[Any], Dict[str, Any]]

_TEXT_LIMIT = 2_000
#: A strategy yields at most this many different values; more calls repeat them in a seeded order.
_MOST_EXAMPLES = 2_000


class BadArguments(Exception):
    """An `args` callable or strategy of the user's gave something that no task can be called with."""


def calls_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks that one call of a load item sends, in order: one, or the parts of its chain, group or chord."""
    if item.get("send"):
        return [item]
    chord = item.get("chord")
    if chord:
        return [*chord["header"], chord["body"]]
    return list(item.get("chain") or item.get("group") or ())


def draw(seed: int, items: Sequence[dict[str, Any]], calls: Iterable[Sequence[int]]) -> dict[int, list[Arguments]]:
    """Per call number the arguments of its parts. ``calls``: (number, item index, due), in any order."""
    numbers: dict[int, list[int]] = {}
    for number, index, _ in sorted(calls, key=lambda call: call[0]):
        numbers.setdefault(index, []).append(number)
    drawn: dict[int, list[Arguments]] = {}
    for index, of_item in sorted(numbers.items()):
        rng = random.Random(f"{seed}/args/{index:d}")
        sources = [_source(part, rng, len(of_item)) for part in calls_of(items[index])]
        own = items[index].get("own") or ()
        for turn, number in enumerate(of_item):
            drawn[number] = [next(source) for source in sources]
            if own:
                drawn[number] = [_traced(drawn[number][0], own[turn])]
    return drawn


def own_tasks(items: Sequence[dict[str, Any]], calls: dict[int, tuple[int, int]]) -> dict[int, str]:
    """Call number -> the task that a trace names for it. ``calls``: number -> (item index, due)."""
    rows = {index: iter(item["own"]) for index, item in enumerate(items) if item.get("own")}
    named = ((number, next(rows[index])[0]) for number, (index, _) in sorted(calls.items()) if index in rows) if rows else ()
    return {number: task for number, task in named if task}


def _traced(pair: Arguments, own: Sequence[Any]) -> Arguments:
    """With what the line of a trace says of itself: [task, args, kwargs], null where it says nothing."""
    _, args, kwargs = own
    return (pair[0] if args is None else args, pair[1] if kwargs is None else kwargs)


def text_of(parts: Sequence[Arguments], *, single: bool) -> str:
    """Canonical JSON: [args, kwargs] of one task, a list of these for a chain, group or chord."""
    value: Any = [list(pair) for pair in parts]
    return json.dumps(value[0] if single else value, sort_keys=True, default=repr)[:_TEXT_LIMIT]


def _source(part: dict[str, Any], rng: random.Random, size: int) -> Any:
    """An endless iterator of arguments."""
    args, kwargs = part.get("args") or (), part.get("kwargs") or {}
    if not isinstance(args, str):
        return iter(lambda: (list(args), dict(kwargs)), None)
    found = resolve(args)
    if _is_strategy(found):
        return _from_strategy(args, found, rng, size, kwargs)
    if not callable(found):
        raise BadArguments(f"{args} is {type(found).__name__}: name a callable or a Hypothesis strategy that gives (args, kwargs)")
    return _from_callable(args, found, rng, kwargs)


def _from_callable(path: str, function: Any, rng: random.Random, kwargs: dict[str, Any]) -> Any:
    takes_rng = _takes_a_parameter(function)
    while True:
        yield _checked(path, function(rng) if takes_rng else function(), kwargs)


def _takes_a_parameter(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)


def _is_strategy(found: Any) -> bool:
    return type(found).__module__.partition(".")[0] == "hypothesis" and hasattr(found, "example")


def _from_strategy(path: str, strategy: Any, rng: random.Random, size: int, kwargs: dict[str, Any]) -> Any:
    values = [_checked(path, value, kwargs) for value in _examples(strategy, rng.getrandbits(64), min(size, _MOST_EXAMPLES))]
    yield from values
    while True:
        yield rng.choice(values)


def _examples(strategy: Any, seed: int, size: int) -> list[Any]:
    """Values in the order that Hypothesis tries them; no database, no shrinking, no time limits: only the seed counts."""
    import hypothesis

    values: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=size,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(value: Any) -> None:
        values.append(value)

    collect()
    return values[:size]


def _checked(path: str, value: Any, kwargs: dict[str, Any]) -> Arguments:
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], (tuple, list)) and isinstance(value[1], dict):
        return list(value[0]), {**kwargs, **value[1]}
    raise BadArguments(f"{path} gave {value!r:.200}; it must give (args, kwargs), such as ([7], {{}})")
