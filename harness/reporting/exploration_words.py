"""What an exploration found, in the words of its page and of the terminal: values, worlds, what to do about a doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.model.exploration import Exploration, Wake
from harness.model.wording import inline_text, row_text, value_text
from harness.reporting.words import number, plural, shortened

__all__ = ["advice_for", "brief_text", "changed_text", "ends_text", "leaves_text", "map_caption", "subject_text", "summary_text"]

_ADVICE = (
    ("the bound of ", "Give it more room: --worlds, --time or --kills, or `limit` of the scenario's item."),
    ("the task changes nothing", "Declare under `services` what it writes to, or give arguments with which it does something."),
    ("two clean executions", "Make the named place the same on every run: fixed order, no choice by random numbers, no race of threads."),
    ("threads or processes", "Wait for what the task starts before it goes on; what runs beside it can be sampled, not proven."),
    ("only lines were tried", "Run it where the kernel allows seccomp (docs/explorer.md, Lines); there each effect is a crash point."),
    ("what happens once a retry is due", "Run it on Linux on x86_64, where the task's clock can be set."),
)


def advice_for(doubt: str) -> str:
    """What to do, so that it can be decided; '' where the doubt itself says it, or nothing helps for sure."""
    inner = doubt.partition(": ")[2] if doubt.startswith("with ") else doubt
    return next((advice for start, advice in _ADVICE if inner.startswith(start)), "")


def subject_text(difference: Mapping[str, Any]) -> str:
    """``db.orders: number 7``, ``company.requests: POST /charges, order 7``."""
    collection, row = str(difference.get("collection") or ""), difference.get("row")
    told = row_text(row)
    return f"{collection}: {told}" if collection and told else collection or told


def _counts(*values: Any) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


def changed_text(difference: Mapping[str, Any]) -> str:
    """Short, what a crash left: ``1 × POST /charges``, ``db.orders: status 'paid'``, ``+ db.payments``, ``- files: a.tmp``."""
    before, after, row = difference.get("before"), difference.get("after"), difference.get("row")
    collection = str(difference.get("collection") or "")
    if _counts(before, after):
        name = (
            f"{row['method']} {row['path']}" if isinstance(row, Mapping) and "method" in row and "path" in row else subject_text(difference)
        )
        return f"{after:,} × {name}"
    if before is None or after is None:
        value = f": {value_text(after)}" if isinstance(after, Mapping) and after else ""
        return f"{'+' if before is None else '−'} {subject_text(difference)}{value}"
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        gone = [key for key in before if key not in after]
        told = ", ".join(filter(None, [value_text(changed) if changed else "", *(f"no {key}" for key in gone)]))
        return f"{collection}: {told}"
    return f"{subject_text(difference)}: {value_text(after)}"


def _some(told: Sequence[str], all_of_them: int, most: int) -> str:
    shown = [shortened(one, 70) for one in told[:most]]
    more = max(all_of_them, len(told)) - len(shown)
    return "; ".join(shown) + (f"; and {number(more)} more" if more > 0 else "")


def leaves_text(wake: Wake, before: Wake | None, most: int = 3) -> str:
    """What others see after a crash there; of a wake after another, what is new against that."""
    if not wake.changed:
        return "nothing" if before is None else "nothing any more"
    told = [changed_text(one) for one in wake.holds]
    if before is None or not before.changed or len(before.holds) < before.changed or len(wake.holds) < wake.changed:
        return _some(told, wake.changed, most)
    old = {subject_text(one): changed_text(one) for one in before.holds}
    subjects = {subject_text(one) for one in wake.holds}
    new = [f"+ {_bare(one)}" for one, words in zip(wake.holds, told, strict=True) if old.get(subject_text(one)) != words]
    gone = [f"{subject} as before the call" for subject in old if subject not in subjects]
    return _some([*new, *gone], 0, most) or _some(told, wake.changed, most)


def _bare(difference: Mapping[str, Any]) -> str:
    return changed_text(difference).removeprefix("+ ")


def ends_text(wake: Wake, *, again: bool) -> str:
    """How that ends when nothing else happens. ``again``: it is delivered again."""
    if wake.ends == "same":
        return "same" if again else "as allowed"
    if wake.ends == "open":
        return "not followed"
    if not wake.differences:
        return wake.ends
    one = wake.differences[0]
    told = changed_text(one) if _counts(one.get("after"), one.get("expected")) else f"{subject_text(one)}: {inline_text(one.get('after'))}"
    return f"{wake.ends}: {shortened(told, 70)}, expected {shortened(inline_text(one.get('expected')), 50)}"


def map_caption(found: Exploration) -> str:
    """What the map of stops answers, counted from what is drawn."""
    wakes = found.wakes
    if not wakes:
        return ""
    points = sum(wake.last - wake.first + 1 for wake in wakes)
    bad = sum(wake.last - wake.first + 1 for wake in wakes if wake.ends not in ("same", "open"))
    unknown = sum(wake.last - wake.first + 1 for wake in wakes if wake.ends == "open")
    worlds = plural(len({wake.world for wake in wakes}), "world")
    if points < found.coverage.stops:
        told = (
            f"Of the {number(found.coverage.stops)} points where the first delivery can crash, the first {number(points)} leave {worlds}. "
        )
    else:
        told = f"The first delivery can crash at {plural(points, 'point')}, which leave{'s' if points == 1 else ''} {worlds}. "
    if bad:
        told += f"{'A crash at 1 of them ends' if bad == 1 else f'Crashes at {number(bad)} of them end'} wrong, without any further one."
    elif found.verdict == "fails":
        told += "None of them alone ends wrong: it takes what the story tells."
    elif unknown == points:
        told += "None was followed to its end."
    else:
        told += "Each that was followed ends as it may." if unknown else "Each ends as it may, also after further crashes."
        if found.verdict != "certified" and not unknown:
            told = told.replace(", also after further crashes", ", but further crashes were not all tried")
    return told + (f" {number(unknown)} {'was' if unknown == 1 else 'were'} not followed." if unknown and unknown != points else "")


def brief_text(found: Exploration) -> str:
    """The headline, for a row of a table that has the place beside it."""
    if not found.flaws or not found.flaws[0].differences:
        return found.headline
    one = found.flaws[0].differences[0]
    return shortened(f"{subject_text(one)}: {inline_text(one.get('after'))}, expected {inline_text(one.get('expected'))}", 140)


def summary_text(found: Sequence[Exploration]) -> str:
    """``2 of 9 tasks fail, 1 is undecided, 6 are certified``."""
    total = len(found)
    fails, unsure, sure = (sum(one.verdict == word for one in found) for word in ("fails", "inconclusive", "certified"))
    if sure == total:
        return f"All {plural(total, 'task')} are certified: no crash breaks them."
    parts = [f"{number(fails)} of {plural(total, 'task')} {'fails' if fails == 1 else 'fail'}"] if fails else []
    parts += [f"{number(unsure)} {'is' if unsure == 1 else 'are'} undecided"] if unsure else []
    parts += [f"{number(sure)} {'is' if sure == 1 else 'are'} certified"] if sure else []
    return ", ".join(parts) + "."
