"""The page of an exploration: what it draws, as data. One offline file that draws itself by text alone (`harness.reporting.html`)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.model.exploration import Exploration, Flaw, Place, Stop, Wake
from harness.model.quantities import format_duration
from harness.model.wording import value_text
from harness.reporting.drawn_text import drawn_call, drawn_sentences
from harness.reporting.exploration_text import call_text
from harness.reporting.exploration_words import (
    advice_for,
    brief_text,
    ends_text,
    leaves_text,
    map_caption,
    subject_text,
    summary_text,
)
from harness.reporting.html import embedded
from harness.reporting.offline import offline_page, template_text
from harness.reporting.words import number, plural, shortened, visible

__all__ = ["exploration_page"]

_STYLES = ("base.css", "exploration.css", "exploration_map.css")
_SCRIPTS = ("dom.js", "exploration.js", "exploration_map.js", "exploration_life.js")
_LOOKS = {"certified": "pass", "fails": "fail", "inconclusive": "inconclusive"}
_WORDS = {"certified": "certified", "fails": "fails", "inconclusive": "inconclusive"}
_WORST = ("fails", "inconclusive", "certified")
_MOST_STOPS = 400
_AROUND = (4, 3)
#: How sentences of a story begin -> what kind of row they are. Any other ends what a delivery did.
_KINDS = (
    ("Killed before", "kill"),
    ("It ran to its end, and the worker died", "kill"),
    ("What it left", "world"),
    ("Nothing of it was to be seen", "world"),
    ("The broker delivered", "again"),
    ("The retry (", "again"),
    ("Then the message", "again"),
    ("Nobody delivers it again", "again"),
)


def exploration_page(found: Sequence[Exploration], commands: Sequence[str], root: Path, *, title: str = "") -> str:
    """The whole page. ``commands``: per exploration the one that shows the same; ``root``: where the places' files lie."""
    from markupsafe import Markup  # imported here: only who writes the page needs it

    worst = next((word for word in _WORST if any(one.verdict == word for one in found)), "inconclusive")
    order = sorted(range(len(found)), key=lambda n: (_WORST.index(found[n].verdict), n))
    data = {
        "look": _LOOKS[worst],
        "word": _WORDS[worst],
        "target": title,
        "headline": summary_text(found) if len(found) != 1 else found[0].headline,
        "facts": _facts(found),
        "tasks": [_task(number + 1, found[n], commands[n], root) for number, n in enumerate(order)],
    }
    name = title or (found[0].task if found else "")
    values = visible({"title": f"{_WORDS[worst].upper()} · {name} · celery-harness explore"})
    script = "'use strict';\n(() => {\n" + "".join(map(template_text, _SCRIPTS)) + "})();\n"
    return offline_page("exploration.html", {**values, "data": Markup(embedded(visible(data)))}, styles=_STYLES, script=script)


def _facts(found: Sequence[Exploration]) -> list[str]:
    """What all have in common: versions, points, and what it cost."""
    if not found:
        return []
    env = found[0].environment
    versions = [f"{name} {env[key]}" for key, name in (("python", "Python"), ("celery", "Celery")) if env.get(key)]
    seed = [f"seed {env['seed']}"] if env.get("seed") else []
    worlds, deliveries = sum(one.coverage.worlds for one in found), sum(one.coverage.deliveries for one in found)
    cost = (
        f"{plural(worlds, 'world')}, {plural(deliveries, 'delivery', 'deliveries')} in {format_duration(sum(one.seconds for one in found))}"
    )
    return [cost, *versions, *filter(None, [env.get("arch", "")]), *seed]


def _task(index: int, found: Exploration, command: str, root: Path) -> dict[str, Any]:
    call = call_text(found.task, found.args, dict(found.kwargs))
    places = [flaw.place for flaw in found.flaws if flaw.place]
    return {
        "id": f"task-{index}",
        "call": shortened(drawn_call(found, call), 200),
        "verdict": found.verdict,
        "look": _LOOKS[found.verdict],
        "word": _WORDS[found.verdict],
        "kind": found.flaws[0].word if found.flaws else "",
        "headline": found.headline,
        "brief": brief_text(found),
        "place": _at(places[0]) if places else "",
        "worlds": number(found.coverage.worlds),
        "kills": number(found.coverage.kills),
        "seconds": format_duration(found.seconds),
        "command": command,
        "figures": _figures(found),
        "notes": _notes(found),
        "flaws": [_flaw(flaw, root) for flaw in found.flaws],
        "doubts": [{"what": doubt, "advice": advice_for(doubt)} for doubt in found.doubts],
        "covered": list(found.coverage.covered) if found.verdict == "certified" else [],
        "excluded": list(found.coverage.excluded) if found.verdict == "certified" else [],
        "map": _map(found),
    }


def _notes(found: Exploration) -> list[str]:
    notes = list(drawn_sentences(found))
    if found.environment.get("points") == "lines":
        why = found.environment.get("points_why", "")
        notes.append("Crashed before each line of your code, not before each effect" + (f": {why}" if why else "") + ".")
    return notes


def _figures(found: Exploration) -> list[tuple[str, str]]:
    coverage = found.coverage
    if not coverage.worlds:
        return []
    told = [
        (number(coverage.stops), "crash points of the first delivery"),
        (number(coverage.worlds), "distinct worlds"),
        (number(coverage.deliveries), "deliveries"),
        (number(coverage.kills), "crashes in a row, at most"),
    ]
    if coverage.replayed:
        told.append((f"{coverage.replayed} of {coverage.replayed}", "worlds reached again by true SIGKILLs, all equal"))
    if coverage.unvisited:
        told.append((number(coverage.unvisited), f"not visited, for the bound of {', '.join(coverage.bounds)}"))
    waits = f", at once and {' and '.join(coverage.waits)}" if coverage.waits else ""
    return [*told, (format_duration(found.seconds), f"on this machine{waits and '; each world delivered' + waits}")]


def _flaw(flaw: Flaw, root: Path) -> dict[str, Any]:
    return {
        "word": flaw.word,
        "headline": flaw.headline,
        "place": _at(flaw.place),
        "function": flaw.place.function if flaw.place else "",
        "source": _source(flaw.place, root),
        "fix": flaw.fix,
        "proof": _proof(flaw),
        "story": [{"kind": _kind(text), "text": text} for text in flaw.story],
        "differences": [_row(one) for one in flaw.differences[:50]],
        "more": max(0, len(flaw.differences) - 50),
        "replay": f"celery-harness replay {shlex.quote(flaw.saved)} --confirm" if flaw.saved else "",
        "refused": flaw.rerun.refused if flaw.rerun and not flaw.saved else "",
    }


def _proof(flaw: Flaw) -> str:
    if not flaw.confirmed:
        return ""
    alike = f" {plural(flaw.alike, 'other path leads', 'other paths lead')} to the same." if flaw.alike else ""
    return f"Confirmed by {'true SIGKILLs' if flaw.stops else 'a replay'}.{alike}"


def _kind(sentence: str) -> str:
    return next((kind for start, kind in _KINDS if sentence.startswith(start)), "wrong" if ", expected " in sentence else "did")


def _row(difference: Mapping[str, Any]) -> list[str]:
    told = [value_text(difference.get(key)) for key in ("before", "after", "expected")]
    return [subject_text(difference), *told]


def _at(place: Place | None) -> str:
    return f"{place.file}:{place.line}" if place else ""


def _source(place: Place | None, root: Path) -> list[tuple[int, str, bool]]:
    """Number, text and whether it is the line, of those around it; [] where the file cannot be read."""
    if place is None:
        return []
    try:
        code = (root / place.file).read_text(errors="replace").splitlines()
    except OSError:
        return []
    last = min(len(code), place.line + _AROUND[1])
    while last > place.line and not code[last - 1].strip():
        last -= 1
    numbers = range(max(1, place.line - _AROUND[0]), last + 1)
    return [(n, shortened(code[n - 1].expandtabs(4), 200), n == place.line) for n in numbers]


def _map(found: Exploration) -> dict[str, Any] | None:
    """Columns are stops, those alike and in a row together; a world spans the columns that leave it."""
    if not found.wakes:
        return None
    columns: list[dict[str, Any]] = []
    worlds: list[dict[str, Any]] = []
    known: dict[int, int] = {}
    again = found.coverage.stops > len(found.first)  # it is acked after it ran, so it comes back
    for before, wake in zip((None, *found.wakes), found.wakes, strict=False):
        begin = len(columns)
        for stop in _stops_of(found, wake):
            if len(columns) > begin and (columns[-1]["words"], columns[-1]["at"]) == (stop["words"], stop["at"]):
                columns[-1]["last"] = stop["last"]
            else:
                columns.append(stop)
        worlds.append(_world(wake, before, begin, len(columns) - begin, again=again))
        if wake.world in known:
            worlds[-1]["leaves"] = f"the same as at {known[wake.world]}"
        known.setdefault(wake.world, wake.first)
    return {
        "caption": map_caption(found),
        "stops": columns[:_MOST_STOPS],
        "left_out": max(0, len(columns) - _MOST_STOPS),
        "worlds": [world for world in worlds if world["at"] < _MOST_STOPS],
        "then": f"{'' if again else 'not '}redelivered, it ends as",
        "again": again and any(wake.ends == "same" for wake in found.wakes),
    }


def _stops_of(found: Exploration, wake: Wake) -> list[dict[str, Any]]:
    return [_stop(n, found.first[n - 1] if n <= len(found.first) else None) for n in range(wake.first, wake.last + 1)]


def _stop(n: int, stop: Stop | None) -> dict[str, Any]:
    words = stop.words if stop else "the message is acknowledged"
    place = stop.place if stop else None
    return {"first": n, "last": n, "words": words, "at": _at(place), "short": f"{Path(place.file).name}:{place.line}" if place else ""}


def _world(wake: Wake, before: Wake | None, at: int, span: int, *, again: bool) -> dict[str, Any]:
    look = {"same": "pass", "open": "inconclusive"}.get(wake.ends, "fail")
    return {
        "at": at,
        "span": min(span, _MOST_STOPS - at),
        "number": wake.world,
        "leaves": leaves_text(wake, before),
        "ends": ends_text(wake, again=again),
        "look": look,
    }
