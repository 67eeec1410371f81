"""Draws sets of arguments for the explorer: by the user's strategy, or by what a task's type hints allow.

Hypothesis's own engine draws, and makes a set that fails smaller; whether one fails is for the explorer to say, set by set
(docs/journal.md, "Explorer"). It may connect to nothing.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any, Callable

from celery_harness_agent import answer, application, config
from celery_harness_agent.channel import Channel, own_descriptor
from celery_harness_agent.frames import Frames, place_of
from celery_harness_agent.guard import Guard
from celery_harness_agent.launch import die_with_parent, parent_from_environment
from celery_harness_agent.settings import Settings
from celery_harness_agent.typed import Unfit, finite, from_hints, plain

__all__ = ["CHANNEL", "main"]

#: The environment's name for the descriptor of the socket to the explorer.
CHANNEL = "CELERY_HARNESS_DRAWING"
_TYPES = "types"
_BY_NAME = "name a strategy: args: module:strategy, of pairs (args, kwargs)"


class _Fails(Exception):
    """The explorer's: a crash breaks the task with this set."""


class _Enough(BaseException):
    """The explorer wants no more. No Exception: Hypothesis would make it smaller."""


class _Broken(BaseException):
    """A strategy raised. Not to be made smaller either: that would ask for sets that nobody wants explored."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def main(settings: Settings) -> None:
    """One question {app, task, args, kwargs, rows, examples, seed}; then a set at a time, {"args", "kwargs", "rows"}, each answered by
    {"so": passes | fails | nothing | enough}; at last {"end": true, "modules"}, with an ``error`` where it could not be drawn.
    """
    die_with_parent(parent_from_environment())
    channel = Channel(own_descriptor(CHANNEL))
    config.force_addresses(settings)
    frames = Frames(settings.root)
    Guard(settings, frames, None).install()
    config.merge_when_loaded(settings.config)
    application.use_working_folder()
    try:
        request = channel.receive()
        channel.send({"end": True, **_drawn(request, channel, frames), "modules": _modules(frames)})
    except (EOFError, OSError):
        return  # nobody is there any more


def _modules(frames: Frames) -> list[str]:
    """Files of the user's modules: what was drawn came from these."""
    from celery_harness_agent.explored_child import user_modules

    return sorted(user_modules(frames, list(sys.modules)).values())


def _drawn(request: dict[str, Any], channel: Channel, frames: Frames) -> dict[str, Any]:
    """{} where all was drawn that was wanted, else its error."""
    try:
        strategy = _sets(request)
    except Unfit as exc:
        of = _task_of(request) if request["args"] == _TYPES else (None, None)
        return {"error": _described("unfit", str(exc), exc, frames, hint=exc.hint, of=of)}
    except ImportError as exc:
        if exc.name != "hypothesis":
            return {"error": _described("object", f"it cannot be imported: {type(exc).__name__}: {exc}", exc, frames)}
        return {"error": _described("hypothesis", "arguments are drawn by Hypothesis, which the app's Python does not have", exc, frames)}
    except (Exception, SystemExit) as exc:
        return {"error": _described("object", f"it cannot be imported: {type(exc).__name__}: {exc}", exc, frames)}
    try:
        _try_all(strategy, int(request["seed"]), int(request["examples"]), lambda drawn: _asked(channel, drawn))
    except (_Fails, _Enough):
        return {}
    except _Broken as broken:
        return {"error": _raised(broken.cause, frames)}
    except (EOFError, OSError):
        raise
    except Exception as exc:
        return {"error": _raised(exc, frames)}
    return {}


def _raised(exc: Exception, frames: Frames) -> dict[str, Any]:
    if isinstance(exc, Unfit):
        return _described("unfit", str(exc), exc, frames, hint=exc.hint)
    return _described("drawing", f"{type(exc).__name__}: {exc}", exc, frames)


def _described(
    kind: str, what: str, exc: BaseException, frames: Frames, *, hint: str = "", of: tuple[Any, Any] = (None, None)
) -> dict[str, Any]:
    error = answer.describe(kind, what, exc, frames)
    file, line = (error["file"], error["line"]) if error["file"] else of
    return {**error, "file": file, "line": line, "hint": hint, "traceback": error["traceback"] if kind in ("object", "drawing") else ""}


def _task_of(request: dict[str, Any]) -> tuple[Any, Any]:
    """File and line of the task, for an error about its parameters."""
    try:
        return place_of(application.find_app(request["app"]).tasks[request["task"]])
    except Exception:
        return None, None


def _asked(channel: Channel, drawn: dict[str, Any]) -> str:
    channel.send(drawn)
    return str(channel.receive().get("so"))


# --- what is drawn ----------------------------------------------------------------------------------------------------


def _sets(request: dict[str, Any]) -> Any:
    """The strategy of sets."""
    from hypothesis import strategies as st
    from hypothesis.errors import HypothesisException

    kwargs = dict(request.get("kwargs") or {})
    parts = {"rows": _rows(request["rows"]) if request.get("rows") else st.none(), "pair": _pairs(request, kwargs)}
    whole = st.fixed_dictionaries(parts)

    def one(draw: Any) -> dict[str, Any]:
        try:
            drawn = draw(whole)
        except HypothesisException:
            raise
        except Exception as exc:
            raise _Broken(exc) from exc
        return {"args": drawn["pair"][0], "kwargs": drawn["pair"][1], "rows": drawn["rows"]}

    return st.composite(one)()


def _rows(path: str) -> Any:
    return _strategy(path, "what `setup` is given").map(lambda value: plain(value, f"a value of {path}"))


def _pairs(request: dict[str, Any], kwargs: dict[str, Any]) -> Any:
    from hypothesis import strategies as st

    args = request["args"]
    if not isinstance(args, str):
        return st.just((list(args), kwargs))
    if args != _TYPES:
        return _strategy(args, "(args, kwargs)").map(lambda value: _pair(args, value, kwargs))
    st.register_type_strategy(float, finite())  # also where it stands within another type
    app = application.find_app(request["app"])
    application.register_tasks(app)
    if request["task"] not in app.tasks:
        raise Unfit(f"the app has no task {request['task']}", "")
    task = app.tasks[request["task"]]
    positional, named = from_hints(task, kwargs, _BY_NAME)
    if not positional and not named:
        raise Unfit(f"{task.name} has no parameter that has to be given and is not", "leave `args: types` out")
    carried = {name: _carried(strategy, name, task.name) for name, strategy in named.items()}
    by_place = st.tuples(*(_carried(strategy, f"number {n}", task.name) for n, strategy in enumerate(positional, 1)))
    return st.tuples(by_place, st.fixed_dictionaries(carried)).map(lambda drawn: (list(drawn[0]), {**kwargs, **drawn[1]}))


def _carried(strategy: Any, parameter: str, task: str) -> Any:
    return strategy.map(lambda value: plain(value, f"parameter `{parameter}` of {task}"))


def _strategy(path: str, gives: str) -> Any:
    """Of the user's; a function that takes a `random.Random` is as good."""
    from hypothesis import strategies as st

    found = application.resolve(path)
    if isinstance(found, st.SearchStrategy):
        return found
    if not callable(found):
        raise Unfit(f"{path} is {type(found).__name__}", f"name a Hypothesis strategy of {gives}")
    if not _takes_a_parameter(found):
        raise Unfit(f"{path} is a function without a parameter: what it gives cannot be had again", "let it take a random.Random")
    return st.randoms(use_true_random=True).map(found)


def _takes_a_parameter(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)


def _pair(path: str, value: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], (tuple, list)) and isinstance(value[1], dict):
        return plain(list(value[0]), f"an argument of {path}"), plain({**kwargs, **value[1]}, f"an argument of {path}")
    raise Unfit(f"{path} gave {value!r:.200}", "it must give (args, kwargs), such as ([7], {})")


# --- trying them ------------------------------------------------------------------------------------------------------


def _try_all(strategy: Any, seed: int, examples: int, ask: Callable[[dict[str, Any]], str]) -> None:
    """The last set that fails is the smallest. No database, no time limits: only the seed and the answers count."""
    import hypothesis

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(strategy)
    def try_one(drawn: dict[str, Any]) -> None:
        so = ask(drawn)
        if so == "fails":
            raise _Fails
        if so == "enough":
            raise _Enough
        if so == "nothing":
            hypothesis.reject()

    try_one()
