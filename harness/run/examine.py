"""Before anything is judged: does the app import, are its tasks registered, do the named objects exist? Exit code 2 if not."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from harness.errors import ScenarioError
from harness.model.scenario import Call, LoadItem, Scenario
from harness.model.trace import OwnCall

__all__ = ["check_app", "check_redelivery", "examination", "task_names"]

_OLDEST_CELERY = (5, 3)


def _calls(item: LoadItem) -> list[LoadItem | Call]:
    """Every task call of one stream."""
    if item.send:
        return [item]
    if item.chord:
        return [*item.chord.header, item.chord.body]
    return [*item.chain, *item.group]


def task_names(item: LoadItem) -> list[str]:
    """All tasks that one stream of the load sends."""
    own = [task for _, (task, _, _) in _traced(item) if task]
    return list(dict.fromkeys([*(call.send for call in _calls(item) if call.send), *own]))


def _traced(item: LoadItem) -> tuple[tuple[str, OwnCall], ...]:
    """What the calls of a trace say of themselves: (file:line, call), one of each kind."""
    return item.played.kinds if item.arrival == "trace" else ()


def _placed_calls(item: LoadItem) -> Iterator[tuple[tuple[str | int, ...], LoadItem | Call, int]]:
    """Every call, where it is written below its stream, and how many arguments Celery puts before its own: a result, or none."""
    if item.send:
        yield (), item, 0
    for number, call in enumerate(item.chain):
        yield ("chain", number), call, int(number > 0)
    for number, call in enumerate(item.group):
        yield ("group", number), call, 0
    if item.chord:
        for number, call in enumerate(item.chord.header):
            yield ("chord", "header", number), call, 0
        yield ("chord", "body"), item.chord.body, 1


def _literal_calls(scenario: Scenario) -> list[tuple[tuple[str | int, ...] | str, dict[str, Any]]]:
    """Calls whose arguments are known before anything runs: where each is written (a path of the file, or file:line of a trace), and
    what `check` is asked of it.
    """
    found: list[tuple[tuple[str | int, ...] | str, dict[str, Any]]] = []
    for index, item in enumerate(scenario.load):
        if traced := _traced(item):
            found += _traced_calls(item, traced)
            continue
        for place, call, before in _placed_calls(item):
            if not isinstance(call.args, str):
                written = call.model_dump(mode="json", include={"args", "kwargs"})
                asked = {"task": call.send, **written, "before": before}
                found.append((("load", index, *place), asked))
    return found


def _traced_calls(item: LoadItem, traced: Iterable[tuple[str, OwnCall]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, (task, args, kwargs) in traced:
        if args is not None or not isinstance(item.args, str):
            given = list(item.args) if args is None else args
            yield place, {"task": task or item.send, "args": given, "kwargs": item.kwargs if kwargs is None else kwargs, "before": 0}


def _line_points(scenario: Scenario) -> list[tuple[int, str, int]]:
    """(index of the fault, file, line) of each trigger that aims at a line."""
    found = []
    for index, planned in enumerate(scenario.timeline):
        file, _, line = (planned.when.reaches if planned.when else "").partition("#")[0].rpartition(":")
        if file and line.isdigit():
            found.append((index, file, int(line)))
    return found


def _argument_paths(item: LoadItem) -> Iterable[str]:
    return [call.args for call in _calls(item) if isinstance(call.args, str)]


def examination(scenario: Scenario) -> dict[str, Any]:
    """The question that the `check` program answers (docs/journal.md)."""
    objects = [path for item in scenario.load for path in _argument_paths(item)]
    if scenario.system.setup:
        objects.append(scenario.system.setup)
    wanted = sorted({name for item in scenario.load for name in task_names(item)})
    return {
        "app": scenario.system.app,
        "objects": sorted(set(objects)),
        "tasks": wanted,
        "retry_patterns": sorted(scenario.checks.get("retry_policy", {}) or {}),
        "points": [[file, line] for _, file, line in _line_points(scenario)],
        "calls": [asked for _, asked in _literal_calls(scenario)],
    }


def check_app(scenario: Scenario, answer: dict[str, Any], where: Callable[..., str]) -> None:
    """ScenarioError for an app that does not import, an object that is not there, a task that is not registered or cannot be called
    so, a line that no task can reach.
    """
    if not answer.get("ok"):
        error = answer.get("error") or {}
        place = f"{error['file']}:{error['line']}" if error.get("file") else where("system", "app")
        trace = f"\n{error['traceback'].rstrip()}" if error.get("traceback") else ""
        raise ScenarioError(f"{error.get('what', 'the app cannot be imported')}{trace}", where=place, hint=_import_hint(scenario, error))
    _demand_celery(str(answer.get("celery", "")), where)
    registered = [t for t in answer.get("tasks", []) if not t.startswith("celery.")]
    for index, item in enumerate(scenario.load):
        for name in task_names(item):
            if name not in answer.get("tasks", []):
                named = next((at for at, (task, _, _) in _traced(item) if task == name and name != item.send), "")
                place = named or where("load", index, "send" if item.send else "")
                raise ScenarioError(f"task {name} is not registered in {scenario.system.app}", where=place, hint=_nearest(name, registered))
    for index, planned in enumerate(scenario.timeline):
        if planned.when and not fnmatch.filter(answer.get("tasks", []), planned.when.task):
            place = where("timeline", index, "when", "task")
            raise ScenarioError(
                f"no registered task matches {planned.when.task}", where=place, hint=_nearest(planned.when.task, registered)
            )
    for (path, asked), wrong in zip(_literal_calls(scenario), answer.get("calls", ()), strict=False):
        if wrong:
            place = path if isinstance(path, str) else where(*path, "args")
            raise ScenarioError(f"{asked['task']} cannot be called so: {wrong}", where=place)
    for (index, _, _), trouble in zip(_line_points(scenario), answer.get("points", ()), strict=False):
        if trouble:
            raise ScenarioError(trouble[0], where=where("timeline", index, "when", "reaches"), hint=trouble[1])


def _demand_celery(version: str, where: Callable[..., str]) -> None:
    if (parts := tuple(int(part) for part in re.findall(r"\d+", version)[:2])) and parts < _OLDEST_CELERY:
        oldest = ".".join(map(str, _OLDEST_CELERY))
        raise ScenarioError(
            f"the app runs on Celery {version}: what is known of Celery's inside holds from {oldest} on",
            where=where("system", "app"),
            hint=f"the packages are those of the app's own Python or image; install celery>={oldest} there",
        )


def check_redelivery(scenario: Scenario, kombu: str, semantics: Mapping[str, Any], where: Callable[..., str]) -> None:
    """ScenarioError where the app's kombu cannot redeliver as fast as the file says and the drain would end before it does.

    Without this a message that is only late would be called STRANDED.
    """
    redelivery, since = scenario.system.redelivery, semantics.get("sweep_options_since")
    parts = tuple(int(part) for part in re.findall(r"\d+", kombu)[:2])
    if redelivery is None or since is None or not parts or parts >= tuple(since):
        return
    lag = float(semantics["sweep"])
    if scenario.drain.timeout > redelivery + lag:
        return
    raise ScenarioError(
        f"the app's kombu {kombu} gives messages back only every {lag:.0f} s (it can be told otherwise since "
        f"{'.'.join(map(str, since))}), so a redelivery after {redelivery:g} s cannot be had, and the drain would end before it",
        where=where("system", "redelivery"),
        hint=f"write drain: {{timeout: {redelivery + lag + 20:.0f}s}}, or upgrade kombu",
    )


def _import_hint(scenario: Scenario, error: dict[str, Any]) -> str:
    if error.get("kind") == "import":
        if said := error.get("hint"):  # the runtime knows better where the app's libraries come from
            return str(said)
        return "run the harness from the folder your app is imported from, or set system.path; set system.python to your app's interpreter"
    return f"system.app is {scenario.system.app}"


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "registered: " + (", ".join(sorted(names)[:12]) or "none; does the app import the module that defines it?")
