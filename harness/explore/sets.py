"""Drawn arguments: each set is explored by itself; one that fails is made smaller; and what can be said of all of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from harness.errors import ScenarioError
from harness.explore.clean import NoSuccess
from harness.explore.drawing import Asked, Wants
from harness.explore.exploration import CERTIFIED, CHANGES_NOTHING, FAILS, INCONCLUSIVE, OTHER_ARGUMENTS
from harness.model.exploration import Coverage, Drawn, DrawnSet, Exploration, Flaw

__all__ = ["Draws", "ExploresOne", "explore_sets"]

#: Further sets that are explored to make a failing one smaller.
_SMALLER = 60
_TOLD = 3

Say = Callable[[str], None]
#: The verdict on (args, kwargs) after a setup with these rows; told how far it is. ScenarioError where there is none. The last one:
#: whether the first way to fail is enough, and a pass need not be made sure of.
ExploresOne = Callable[[Sequence[Any], Mapping[str, Any], Any, Say, bool], Exploration]


class Draws(Protocol):
    """A `Drawer`."""

    def draw(self, wants: Wants, ask: Asked, check: Callable[[], None]) -> None:
        """Ask about one set after another. ScenarioError where none can be drawn."""


def explore_sets(
    draws: Draws, wants: Wants, explore_one: ExploresOne, *, say: Say = lambda text: None, check: Callable[[], None] = lambda: None
) -> Exploration:
    """One verdict on all sets: fails with the smallest that does, certified only if each is that is of use.

    ScenarioError where no set can be drawn, or the task fails by itself with each of them.
    """
    sets = _Sets(wants, explore_one, say)
    draws.draw(wants, sets.ask, check)
    return sets.conclude()


class _Sets:
    """What became of each. Every set has one answer, however often it is asked for."""

    def __init__(self, wants: Wants, explore_one: ExploresOne, say: Say) -> None:
        self._wants, self._explore_one, self._say = wants, explore_one, say
        self._answers: dict[str, str] = {}
        self._tried: list[DrawnSet] = []
        self._judged: list[Exploration] = []
        self._failing: dict[str, Exploration] = {}
        self._kind: tuple[str, ...] | None = None  # of the first failure
        self._smallest: Exploration | None = None
        self._smallest_rows: Any = None
        self._smaller = self._silent = 0
        self._bounded = False
        self._error: NoSuccess | None = None
        self._seconds = 0.0

    def ask(self, args: Sequence[Any], kwargs: Mapping[str, Any], rows: Any) -> str:
        """See `Asked`. Of those that fail the last that is asked for is the smallest: that is Hypothesis's choice."""
        key = json.dumps([args, kwargs, rows], sort_keys=True)
        if key not in self._answers:
            if self._kind is not None and self._smaller >= _SMALLER:
                self._bounded = True
                return "passes"
            self._answers[key] = self._answer(key, args, kwargs, rows)
        if key in self._failing:
            self._smallest, self._smallest_rows = self._failing[key], rows
        return self._answers[key]

    def _answer(self, key: str, args: Sequence[Any], kwargs: Mapping[str, Any], rows: Any) -> str:
        shrinking = self._kind is not None
        self._smaller += shrinking
        number = f"a smaller set ({self._smaller})" if shrinking else f"set {len(self._tried) + 1} of {self._wants.examples}"
        found, why = None, ""
        try:
            found = self._explore_one(args, kwargs, rows, lambda text: self._say(f"{number}: {text}"), shrinking)
        except NoSuccess as exc:
            self._error = self._error or exc
            why = exc.what.partition("\n")[0]
        if found is not None:
            self._seconds += found.seconds
            why = CHANGES_NOTHING if found.doubts == (CHANGES_NOTHING,) else ""
        if shrinking:
            return self._fails_alike(key, found)
        worlds = found.coverage.worlds if found is not None else 0
        self._tried.append(DrawnSet(list(args), dict(kwargs), rows, found.verdict if found and not why else "", why, worlds))
        if found is None or why:
            self._silent += 1
            return "enough" if self._silent > self._wants.examples else "nothing"
        self._judged.append(found)
        if found.verdict == FAILS:
            self._kind = _kind(found.flaws[0])
            self._failing[key] = found
            return "fails"
        return "passes"

    def _fails_alike(self, key: str, found: Exploration | None) -> str:
        if found is None or self._kind not in [_kind(flaw) for flaw in found.flaws]:
            return "passes"
        self._failing[key] = found
        return "fails"

    # --- all of them --------------------------------------------------------------------------------------------

    def conclude(self) -> Exploration:
        """Of what was asked."""
        wants = self._wants
        drawn = Drawn(wants.source, wants.rows, wants.seed, tuple(self._tried), self._smaller, self._smallest_rows, self._bounded)
        if self._smallest is not None:
            found = self._in_full(self._smallest) if self._smaller else self._smallest
            return replace(found, drawn=drawn, seconds=round(self._seconds, 3))
        if not self._judged:
            raise self._nothing_judged()
        doubts = list(self._doubts())
        shown = max(self._judged, key=lambda one: one.coverage.worlds)
        coverage = self._coverage(drawn)
        if doubts:
            headline = f"No crash that was tried breaks it with any of {drawn.words}, but {doubts[0]}."
            return self._of_all(shown, drawn, INCONCLUSIVE, headline, coverage, doubts)
        headline = f"{shown.headline.rstrip('.')}, with each of {_used(drawn)}."
        return self._of_all(shown, drawn, CERTIFIED, headline, coverage, [])

    def _in_full(self, smallest: Exploration) -> Exploration:
        """All ways in which the smallest set fails."""
        say = lambda text: self._say(f"the smallest set that fails: {text}")  # noqa: E731
        found = self._explore_one(smallest.args, smallest.kwargs, self._smallest_rows, say, False)
        self._seconds += found.seconds
        return found if found.verdict == FAILS else smallest

    def _of_all(
        self, shown: Exploration, drawn: Drawn, verdict: str, headline: str, coverage: Coverage, doubts: Sequence[str]
    ) -> Exploration:
        return replace(
            shown,
            verdict=verdict,
            headline=headline,
            coverage=coverage,
            doubts=tuple(doubts),
            seconds=round(self._seconds, 3),
            proof=self._proof() if verdict == CERTIFIED else "",
            drawn=drawn,
        )

    def _nothing_judged(self) -> ScenarioError:
        count = len(self._tried)
        if self._error is not None:
            what, _, trace = self._error.what.partition("\n")
            of_all = f"{what}; so it is with {'the one set' if count == 1 else f'each of the {count} sets'} of arguments that was drawn"
            return ScenarioError(
                "\n".join(filter(None, [of_all, trace])), where=self._error.where, hint="draw arguments with which it succeeds"
            )
        what = f"with none of {count} sets of arguments {self._wants.task} changes anything that is observed: there is nothing to prove"
        return ScenarioError(what, hint="draw arguments with which it does something, or declare the service in which it does")

    def _doubts(self) -> Iterable[str]:
        unsure = [one for one in self._judged if one.verdict == INCONCLUSIVE]
        for one in unsure[:_TOLD]:
            yield from (f"with {_call(one)}: {doubt}" for doubt in one.doubts)
        if len(unsure) > _TOLD:
            yield f"so it is with {len(unsure) - _TOLD} further sets"
        if self._silent > len(self._judged):
            silent = next(one for one in self._tried if one.why)
            yield f"{self._silent} of {len(self._tried)} sets say nothing, more than half: {silent.why}"

    def _coverage(self, drawn: Drawn) -> Coverage:
        """Figures are summed, but for those of one execution."""
        every = [one.coverage for one in self._judged]
        kind = "arguments" if not drawn.rows else "first rows" if not drawn.source else "arguments and first rows"
        other = f"{kind} other than these {len(every)}" + (", and other first rows" if not drawn.rows else "")
        excluded = [other if words == OTHER_ARGUMENTS else words for one in every for words in one.excluded]
        silent = next((one.why for one in self._tried if one.why), "")
        if silent:
            excluded.append(f"{self._silent} of the sets that were drawn, which say nothing: {silent}")
        worlds = sum(one.worlds for one in every)
        return replace(
            every[0],
            worlds=worlds,
            covered=tuple(_covered(words, worlds, _used(drawn)) for words in every[0].covered),
            deliveries=sum(one.deliveries for one in every),
            stops=max(one.stops for one in every),
            kills=max(one.kills for one in every),
            unvisited=sum(one.unvisited for one in every),
            bounds=tuple(dict.fromkeys(bound for one in every for bound in one.bounds)),
            waits=tuple(sorted({wait for one in every for wait in one.waits})),
            excluded=tuple(dict.fromkeys(excluded)),
            replayed=sum(one.replayed for one in every),
        )

    def _proof(self) -> str:
        """A fingerprint over those of all sets; '' where one has none."""
        every = sorted([json.dumps([list(one.args), dict(one.kwargs)], sort_keys=True), one.proof] for one in self._judged)
        if not all(proof for _, proof in every):
            return ""
        return hashlib.sha256(json.dumps(every).encode()).hexdigest()


def _kind(flaw: Flaw) -> tuple[str, ...]:
    """What makes two failures the same one: the word, and the collections that differ."""
    return (flaw.word, *sorted({str(one.get("collection")) for one in flaw.differences}))


def _covered(words: str, worlds: int, sets: str) -> str:
    """Of one set, as it is of all."""
    words = re.sub(r"^[\d,]+ worlds?\b", f"{worlds:,} worlds over all sets", words)
    return words.replace("these arguments and first rows", f"each of {sets}")


def _used(drawn: Drawn) -> str:
    return replace(drawn, sets=tuple(one for one in drawn.sets if one.verdict)).words


def _call(found: Exploration) -> str:
    written = [json.dumps(value, ensure_ascii=False) for value in found.args]
    written += [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in found.kwargs.items()]
    return f"({', '.join(written)})"
