"""What the broker does with a task's message when its worker dies or the task ends, as Celery's settings have it."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.model.exploration import Ending, Outcome
from harness.model.scenario import ExploreItem

__all__ = ["Limits", "Question", "RulesOf", "TaskRules", "question_of", "rules_of"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Where exploring stops although there is more. Each that was reached is said, with what it left out.

    ``kills`` on one path; ``messages`` in the broker at a time; ``chain``: so many deliveries that end by themselves one after another
    may be crashed, what follows them is only run to its end, for at most ``deliveries``; ``stops`` of one delivery; ``flaws``: ways to
    fail, before the rest is left alone. ``replays``: nodes of a graph that passes which are reached again.
    """

    worlds: int = 2000
    seconds: float = 60.0
    kills: int = 50
    messages: int = 4
    chain: int = 8
    deliveries: int = 200
    stops: int = 2000
    flaws: int = 6
    replays: int = 20


@dataclass(frozen=True, slots=True)
class Question:
    """One task with one set of arguments. ``semantics``: '' for what its acks give, at_least_once, at_most_once.

    ``declared``: patterns of names -> semantics, of the tasks that it publishes too.
    """

    task: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()
    semantics: str = ""
    declared: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskRules:
    """Of one task. ``max_retries`` None: it retries for ever. ``may_be_lost``: so it is declared."""

    acks_late: bool
    on_failure: bool  # acks_on_failure_or_timeout: acked although it failed; else rejected, and gone from its queue just the same
    on_worker_lost: bool  # reject_on_worker_lost: back into the queue where a child dies by itself under a living worker
    max_retries: int | None
    may_be_lost: bool = False

    def comes_back(self, ending: Ending) -> bool:
        """Does the broker deliver this very message again after it ended so?

        A child that died by itself (not with its whole worker) has its message acked as failed, or rejected with requeue where the task
        says `reject_on_worker_lost` (celery.worker.request.Request.on_failure).
        """
        if ending.outcome is Outcome.REJECTED:
            return ending.requeue
        return ending.outcome is Outcome.DIED and self.acks_late and self.on_worker_lost


class RulesOf:
    """Of each of the app's tasks by its name: what a task publishes is acknowledged as its own task has it."""

    def __init__(self, tasks: Mapping[str, Mapping[str, Any]], declared: Mapping[str, str] | None = None) -> None:
        self._tasks, self._declared = tasks, declared or {}
        self._known: dict[str, TaskRules] = {}

    def __call__(self, task: str) -> TaskRules:
        """Of a task that nobody here knows: as Celery has it where nothing is said."""
        if task not in self._known:
            may_be_lost = _declared(task, self._declared) == "at_most_once"
            self._known[task] = replace(rules_of(self._tasks.get(task) or {}), may_be_lost=may_be_lost)
        return self._known[task]


def question_of(item: ExploreItem, semantics: Mapping[str, str]) -> Question:
    """A scenario's item, with what it declares of tasks (patterns -> semantics). Of one whose arguments are drawn, without any."""
    limits = Limits(worlds=item.limit.worlds, seconds=item.limit.time, kills=item.limit.kills)
    args = () if isinstance(item.args, str) else tuple(item.args)
    return Question(item.task, args, dict(item.kwargs), limits, item.semantics or _declared(item.task, semantics), semantics)


def _declared(task: str, semantics: Mapping[str, str]) -> str:
    return next((value for pattern, value in semantics.items() if fnmatch.fnmatchcase(task, pattern)), "")


def rules_of(settings: Mapping[str, Any]) -> TaskRules:
    """From a task's settings as the journal has them. What an older Celery does not know is as it was there: acked on failure."""
    retries = settings.get("max_retries", 3)
    return TaskRules(
        acks_late=bool(settings.get("acks_late")),
        on_failure=settings.get("acks_on_failure_or_timeout") is not False,
        on_worker_lost=bool(settings.get("reject_on_worker_lost")),
        max_retries=None if retries is None else int(retries),
    )
