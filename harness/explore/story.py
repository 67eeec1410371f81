"""How it comes to that, in sentences: what was killed where, what the world held, what the next delivery did, what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.explore.causes import UNSTORED, counted_again, fix_for
from harness.explore.confirm import Replayed
from harness.explore.culprits import culprit, with_line
from harness.explore.graph import Suspicion
from harness.explore.reruns import rerun_of
from harness.explore.spots import Step
from harness.explore.watching import Effect
from harness.model.exploration import Ending, Flaw, Message, Outcome, Place, Stop
from harness.model.quantities import format_duration
from harness.model.wording import inline_text, row_text
from harness.ports.exploring import KnowsLives, Node, Surroundings

__all__ = ["at", "flaw_of", "told_difference"]

_NAMED = 3  # of a list; more are counted
_WIDTH = 120


def flaw_of(
    suspicion: Suspicion, replayed: Replayed, effects: Sequence[Sequence[Effect]], surroundings: Surroundings, first: Node, *, alike: int
) -> Flaw:
    """What is told of it. ``replayed``: the same path with true kills and with lines; ``effects``: what each of its deliveries changed."""
    fault, steps = suspicion.fault, suspicion.spot.steps
    effect, place = culprit(steps, replayed, effects, fault.differences, surroundings, first)
    return Flaw(
        word=fault.word,
        headline=_headline(suspicion, place),
        story=tuple(_sentences(suspicion, replayed, surroundings, first)),
        path=suspicion.spot.path,
        stops=tuple(stop for stop in replayed.struck if stop is not None),
        differences=fault.differences,
        fix=UNSTORED if replayed.endings[-1].returned else fix_for(fault.word, fault.differences, effect, lost=suspicion.spot.lost),
        confirmed=True,
        place=place,
        alike=alike,
        rerun=rerun_of(suspicion, replayed),
    )


# --- the headline -----------------------------------------------------------------------------------------------------


def _headline(suspicion: Suspicion, place: Place | None) -> str:
    fault = suspicion.fault
    where = f" at {place.file}:{place.line}" if place else ""
    if fault.word == "LOST":
        if not suspicion.spot.lost:
            return (
                f"After a crash{where} the call is rejected, although nothing of it was done: nobody is told, and it does not come again."
            )
        call = _taken_along(suspicion)
        return f"A worker that dies takes {call} with it: it was acknowledged before it ran."
    if fault.word == "STATE":
        if not suspicion.spot.kills:
            return f"The call is told as failed{where}, without any crash, although all of it was done."
        return f"After a crash{where} the call is told as failed, although all of it was done."
    if fault.word == "STORM":
        return "It is retried for ever."
    if fault.word == "STUCK":
        return f"After a crash{where} no later delivery comes to its end."
    if not fault.differences:
        return f"A crash{where} leaves what a clean execution does not."
    leads = told_difference(fault.differences[0])
    more = f", and {len(fault.differences) - 1} more" if len(fault.differences) > 1 else ""
    return f"After a crash{where}: {leads}{more}."


def _taken_along(suspicion: Suspicion) -> str:
    """The call that is lost: that of the task itself, or of one that it has published."""
    steps = suspicion.spot.steps
    killed = [step.message for step in steps if step.delivery.killed_at is not None]
    gone = next((one for one in killed if not any(step.message.id == one.id and step.message.redelivered for step in steps)), None)
    return "the call" if gone is None or gone.task == steps[0].message.task else f"the call of {gone.task}"


def told_difference(difference: Mapping[str, Any]) -> str:
    """``orders 7: status 'paid', expected 'new'``; on one line."""
    row, after, expected = _shown(difference.get("row")), difference.get("after"), difference.get("expected")
    subject = f"{difference.get('collection', '')} {row}".strip()
    return f"{subject}: {inline_text(after)}, expected {inline_text(expected)}"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = " ".join(row_text(value).split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


# --- the story --------------------------------------------------------------------------------------------------------


def _sentences(suspicion: Suspicion, replayed: Replayed, surroundings: Surroundings, first: Node) -> list[str]:
    told: list[str] = []
    done: set[str] = set()  # identities of effects that had happened in an earlier delivery
    steps = suspicion.spot.steps
    chain = 0
    for number, (step, ending, node) in enumerate(zip(steps, replayed.endings, replayed.worlds, strict=True)):
        if number:
            told.append(_again(step, steps[number - 1].message))
        if step.delivery.killed_at is None and step.ending is not None and step.ending.outcome is Outcome.RETRY:
            chain += 1
            if chain > 1:
                del told[-1:]
                continue
        told += _of_step(step, ending, done)
        done |= {stop.identity for stop in _happened(step, ending)}
        if step.delivery.killed_at is not None:
            told += _held(surroundings.differences(first, node, first))
    if chain > 1:
        told.append(f"And so on: {chain} retries one after another.")
    return told + _wrong(suspicion) + _for_a_while(suspicion.fault.differences, surroundings, replayed.end)


def _again(step: Step, before: Message) -> str:
    delivery = step.delivery
    same = step.message.id == before.id and step.message.retries == before.retries
    what = "The broker delivered the message again" if same else f"Then the message of {step.message.task} that was pending was delivered"
    if not same and step.message.id == before.id:
        what = f"The retry (number {step.message.retries}) was delivered"
    when = f", {format_duration(delivery.wait)} later" if delivery.wait else ""
    return what + when + (", to the same process" if delivery.warm else "") + "."


def _happened(step: Step, ending: Ending) -> list[Stop]:
    """The stops whose calls were made."""
    killed = step.delivery.killed_at
    return [stop for stop in ending.stops if killed is None or stop.number < killed]


def _of_step(step: Step, ending: Ending, done: set[str]) -> list[str]:
    killed = step.delivery.killed_at
    repeated = _listed([stop for stop in _happened(step, ending) if stop.identity in done and stop.kind == "net"])
    did = [f"It did again: {repeated}."] if repeated else []
    if killed is None:
        return [*did, _ended(ending)]
    struck = next((stop for stop in ending.stops if stop.number == killed), None)
    if struck is None:
        return [*did, "It ran to its end, and the worker died before the message was acknowledged."]
    effect = with_line(step.effect, ending)
    after = f"The last effect before that was: {_whole(effect)}{at(effect.place)}." if effect is not None else "It had done nothing yet."
    return [*did, f"Killed before {struck.words}{at(struck.place)}. {after}"]


def _ended(ending: Ending) -> str:
    words = {
        Outcome.SUCCESS: "It succeeded",
        Outcome.FAILURE: "It failed",
        Outcome.RETRY: "It asked for a retry",
        Outcome.IGNORED: "It asked to be ignored",
        Outcome.REJECTED: "It rejected its message",
        Outcome.DIED: "Its process ended by itself",
        Outcome.ENDLESS: "It did not come to its end",
        Outcome.KILLED: "It was killed",
    }[ending.outcome]
    why = f" with {_shown(ending.error)}" if ending.error else ""
    if ending.returned:
        return f"It did its work{at(ending.place)}, but its result could not be stored: {_shown(ending.error)}."
    return f"{words}{why}{at(ending.place)}."


def at(place: Place | None) -> str:
    """`` (orders.py:47, charge)``, `` (orders.py:47, charge, by tools.py:41, request)``, or nothing."""
    inner = f", by {place.inner}" if place and place.inner else ""
    return f" ({place.file}:{place.line}, {place.function}{inner})" if place else ""


def _whole(stop: Stop) -> str:
    """A request may be sent in parts, and its effect lies in the last of them."""
    return stop.words.removeprefix("the rest of ")


def _listed(stops: Sequence[Stop]) -> str:
    words = list(dict.fromkeys(f"{_whole(stop)}{at(stop.place)}" for stop in stops))
    more = f", and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more


def _held(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """What others saw then, against the first world."""
    if not differences:
        return ["Nothing of it was to be seen."]
    words = []
    for one in differences[:_NAMED]:
        subject = f"{one.get('collection', '')} {_shown(one.get('row'))}".strip()
        words.append(f"{subject}: {inline_text(one.get('after'))}, before {inline_text(one.get('before'))}")
    more = f"; and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
    return [f"What it left: {'; '.join(words)}{more}."]


def _wrong(suspicion: Suspicion) -> list[str]:
    fault = suspicion.fault
    if fault.word == "LOST" and not suspicion.spot.lost:
        return ["Its message is gone, without a result.", *_missing(fault.differences)]
    if fault.word == "LOST":
        return ["Nobody delivers it again: it had been acknowledged.", *_missing(fault.differences)]
    if fault.word == "STATE":
        return ["The world is as after a clean execution; whoever asks for the result is told of a failure."]
    if fault.word == "STORM":
        return ["Its retries have no limit, and nothing in the world will change by itself."]
    return _missing(fault.differences)


def _for_a_while(differences: Sequence[Mapping[str, Any]], surroundings: Surroundings, end: Node) -> list[str]:
    """Counters that count a call again, and expire."""
    lives = surroundings.lives(end) if isinstance(surroundings, KnowsLives) else {}
    told = []
    for one in filter(counted_again, differences):
        row = one.get("row")
        left = lives.get((str(one.get("collection")), str(row.get("key", "")) if isinstance(row, Mapping) else ""))
        if left is not None:
            told.append(f"So it counts the call again, until that expires in {format_duration(round(left))}.")
    return told[:1]


def _missing(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    words = [f"{told_difference(one)}." for one in differences[:_NAMED]]
    return words + ([f"And {len(differences) - _NAMED} more."] if len(differences) > _NAMED else [])
