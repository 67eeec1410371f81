"""One task explored: clean executions, the graph, its findings confirmed, or its nodes; and the verdict."""

from __future__ import annotations

import difflib
import random
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.errors import EnvironmentFault, ScenarioError
from harness.explore.at_once import AtOnce
from harness.explore.beside import kept_beside
from harness.explore.callers import Callers, effects_of, plain
from harness.explore.clean import Learnt, learn
from harness.explore.confirm import Contradiction, Replayer
from harness.explore.coverage import ATTEMPTS, OTHER_ARGUMENTS, by_design, coverage_of
from harness.explore.drawn_names import DrawnNames
from harness.explore.graph import Graph, Survey, Suspicion
from harness.explore.judge import MAY_FAIL, Judge
from harness.explore.merging import Merging
from harness.explore.out_of_sight import looks_at_ages, own_clocks
from harness.explore.proof import covered, fingerprint_of_all
from harness.explore.repeats import flaw_of_repeat
from harness.explore.rules import Question, RulesOf
from harness.explore.story import flaw_of
from harness.explore.wakes import wakes_of
from harness.model.exploration import Exploration, Flaw
from harness.model.undeclared import undeclared_services
from harness.passwords import masked_in
from harness.ports.exploring import AnswersFor, CountsAttempts, Doubts, Mechanism, NamesWorlds, Node, SeesRepeats, Surroundings

__all__ = ["CERTIFIED", "CHANGES_NOTHING", "FAILS", "INCONCLUSIVE", "OTHER_ARGUMENTS", "explore", "resolve_task"]

CERTIFIED, FAILS, INCONCLUSIVE = "certified", "fails", "inconclusive"

_TOLD = 3
_DRAWS = "after a crash the task draws what no clean execution draws, such as another name for a file: one of each was tried"
CHANGES_NOTHING = "the task changes nothing that is observed, so there is nothing to prove"


def explore(
    mechanism: Mechanism,
    surroundings: Surroundings,
    question: Question,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
    check: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.monotonic,
    facts: Mapping[str, Any] | None = None,
    tell: Callable[[Flaw], None] = lambda flaw: None,
) -> Exploration:
    """The verdict on one task. ScenarioError where it cannot be explored at all, EnvironmentFault where the explorer contradicts itself.

    ``mechanism`` has been started by nobody yet, or it said these ``facts`` then; ``check`` is asked often, and raises to stop; ``now``
    counts for the bound of time alone; ``tell`` hears of the first finding as soon as it is confirmed, while others are looked for.
    """
    begun = now()
    if facts is None:
        say("importing the app")
        facts = mechanism.start()
    task = resolve_task(question.task, facts.get("tasks") or {})
    exploring = _Exploring(mechanism, surroundings, question, task, facts, seed=seed, say=say, check=check, now=now, begun=begun, tell=tell)
    return masked_in(exploring.go())


def resolve_task(name: str, tasks: Mapping[str, Any]) -> str:
    """The task's registered name. ScenarioError with the nearest ones."""
    if name in tasks:
        return name
    own = [known for known in tasks if not known.startswith("celery.")]
    near = difflib.get_close_matches(name, own, n=3, cutoff=0.5) or [known for known in own if known.rpartition(".")[2] == name]
    hint = f"did you mean {' or '.join(near)}?" if near else f"the app's tasks: {', '.join(sorted(own)) or 'none'}"
    raise ScenarioError(f"the app has no task {name}", hint=hint)


class _Exploring:
    """The steps, in order."""

    def __init__(
        self,
        mechanism: Mechanism,
        surroundings: Surroundings,
        question: Question,
        task: str,
        facts: Mapping[str, Any],
        *,
        seed: int,
        say: Callable[[str], None],
        check: Callable[[], None],
        now: Callable[[], float],
        begun: float,
        tell: Callable[[Flaw], None],
    ) -> None:
        self._mechanism, self._surroundings, self._question, self._task = mechanism, surroundings, question, task
        self._facts, self._seed, self._say, self._check, self._now, self._begun = facts, seed, say, check, now, begun
        self._tasks = {**(facts.get("celerys") or {}), **facts["tasks"]}  # Celery's own too: what they publish is delivered
        self._rules_of = RulesOf(self._tasks, {task: question.semantics, **question.declared})
        self._rules = self._rules_of(task)
        self._tell: Callable[[Flaw], None] | None = tell  # None once it has heard
        self._told: tuple[Suspicion, Flaw] | None = None  # what it has heard
        self._swallowed: Flaw | None = None  # a request that was taken for a repeat in a clean execution
        self._no_clock = str(facts.get("no_clock") or "")
        self._walked = AtOnce(surroundings) if self._no_clock else surroundings
        self._replayer = Replayer(mechanism, self._walked, self._rules_of, question.limits, self._publish, check)

    def go(self) -> Exploration:
        """Clean executions, then the graph where it means something."""
        if isinstance(self._surroundings, AnswersFor):
            self._surroundings.answer_for(self._tasks)
        if self._rules.max_retries is None and isinstance(self._surroundings, CountsAttempts):
            self._surroundings.count_attempts_to(ATTEMPTS)
        self._say("clean executions")
        repeats = self._repeats()
        learnt = learn(self._mechanism, self._walked, self._first(), self._question.limits, check=self._check)
        self._demand_observers(learnt)
        doubts = _doubts_of_clean(learnt)
        if doubts:
            return self._exploration(INCONCLUSIVE, doubts[0], learnt, Survey(), doubts=doubts)
        if self._repeats() > repeats and isinstance(self._surroundings, SeesRepeats):
            self._swallowed = flaw_of_repeat(self._replayer, self._surroundings, self._callers(learnt).named)
        asked = own_clocks(stop for clean in learnt.clean for stop in clean.stops)
        if asked or self._no_clock:
            self._tell = None  # not each suspicion will count
        survey = self._survey(learnt)
        if self._no_clock:
            _leave_to_clocks(survey)
        if asked:
            survey.doubts.insert(0, asked)
            survey.suspicions = [one for one in survey.suspicions if not _waited(one)]
        return self._conclude(learnt, survey)

    def _repeats(self) -> int:
        """How many requests the services have taken for repeats of other ones."""
        return len(self._surroundings.repeats()) if isinstance(self._surroundings, SeesRepeats) else 0

    def _demand_observers(self, learnt: Learnt) -> None:
        """Whatever the task has an effect on has to be looked at: else nothing follows from worlds that are equal."""
        touched = {stop.target.partition(": ")[0] for clean in learnt.clean for stop in clean.stops if stop.kind in ("net", "file")}
        observed = {*learnt.first.world.stores, "broker", "backend", ""}
        if blind := sorted(touched - observed):
            what = f"the task has effects on {', '.join(blind)}, which nobody has looked at"
            raise EnvironmentFault(what, hint="this is an error of the explorer, not of your task: nothing was concluded")

    def _publish(self, later: float) -> None:
        self._mechanism.publish(self._task, list(self._question.args), dict(self._question.kwargs), later)

    def _first(self) -> Node:
        later = self._walked.reset()
        self._publish(later)
        first = self._walked.look(later)
        if not first.pending:
            what = f"calling {self._task} published nothing to the broker"
            raise ScenarioError(what, hint="task_always_eager runs tasks where they are called: explore needs the message")
        return first

    def _survey(self, learnt: Learnt) -> Survey:
        between = [node for clean in learnt.clean for node in clean.seen.values()]
        at_most_once = self._question.semantics == "at_most_once"
        goals = [clean.end for clean in learnt.clean]
        runs = [list(clean.seen.values()) for clean in learnt.clean]
        judge = Judge(self._surroundings, learnt.first, learnt.goal, at_most_once=at_most_once, between=between, goals=goals, runs=runs)
        graph = Graph(
            self._mechanism,
            self._walked,
            judge,
            self._rules_of,
            self._question.limits,
            now=self._now,
            merging=_merging(learnt),
            by_day=learnt.by_day,
            by_season=learnt.by_season,
            at_once=bool(self._no_clock),
            file_ages=looks_at_ages(self._facts.get("modules") or {}),
            check=self._check,
            say=lambda survey: self._follow(survey, learnt),
        )
        survey = graph.explore(learnt.first)
        survey.unseen += judge.excludes()
        return survey

    def _follow(self, survey: Survey, learnt: Learnt) -> None:
        """Between two of its worlds, where replaying something disturbs nothing."""
        if survey.suspicions and self._tell is not None:
            tell, self._tell = self._tell, None
            first = min(survey.suspicions, key=_rank)
            try:
                self._told = first, self._confirmed_flaw(first, learnt, 0)
            except Contradiction:
                return  # it will come up again when all is judged
            tell(masked_in(self._told[1]))
        self._say(f"{len(survey.spots):,} worlds, {survey.deliveries:,} deliveries")

    def _conclude(self, learnt: Learnt, survey: Survey) -> Exploration:
        swallowed = (self._swallowed,) if self._swallowed else ()
        if survey.suspicions or swallowed:
            try:
                flaws, worlds = (*swallowed, *self._confirmed(learnt, survey.suspicions)), len(survey.spots)
            except Contradiction as exc:
                if not survey.doubts:
                    raise
                doubts = [*survey.doubts, exc.what]
                return self._exploration(INCONCLUSIVE, f"What was found did not come again: {survey.doubts[0]}.", learnt, survey, doubts)
            more = f" It fails in {sum(1 + flaw.alike for flaw in flaws)} ways of {worlds:,} worlds." if worlds > 1 else ""
            return self._exploration(FAILS, flaws[0].headline + more, learnt, survey, flaws=flaws)
        doubts = [*filter(None, [self._mechanism.sampled]), *survey.doubts]
        doubts += undeclared_services(survey.undeclared)
        if self._facts.get("imports_anew") is False:
            survey.unseen.append("what the app draws while it is imported, and the order of sets: it could not be imported a second time")
        kept = kept_beside(learnt, survey.beside)
        doubts += [f"what the task keeps in {path} is not seen: none of the services holds it" for path in kept]
        if isinstance(self._surroundings, Doubts):
            doubts += self._surroundings.doubts()
            survey.unseen += self._surroundings.excludes()
        doubts += [f"the bound of {bound} left out {count:,}" for bound, count in survey.left.items() if not by_design(bound)]
        try:
            replayed = self._replay(survey)
        except Contradiction as exc:
            if not survey.doubts:
                raise
            replayed, doubts = 0, [*doubts, exc.what]
        doubts += [_DRAWS] if self._replayer.has_learnt else []
        if doubts:
            return self._exploration(
                INCONCLUSIVE, f"No crash that was tried breaks it, but {doubts[0]}.", learnt, survey, doubts, replayed=replayed
            )
        found = self._exploration(CERTIFIED, self._certified(may_fail=MAY_FAIL in survey.unseen), learnt, survey, replayed=replayed)
        told = covered(found.coverage, self._rules, question=self._question)
        proof = fingerprint_of_all(survey.spots, self._surroundings) if isinstance(self._surroundings, NamesWorlds) else ""
        return replace(found, coverage=replace(found.coverage, covered=told), proof=proof)

    def _certified(self, *, may_fail: bool) -> str:
        if self._question.semantics == "at_most_once":
            return "A crash at any moment, any number of times, leaves at most what one clean execution does."
        told = "A crash at any moment, any number of times, ends as one clean execution does"
        return f"{told}, or fails with nothing done." if may_fail else f"{told}."

    def _confirmed(self, learnt: Learnt, suspicions: Sequence[Suspicion]) -> tuple[Flaw, ...]:
        """One of each kind, the shortest, replayed with true kills; the others of its kind are counted."""
        kinds: dict[tuple[str, ...], list[Suspicion]] = {}
        for suspicion in sorted(suspicions, key=_rank):
            kinds.setdefault(_kind(suspicion, learnt.names), []).append(suspicion)
        flaws: list[Flaw] = []
        for alike in list(kinds.values())[:_TOLD]:
            if self._told is not None and self._told[0] is alike[0]:
                flaws.append(replace(self._told[1], alike=len(alike) - 1))
                continue
            self._say(f"replaying a finding with true kills ({len(flaws) + 1})")
            flaws.append(self._confirmed_flaw(alike[0], learnt, len(alike) - 1, learns=True))
        return tuple(flaws)

    def _confirmed_flaw(self, suspicion: Suspicion, learnt: Learnt, alike: int, *, learns: bool = False) -> Flaw:
        """Contradiction where true kills lead elsewhere."""
        callers = self._callers(learnt)
        walked = self._replayer.same(suspicion.spot, lines=True, learns=learns)
        effects = callers.effects(self._replayer.effects(suspicion.spot.path))
        replayed = callers.replayed(walked)
        return _without_drawn(flaw_of(suspicion, replayed, effects, self._surroundings, learnt.first, alike=alike), learnt.names)

    def _callers(self, learnt: Learnt) -> Callers:
        modules = self._facts.get("modules") or {}
        return Callers(modules, self._facts["tasks"][self._task], effects_of(learnt.clean[1]))

    def _replay(self, survey: Survey) -> int:
        """Nodes of a graph that passes, reached again with true kills."""
        chosen = [spot for spot in survey.spots if spot.steps]
        picked = random.Random(self._seed).sample(range(len(chosen)), min(self._question.limits.replays, len(chosen)))
        for number, index in enumerate(sorted(picked), 1):
            self._say(f"reaching worlds again with true kills ({number} of {len(picked)})")
            self._replayer.same(chosen[index], learns=True)
        return len(picked)

    # --- the result ---------------------------------------------------------------------------------------------

    def _exploration(
        self,
        verdict: str,
        headline: str,
        learnt: Learnt,
        survey: Survey,
        doubts: Sequence[str] = (),
        *,
        flaws: tuple[Flaw, ...] = (),
        replayed: int = 0,
    ) -> Exploration:
        question = self._question
        return Exploration(
            task=self._task,
            args=list(question.args),
            kwargs=dict(question.kwargs),
            verdict=verdict,
            headline=headline,
            coverage=coverage_of(learnt, survey, self._rules, question.semantics, replayed, self._no_clock),
            flaws=flaws,
            doubts=tuple(doubts),
            first=plain(learnt.clean[1].stops),
            wakes=wakes_of(survey.trail, _wrong(survey), self._surroundings, learnt.first, len(learnt.clean[0].stops)),
            seconds=round(self._now() - self._begun, 3),
            environment={
                "points": self._mechanism.name,
                **{name: str(self._facts[name]) for name in ("python", "celery", "arch", "points_why") if name in self._facts},
            },
        )


def _wrong(survey: Survey) -> list[tuple[Hashable, str, Sequence[Mapping[str, Any]]]]:
    return [(one.spot.key, one.fault.word, one.fault.differences) for one in survey.suspicions]


def _merging(learnt: Learnt) -> Merging:
    """Which knows the first world and the right one already."""
    same = [[clean.end for clean in learnt.clean]]
    same += [[clean.seen[where] for clean in learnt.clean if where in clean.seen] for where in learnt.clean[0].seen]
    merging = Merging(same)
    for node in (learnt.first, learnt.goal):
        merging.check(node)
    return merging


def _leave_to_clocks(survey: Survey) -> None:
    """What was seen after a wait is no finding where the task's own clock had not gone on: what it waits for had not passed, for it."""
    late = [one for one in survey.suspicions if _waited(one)]
    survey.suspicions = [one for one in survey.suspicions if one not in late]
    if late:
        survey.doubts.append("what happens once a retry is due cannot be told, since the task's clock cannot be set")


def _waited(suspicion: Suspicion) -> bool:
    return any(step.delivery.wait for step in suspicion.spot.steps)


def _doubts_of_clean(learnt: Learnt) -> list[str]:
    doubts = [learnt.different] if learnt.different else []
    if not learnt.changes:
        doubts.append(CHANGES_NOTHING)
    undeclared = {address for clean in learnt.clean for ending in clean.endings for address in ending.undeclared}
    return doubts + undeclared_services(undeclared)


def _rank(suspicion: Suspicion) -> tuple[int, ...]:
    """What is told first: few kills, few deliveries, all of them in fresh processes; a wrong world before a wrong answer, or none."""
    spot = suspicion.spot
    warm = sum(step.delivery.warm for step in spot.steps)
    only_told = suspicion.fault.word == "STATE" or (suspicion.fault.word == "LOST" and not spot.lost)
    return (spot.kills, len(spot.steps), warm, only_told)


def _kind(suspicion: Suspicion, names: DrawnNames) -> tuple[str, ...]:
    """Findings of one kind are told once: the same word, the same things that differ, after the same effect."""
    last = suspicion.spot.steps[-1].ending
    if last is not None and last.returned:
        return (suspicion.fault.word, "its result could not be stored")
    struck = [step.effect for step in suspicion.spot.steps if step.delivery.killed_at is not None and step.effect is not None]
    effects = [names.plain(stop.words) if names.among([stop.words]) else stop.identity for stop in struck]
    return (
        suspicion.fault.word,
        effects[-1] if effects else "",
        *sorted({str(one.get("collection")) for one in suspicion.fault.differences}),
    )


def _without_drawn(flaw: Flaw, names: DrawnNames) -> Flaw:
    """A name that is drawn is another in a real worker: no stop can be known by it, and no row."""
    stops = tuple(replace(stop, identity="") if names.among([stop.words]) else stop for stop in flaw.stops)
    rerun = flaw.rerun
    if rerun is not None and not rerun.refused and names.among(str(one.get("row")) for one in flaw.differences):
        rerun = replace(rerun, refused="the name of what it leaves is drawn at random")
    return replace(flaw, stops=stops, rerun=rerun)
