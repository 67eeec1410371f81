"""A test's mistakes, found before anything is published: a task or line that is not there, a call that Celery would refuse.

What a scenario file asks of the app before it starts (`examine`), a live run asks when a step is made. The app is asked in a child
that may connect to nothing (docs/journal.md, `check`), and each thing once: how its tasks may be called, with positional arguments alone,
all at one time.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from harness.errors import UsageError
from harness.model.scenario import Call, LoadItem
from harness.run.examine import task_names
from harness.scenario.names import known, listed, nearest

__all__ = ["Questions"]

#: So many positional arguments, and fewer, are asked for at once.
_MOST_ARGUMENTS = 6

#: Whether Celery refuses a call is a matter of its shape: task, number of positional arguments, names of the others.
_Shape = tuple[str, int, tuple[str, ...]]
_Trouble = tuple[str, str]


class Questions:
    """Of one system. ``ask``: the `check` program, see `LiveSystem.examine`; ``tasks``: those that the app has registered."""

    def __init__(self, ask: Callable[[Mapping[str, Any]], Mapping[str, Any]], app: str, tasks: Sequence[str]) -> None:
        self._ask, self._app, self._tasks = ask, app, tasks
        self._wrong: dict[_Shape, str] = {}
        self._troubles: dict[tuple[str, int], _Trouble | None] = {}

    def prepare(self) -> None:
        """Ask for all that most calls are, so that a step need not wait for an interpreter to start."""
        self._learn([(task, count, ()) for task in self._tasks for count in range(_MOST_ARGUMENTS + 1)])

    def refuse_call(self, item: LoadItem) -> None:
        """UsageError for a task that is not registered, or arguments that Celery would refuse to publish. Drawn ones are not known yet."""
        for name in task_names(item):
            if name not in self._tasks and not name.startswith("celery."):
                self._refuse_task(name)
        shapes = [_shape(call, before) for call, before in _calls(item) if call.send and not isinstance(call.args, str)]
        self._learn(shapes)
        for shape in shapes:
            if wrong := self._wrong.get(shape):
                self._refuse_shape(shape, wrong)

    def refuse_trigger(self, task: str, reaches: str) -> None:
        """UsageError for a task (or pattern) that is not registered, or a line that no task reaches."""
        if not fnmatch.filter(self._tasks, task):
            self._refuse_task(task)
        file, _, line = reaches.partition("#")[0].rpartition(":")
        if not file or not line.isdigit():
            return
        point = (file, int(line))
        if point not in self._troubles:
            answered = self._asked(points=[list(point)]).get("points") or [None]
            self._troubles[point] = answered[0]
        if trouble := self._troubles[point]:
            raise UsageError(trouble[0], hint=trouble[1])

    def _asked(self, **what: Any) -> Mapping[str, Any]:
        return self._ask({"app": self._app, **what})

    def _learn(self, shapes: Sequence[_Shape]) -> None:
        new = [shape for shape in dict.fromkeys(shapes) if shape not in self._wrong]
        if not new:
            return
        calls = [{"task": task, "args": [None] * count, "kwargs": dict.fromkeys(names), "before": 0} for task, count, names in new]
        answered = self._asked(calls=calls).get("calls") or [""] * len(new)  # an app that cannot be imported any more says nothing
        self._wrong.update(zip(new, answered, strict=True))

    def _refuse_task(self, name: str) -> NoReturn:
        raise UsageError(f"task {name} is not registered in {self._app}{nearest(name, self._tasks)}", hint=known(self._tasks))

    def _refuse_shape(self, shape: _Shape, wrong: str) -> NoReturn:
        """With the name that is nearest to one that the task does not know, of those that it must be given."""
        task, _, _ = shape
        self._learn([(task, 0, ())])
        needed = re.findall(r"'(\w+)'", self._wrong[task, 0, ()])
        unknown = re.search(r"unexpected keyword argument '(\w+)'", wrong)
        near = nearest(unknown[1], needed) if unknown is not None and "Did you mean" not in wrong else ""  # Python 3.13 says it itself
        raise UsageError(f"{task} cannot be called so: {wrong}{near}", hint=f"it needs {listed(needed)}" if needed else "")


def _calls(item: LoadItem) -> Iterator[tuple[LoadItem | Call, int]]:
    """Every call of one stream, and how many arguments Celery puts before its own: the result of the one before, or none."""
    if item.send:
        yield item, 0
    yield from ((call, int(number > 0)) for number, call in enumerate(item.chain))
    yield from ((call, 0) for call in item.group)
    if item.chord:
        yield from ((call, 0) for call in item.chord.header)
        yield item.chord.body, 1


def _shape(call: LoadItem | Call, before: int) -> _Shape:
    return call.send or "", before + len(call.args), tuple(sorted(call.kwargs))
