"""What makes the calls: `load`, or Locust's users. Exactly one of them, and what `locust` names must be there."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from harness.model.scenario import LocustSpec, Scenario
from harness.scenario.errors import Problems
from harness.scenario.names import nearest
from harness.scenario.tree import Fields, place_of

__all__ = ["check_generator", "check_locustfile"]

#: Options of Locust's that `locust:` has keys for, or that the run itself needs.
_OURS = {
    "-f": "`file`",
    "--locustfile": "`file`",
    "-u": "`users`",
    "--users": "`users`",
    "-r": "`spawn_rate`",
    "--spawn-rate": "`spawn_rate`",
    "-t": "`for`",
    "--run-time": "`for`",
    "--processes": "`processes`",
}
_TAKEN = (
    "--master",
    "--worker",
    "--headless",
    "--headful",
    "--autostart",
    "--autoquit",
    "--logfile",
    "--csv",
    "--reset-stats",
    "--host",
    "-H",
)


def check_generator(scenario: Scenario | None, tree: Fields, clean: Collection[str], problems: Problems) -> None:
    """``clean``: checks of this scenario that compare with clean passes of the same calls."""
    load, locust, schedule = (tree.entries.get(name) for name in ("load", "locust", "schedule"))
    if locust is None:
        if load is None and scenario is not None and scenario.explore:
            return  # `celery-harness run` refuses it: there is nothing to run
        if load is None:
            problems.add(tree.place, "`load` is missing", "write `load`, `locust` or `schedule`: they say which calls are made")
        elif scenario is not None and not scenario.load:
            problems.add(load.value.place, "`load` is empty")
        return
    for name, other in (("schedule", schedule), ("load", load)):
        if other is not None:
            problems.add(locust.key, f"`{name}` and `locust` both say which calls are made: write one", settles=True)
            return
    if scenario is None or scenario.locust is None:
        return
    for name in sorted(clean):
        hint = "leave the check out here, and run it in a scenario with a `load`"
        problems.add(
            place_of(tree, ("checks", name), key=True), f"`{name}` needs calls that are known before the run; Locust's are not", hint
        )
    for index, item in enumerate(scenario.timeline):
        if item.when is not None and item.when.call is not None:
            what = "Locust's calls have no numbers before the run"
            problems.add(place_of(tree, ("timeline", index, "when", "call"), key=True), what, "write `nth`")
    _check_spec(scenario.locust, tree, problems)


def _check_spec(spec: LocustSpec, tree: Fields, problems: Problems) -> None:
    if spec.duration is not None and spec.duration % 1:
        problems.add(place_of(tree, ("locust", "for")), "Locust counts whole seconds", "write for: 30s")
    if trouble := check_locustfile(spec.file):
        problems.add(place_of(tree, ("locust", "file")), *trouble)
    for index, option in enumerate(spec.options):
        name = option.partition("=")[0]
        place = place_of(tree, ("locust", "options", index))
        if not name.startswith("-"):
            problems.add(place, f"`{option}` is no option of Locust", "write --name=value in one item")
        elif name in _OURS:
            problems.add(place, f"`{name}` has a key of its own here: {_OURS[name]}")
        elif name in _TAKEN:
            problems.add(place, f"`{name}` is the run's own business", "options of `celery-harness load` say the rest")


def check_locustfile(file: str) -> tuple[str, str] | None:
    """What is wrong with it, and a hint; None: it is a Python file that is there."""
    path = Path(file)
    if not path.exists():
        siblings = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        return f"no locustfile {file} below {Path.cwd()}{nearest(path.name, siblings)}", "it is relative to the folder that you run in"
    if path.is_dir():
        return f"{file} is a folder, not a locustfile", "name one Python file"
    if path.suffix != ".py":
        return f"{file} is not a Python file", "a locustfile ends in .py"
    return None
