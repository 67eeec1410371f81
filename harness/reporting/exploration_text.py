"""What exploring a task found, as lines for a terminal: where it could break, whether it does, how to see it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.model.exploration import Coverage, Exploration, Flaw, Place, Stop, Wake
from harness.model.quantities import format_duration
from harness.reporting.drawn_text import drawn_call, drawn_sentences
from harness.reporting.exploration_words import advice_for
from harness.reporting.ink import WIDTH, Line, wrapped
from harness.reporting.words import number, plural, printable, shortened

__all__ = ["call_text", "early_lines", "exploration_lines", "last_line"]

_SIGNS = {"certified": ("✓", "pass", "CERTIFIED"), "fails": ("✕", "failbold", "FAILS"), "inconclusive": ("?", "open", "INCONCLUSIVE")}
_EXITS = {"certified": 0, "fails": 1, "inconclusive": 4}
_MOST_STOPS = 24
_LABEL = 16


def call_text(task: str, args: Sequence[object], kwargs: dict[str, object]) -> str:
    """``orders.charge(7, cents=900)``."""
    written = [json.dumps(value, ensure_ascii=False, default=repr) for value in args]
    written += [f"{name}={json.dumps(value, ensure_ascii=False, default=repr)}" for name, value in kwargs.items()]
    return f"{task}({', '.join(written)})"


def early_lines(flaw: Flaw, root: Path) -> list[Line]:
    """Of a finding that is confirmed while others are looked for."""
    return [[], *_flaw(flaw, root)]


def exploration_lines(found: Exploration, root: Path, reproduce: str, told: Flaw | None = None) -> list[Line]:
    """All of one task. ``root``: where the places' files lie; ``reproduce``: the command that shows the same; ``told``: stands above."""
    lines: list[Line] = []
    figures = _drawn(found) + _points(found.environment) + _figures(found.coverage)
    flaws = [_flaw(flaw, root, above=told is not None and (flaw.word, flaw.path) == (told.word, told.path)) for flaw in found.flaws]
    for block in (_stops(found.first, found.wakes), figures, *flaws, _verdict(found, reproduce)):
        if block:
            lines += [[], *block]
    return lines


def last_line(found: Exploration) -> Line:
    """``✕ FAILS  orders.charge(7)   2.1 s   exit 1``."""
    sign, style, word = _SIGNS[found.verdict]
    call = shortened(printable(call_text(found.task, found.args, dict(found.kwargs))), 50)
    call = drawn_call(found, call)
    return [(style, f"{sign} {word}"), ("", f"  {call}   {format_duration(found.seconds)}   exit {_EXITS[found.verdict]}")]


def _row(label: str, text: str, style: str = "") -> list[Line]:
    first, *rest = wrapped(printable(text), first=" " * _LABEL, indent=_LABEL)
    head: Line = [("bold", f"  {label}".ljust(_LABEL)), (style, first[_LABEL:])]
    return [head, *([(style, text)] for text in rest)]


def _stops(stops: Sequence[Stop], wakes: Sequence[Wake]) -> list[Line]:
    """The crash points of one execution, with a cross where a crash alone ends wrong; those alike in a row stand together."""
    if not stops:
        return []
    wrong = {n for wake in wakes if wake.ends not in ("same", "open") for n in range(wake.first, wake.last + 1)}
    groups: list[tuple[int, int, tuple[str, str, bool]]] = []
    for stop in stops:
        alike = (stop.words, _at(stop.place), stop.number in wrong)
        first = groups.pop()[0] if groups and groups[-1][2] == alike else stop.number
        groups.append((first, stop.number, alike))
    told = "; ✕ where a crash ends wrong, if nothing else happens" if wrong else ""
    lines: list[Line] = [[("dim", f"  stop   before{told}")]]
    for first, last, (words, where, bad) in groups[:_MOST_STOPS]:
        numbers = str(first) if first == last else f"{first}-{last}"
        room = max(20, WIDTH - 9 - len(where) - 2)
        shown, *rest = wrapped(printable(words), width=room)
        head: Line = [("failbold", "✕ " if bad else "  "), ("", f"{numbers:<7}"), ("", shown.ljust(room)), ("dim", f"  {where}")]
        lines += [head, *([("", f"         {text}")] for text in rest)]
    if len(groups) > _MOST_STOPS:
        lines.append([("dim", f"         and {len(groups) - _MOST_STOPS} more, in the report")])
    return lines


def _at(place: Place | None) -> str:
    return f"{place.file}:{place.line}" if place else ""


def _drawn(found: Exploration) -> list[Line]:
    """Where its arguments came from, if they are not written out."""
    first, *rest = drawn_sentences(found) or [""]
    return [line for label, text in (("arguments", first), *(("", one) for one in rest)) if text for line in _row(label, text)]


def _points(environment: Mapping[str, str]) -> list[Line]:
    """Where it was crashed, unless before each effect."""
    if environment.get("points") != "lines":
        return []
    why = environment.get("points_why", "")
    return _row("points", f"lines of your code, since effects cannot be had here: {why}" if why else "lines of your code", "open")


def _figures(coverage: Coverage) -> list[Line]:
    if not coverage.worlds:
        return []
    waits = f"; delivered at once and {' and '.join(coverage.waits)}" if coverage.waits else ""
    lines = _row("crash points", f"{number(coverage.stops)} in the first delivery")
    lines += _row("worlds", f"{number(coverage.worlds)}, by up to {plural(coverage.kills, 'crash', 'crashes')} one after another{waits}")
    lines += _row("deliveries", number(coverage.deliveries))
    if coverage.bounds:
        lines += _row("not visited", f"{number(coverage.unvisited)}, for the bound of {', '.join(coverage.bounds)}", "open")
    if coverage.replayed:
        lines += _row("confirmed", f"{plural(coverage.replayed, 'world')} at random reached again by true SIGKILLs: all the same")
    return lines


def _flaw(flaw: Flaw, root: Path, *, above: bool = False) -> list[Line]:
    """``above``: its story has been told already."""
    first, *rest = wrapped(printable(flaw.headline), first=f"{flaw.word}  ", indent=len(flaw.word) + 2)
    lines: list[Line] = [[("failbold", text)] for text in (first, *rest)]
    lines += [[("", "  - Told above.")]] if above else _story(flaw, root)
    if flaw.confirmed:
        alike = f"; {plural(flaw.alike, 'other path')} to the same" if flaw.alike else ""
        lines.append([("dim", f"  Confirmed by {'true SIGKILLs' if flaw.stops else 'a replay'}{alike}.")])
    if flaw.saved:
        lines.append([("bold", "  In real workers  "), ("data", f"celery-harness replay {shlex.quote(flaw.saved)} --confirm")])
    elif flaw.rerun is not None and flaw.rerun.refused:
        why = wrapped(f"Not saved for real workers: {printable(flaw.rerun.refused)}.", first="  ", indent=2)
        lines += [[("dim", text)] for text in why]
    return lines


def _story(flaw: Flaw, root: Path) -> list[Line]:
    lines: list[Line] = []
    for sentence in flaw.story:
        lines += [[("", text)] for text in wrapped(printable(sentence), first="  - ", indent=4)]
    source = _source(flaw.place, root)
    lines += [[], *source] if source else []
    fix = wrapped(printable(flaw.fix), first=" " * 7, indent=7)
    return [*lines, [], [("bold", "  Fix  "), ("", fix[0][7:])], *([("", text)] for text in fix[1:])]


def _source(place: Place | None, root: Path) -> list[Line]:
    """The line and those around it; the place alone where the file cannot be read."""
    if place is None:
        return []
    lines: list[Line] = [[("bold", f"  {_at(place)}")]]
    try:
        code = (root / place.file).read_text(errors="replace").splitlines()
    except OSError:
        return lines
    for n in range(max(1, place.line - 2), min(len(code), place.line + 1) + 1):
        hot = n == place.line
        shown = shortened(printable(code[n - 1].expandtabs(4)), WIDTH - 12)
        lines.append([("failbold" if hot else "dim", f"  {'✕' if hot else ' '} {n:>4} "), ("" if hot else "dim", f"│ {shown}")])
    return lines


def _verdict(found: Exploration, reproduce: str) -> list[Line]:
    lines: list[Line] = []
    if found.verdict != "fails":
        lines += [[(_SIGNS[found.verdict][1], text)] for text in wrapped(printable(found.headline))]
        for doubt in found.doubts:
            lines += [[("", text)] for text in wrapped(printable(doubt), first="  - ", indent=4)]
            lines += [[("dim", text)] for text in wrapped(advice_for(doubt), first="    ", indent=4)] if advice_for(doubt) else []
    if found.verdict == "certified":
        for title, told in (("Covered", found.coverage.covered), ("Not covered", found.coverage.excluded)):
            lines += [[("dim", f"  {title}:")]] if told else []
            for words in told:
                lines += [[("dim", text)] for text in wrapped(printable(words), first="  - ", indent=4)]
    if found.verdict != "certified":
        lines.append([("bold", "  Reproduce  "), ("data", reproduce)])
    return lines
