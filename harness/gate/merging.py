"""Several shards' results as the one that a gate without shards would have had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.gate.results import decide, relative
from harness.model.gate import GateCell, GateResult

__all__ = ["merge"]

#: What must be the same in all shards, and what it is called.
_SAME = {
    "commit": "commits",
    "runtime": "runtimes",
    "baseline": "baselines",
    "seed": "seeds",
    "plan": "plans",
    "require_all": "settings of --require-all",
}


def merge(parts: Sequence[tuple[Path, GateResult]], folder: Path) -> GateResult:
    """``parts``: each shard's file and content, in any order. ``folder``: where the merged result will lie.

    UsageError for shards that overlap, are missing, or belong to different gates.
    """
    _check_same(parts)
    _check_complete(parts)
    _check_plan(parts)
    results = [result for _, result in parts]
    cells = sorted((_moved(cell, path.parent, folder) for path, result in parts for cell in result.cells), key=lambda c: c.key)
    left_out = sorted((one for result in results for one in result.left_out), key=lambda one: one.key)
    stopped = max((result.exit_code - 128 for result in results if result.exit_code > 128), default=0)
    verdict, exit_code = decide(cells, left_out, require_all=results[0].require_all, interrupted=stopped)
    return GateResult(
        commit=results[0].commit,
        runtime=results[0].runtime,
        machine=" / ".join(sorted({result.machine for result in results})),
        started=min(result.started for result in results),
        took=max(result.took for result in results),
        budget=max(result.budget for result in results),
        seed=results[0].seed,
        require_all=results[0].require_all,
        plan=results[0].plan,
        cells=tuple(cells),
        left_out=tuple(left_out),
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
        baseline=results[0].baseline,
        verdict=verdict,
        exit_code=exit_code,
    )


def _check_same(parts: Sequence[tuple[Path, GateResult]]) -> None:
    if not parts:
        raise UsageError("nothing to merge", hint="name the gate.json of every shard")
    (first_path, first), *others = parts
    for path, result in others:
        for name, word in _SAME.items():
            ours, theirs = getattr(first, name), getattr(result, name)
            if ours != theirs:
                shown = "" if isinstance(ours, (bool, tuple)) else f": {_shown(ours)} and {_shown(theirs)}"
                raise UsageError(
                    f"the shards have different {word}{shown}", where=f"{first_path} and {path}", hint="merge shards of one gate"
                )


def _shown(value: str | int | None) -> str:
    return "none" if value in (None, "") else str(value)


def _check_complete(parts: Sequence[tuple[Path, GateResult]]) -> None:
    """Every shard of one count, once."""
    seen: dict[int, Path] = {}
    counts: dict[int, Path] = {}
    for path, result in parts:
        if result.shard is None:
            raise UsageError(
                "this is the result of a whole gate, not of a shard", where=str(path), hint="there is nothing to merge it with"
            )
        counts[result.shard.count] = path
        if result.shard.index in seen:
            raise UsageError(f"shard {result.shard.index} is there twice", where=f"{seen[result.shard.index]} and {path}")
        seen[result.shard.index] = path
    if len(counts) > 1:
        cut = " and ".join(f"{count} parts" for count in sorted(counts))
        raise UsageError(f"the shards are of different cuts: {cut}", where=" and ".join(map(str, counts.values())))
    (count,) = counts
    missing = sorted(set(range(1, count + 1)) - set(seen))
    if missing:
        named = ", ".join(f"{index}/{count}" for index in missing)
        raise UsageError(f"missing: shard {named}", hint="a job that failed to start leaves none: look at its log, and merge all of them")


def _check_plan(parts: Sequence[tuple[Path, GateResult]]) -> None:
    """Each cell of the plan in exactly one shard."""
    owner: dict[str, Path] = {}
    for path, result in parts:
        for key in [*(cell.key for cell in result.cells), *(one.key for one in result.left_out)]:
            if key in owner:
                raise UsageError(f"the shards overlap: {key} is in both", where=f"{owner[key]} and {path}")
            owner[key] = path
    plan = set(parts[0][1].plan)
    if missing := sorted(plan - set(owner)):
        raise UsageError(f"no shard has {', '.join(missing)}", hint="one of the files was changed: run the gate again")
    if strays := sorted(set(owner) - plan):
        raise UsageError(f"not in the plan: {', '.join(strays)}", where=str(owner[strays[0]]), hint="merge shards of one gate")


def _moved(cell: GateCell, here: Path, there: Path) -> GateCell:
    """With the report's place as seen from the merged result."""
    if not cell.report:
        return cell
    return cell.model_copy(update={"report": relative(here / cell.report, there)})
