"""A process that explores `payments.settle`, the task of ten effects, and is told what to do by lines on its input: clean, single, graph.

It answers each with a line of JSON: seconds, worlds, deliveries. Started by bench_explore.py, two at once for one of its figures.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from harness.assembly import choose_runtime, exploring_parts, registry, system_plan
from harness.explore.clean import Learnt, learn
from harness.explore.graph import Graph
from harness.explore.judge import Judge
from harness.explore.out_of_sight import looks_at_ages
from harness.explore.rules import Limits, RulesOf
from harness.explore.watching import run
from harness.model.exploration import Outcome
from harness.ports.clock import MonotonicClock
from harness.ports.exploring import Job, Mechanism, Surroundings
from harness.scenario import load_scenarios

ROOT = Path(__file__).resolve().parents[2]
TASK, ARGS = "payments.settle", (7,)
SCENARIO = ROOT / "sample_tasks" / "crashes" / "explore.yaml"


class Bench:
    """One task on one system, with its clean executions behind it."""

    def __init__(self, mechanism: Mechanism, surroundings: Surroundings) -> None:
        self._mechanism, self._surroundings = mechanism, surroundings
        facts = mechanism.start()
        self._rules, self._file_ages = RulesOf(facts["tasks"]), looks_at_ages(facts["modules"])
        later = surroundings.reset()
        mechanism.publish(TASK, list(ARGS), {})
        self._learnt: Learnt = learn(mechanism, surroundings, surroundings.look(later), Limits())

    def clean(self) -> dict[str, Any]:
        """A delivery in a fresh process, and nobody looks."""
        first = self._learnt.first
        later = self._surroundings.restore(first)
        self._surroundings.take(first, 0)
        begun = time.perf_counter()
        ending = run(self._mechanism, self._surroundings, Job(first.pending[0], later=later), kill_at=None, stops=2000)
        seconds = time.perf_counter() - begun
        if ending.outcome is not Outcome.SUCCESS:
            raise RuntimeError(f"{ending.outcome}: {ending.error}")
        return {"seconds": seconds, "stops": len(ending.stops)}

    def graph(self, kills: int = 50) -> dict[str, Any]:
        """All that crashes lead to, at most so many of them on a path."""
        learnt = self._learnt
        judge = Judge(self._surroundings, learnt.first, learnt.goal, at_most_once=False)
        graph = Graph(
            self._mechanism,
            self._surroundings,
            judge,
            self._rules,
            Limits(kills=kills),
            now=lambda: 0.0,
            by_day=learnt.by_day,
            by_season=learnt.by_season,
            file_ages=self._file_ages,
        )
        begun = time.perf_counter()
        survey = graph.explore(learnt.first)
        seconds = time.perf_counter() - begun
        if survey.suspicions:
            raise RuntimeError(f"{TASK} is right, and fails")
        return {"seconds": seconds, "worlds": len(survey.spots), "deliveries": survey.deliveries, "looks": survey.looks}


def main() -> None:
    """Until there is no more input."""
    folder = Path(sys.argv[1])
    (loaded,) = load_scenarios(SCENARIO, registry())
    system: Any = choose_runtime("processes").system(system_plan(loaded, ROOT, "bench", folder, MonotonicClock()))
    try:
        system.open()
        with exploring_parts(system, system.stores, "effects") as (mechanism, surroundings):
            bench = Bench(mechanism, surroundings)
            print("{}", flush=True)
            for line in sys.stdin:
                what = {"clean": bench.clean, "single": lambda: bench.graph(1), "graph": bench.graph}[line.strip()]
                print(json.dumps(what()), flush=True)
    finally:
        system.close()


if __name__ == "__main__":
    main()
