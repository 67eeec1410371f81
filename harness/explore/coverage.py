"""What was covered, and what was not: in figures, and in words that a certificate has."""

from __future__ import annotations

from harness.explore.beside import left_beside
from harness.explore.clean import Learnt
from harness.explore.deadlines import HOUR
from harness.explore.graph import AGED, AGELESS, FAR, FORKED, LATER, Survey
from harness.explore.out_of_sight import untold
from harness.explore.repeats import keys_of_two
from harness.explore.rules import TaskRules
from harness.model.exploration import Coverage

__all__ = ["ATTEMPTS", "OTHER_ARGUMENTS", "by_design", "coverage_of"]

#: Of a task that retries for ever, before its attempts are alike.
ATTEMPTS = 3
OTHER_ARGUMENTS = "other arguments and first rows"
_BETWEEN = "a redelivery after some minutes, or some hours, where the task reckons from a time that is written there"
_EXCLUDED = (
    "power loss: what the kernel had taken from the task counts as written",
    "a single write torn in two",
    "services other than as their stubs model them, which answer each request and fail none",
    OTHER_ARGUMENTS,
    "several deliveries at the same time",
    "what the call returns: another execution may return something else",
    "the memory that a process keeps of other calls, or of more than one execution of this one",
    "what differs between the imports of more than two workers, such as orders of sets beside those of two seeds",
    "time limits of Celery (task_time_limit, task_soft_time_limit): none is kept here",
    "other hours of the day and days of the calendar than those at which it was tried",
    "another machine: its name (socket.gethostname), its environment, its files that no service holds",
)


def by_design(bound: str) -> bool:
    """Left out for good, and said beside each certificate, rather than for want of time."""
    return bound == FORKED


def coverage_of(learnt: Learnt, survey: Survey, rules: TaskRules, semantics: str, replayed: int, no_clock: str) -> Coverage:
    """``no_clock``: why the task's clock cannot be set; '' where it can."""
    excluded = [*_EXCLUDED]
    if no_clock:
        excluded.insert(0, f"deliveries later than at once, since the task's clock cannot be set: {no_clock}")
    if not rules.acks_late:
        excluded.insert(0, "a second delivery: its message is acknowledged before it runs, so a crash loses the call")
    elif not rules.on_worker_lost:
        excluded.append(
            "the death of a pool child alone, under a worker that lives: its message is acked (task_reject_on_worker_lost is off)"
        )
    if rules.max_retries is None:
        excluded.append(f"what a task does with the number of its attempt, from the {ATTEMPTS}rd on: its retries have no limit")
    if survey.gave_up:
        excluded.append(f"what a call leaves that gives up, as more than {rules.max_retries} crashes have used up its retries")
    later = ((FAR, survey.far), (_BETWEEN, HOUR in survey.waits), (LATER, AGED in survey.waits), (AGELESS, survey.ageless))
    excluded += [what for what, so in later if so]
    excluded += untold(learnt.clean[0].stops)
    excluded += [f"what becomes of {path}, which none of the services holds" for path in left_beside(learnt, survey.beside)]
    excluded += keys_of_two(learnt.goal.world.collections())
    excluded += survey.unseen
    excluded += [f"whether calls of {task} are done at all: it is declared at_most_once" for task in sorted(survey.excused)]
    if survey.beyond_chain:
        excluded.append("crashes late in a long chain of retries")
    excluded += [f"{bound} ({count:,} left out)" for bound, count in survey.left.items() if by_design(bound)]
    if semantics == "at_most_once":
        excluded.append("whether the call is done at all: semantics at_most_once allows that any part of it is missing after a crash")
    return Coverage(
        worlds=len(survey.spots),
        deliveries=survey.deliveries,
        stops=len(learnt.clean[0].stops) + (1 if rules.acks_late else 0),
        kills=max((spot.kills for spot in survey.spots), default=0),
        unvisited=sum(survey.left.values()),
        bounds=tuple(survey.left),
        waits=tuple(sorted(survey.waits)),
        excluded=tuple(excluded),
        replayed=replayed,
    )
