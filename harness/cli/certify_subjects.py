"""What `certify` is asked about: scenarios with tasks to explore, or one task of an app; and where their certificates lie."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.assembly import registry
from harness.cli.explore_items import Wanted, items_of, loaded_scenario, question_of
from harness.cli.explore_system import Witness
from harness.cli.look import scenario_files
from harness.errors import UsageError
from harness.explore.certificates import Folder
from harness.explore.grounds import App, Seen, grounds_of, without_secrets
from harness.explore.proof import Plain, first_world
from harness.model.certificate import Certificate, Grounds, Subject
from harness.model.scenario import ExploreItem
from harness.ports.exploring import ExploresHere, KnowsFiles, KnowsModules, Mechanism
from harness.scenario import LoadedScenario, load_scenarios

__all__ = ["Asked", "Item", "Sight", "Target", "names_of", "renewal", "subject_of", "targets_of"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line, with what the project's settings say where it says nothing."""

    targets: tuple[str, ...]
    task: str
    args: list[Any] | str | None
    kwargs: dict[str, Any] | None
    limit: Mapping[str, Any]
    folder: str
    own_folder: bool  # named on the command line: so it is in the commands that we tell
    reports: Path
    seed: int | None
    as_json: bool
    root: Path

    def certificates(self) -> Folder:
        """The folder."""
        return Folder(self.root / self.folder)


@dataclass(frozen=True, slots=True)
class Target:
    """One scenario with its items, or an app with one task. ``name``: as the command line has it.

    Without items where it explores nothing of which there could be a certificate.
    """

    name: str
    loaded: LoadedScenario
    items: tuple[Item, ...]
    whole: bool  # all that the scenario explores: a certificate of anything else in it belongs to nothing
    scenario: str = ""  # as subjects name it; '' for an app


@dataclass(frozen=True, slots=True)
class Item:
    """One task with its arguments. ``where``: file:line:column in the scenario; '' where it is not written there."""

    item: ExploreItem
    subject: Subject
    where: str = ""


def names_of(asked: Asked, files: tuple[str, ...]) -> list[str | Subject]:
    """What was named; else every scenario below ``files`` that explores something, and what else there are certificates of."""
    if asked.targets:
        return list(asked.targets)
    paths: list[Path] = []
    with contextlib.suppress(UsageError):  # no file in any of the folders
        paths = scenario_files(tuple(file for file in files if Path(file).exists()))
    names: list[str | Subject] = [str(path) for path in paths if _explores(path, asked.task)]
    known = {Path(name).resolve() for name in names if isinstance(name, str)}
    for _, one in asked.certificates().all():
        if not isinstance(one, Certificate) or asked.task not in ("", one.subject.task):
            continue
        if not one.subject.scenario:
            names.append(one.subject)
        elif (path := Path(one.subject.scenario)).is_file() and path.resolve() not in known:
            known.add(path.resolve())
            names.append(one.subject.scenario)
    return names


def _explores(path: Path, task: str) -> bool:
    """One that cannot be loaded counts as well: then it is said what is wrong with it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if "explore" not in text and "extends" not in text:
        return False
    return any(task in ("", item.task) for cell in load_scenarios(path, registry()) for item in cell.scenario.explore)


def targets_of(asked: Asked, names: Iterable[str | Subject], folder: Path) -> Iterator[Target]:
    """``folder``: for the scenario that is made for an app."""
    for name in names:
        yield _target(asked, name, folder) if isinstance(name, str) else _target(_asked_again(asked, name), name.app, folder)


def _asked_again(asked: Asked, subject: Subject) -> Asked:
    return replace(asked, task=subject.task, args=subject.drawn or list(subject.args), kwargs=dict(subject.kwargs))


def _target(asked: Asked, name: str, folder: Path) -> Target:
    wanted = Wanted(
        target=name,
        task=asked.task,
        args=asked.args,
        kwargs=asked.kwargs,
        limit=asked.limit,
        reports=asked.reports,
        seed=asked.seed,
        as_json=asked.as_json,
    )
    loaded = loaded_scenario(wanted, folder)
    own = Path(name).exists()
    if own and not asked.task and not loaded.scenario.explore:
        if not asked.targets:  # there is a certificate of what it did explore
            return Target(name, loaded, (), whole=True, scenario=_scenario_name(loaded, asked.root))
        raise UsageError(f"{name} has no `explore`", hint="such as `explore: [{task: orders.charge, args: [7, 900]}]`")
    written = [n for n, one in enumerate(loaded.scenario.explore) if not asked.task or one.task == asked.task]
    items = items_of(wanted, loaded)
    places = written if own and len(written) == len(items) and asked.args is None and asked.kwargs is None else [None] * len(items)
    found = tuple(
        Item(item, subject_of(item, loaded, "" if own else name, asked.root), "" if n is None else loaded.where("explore", n, "task"))
        for item, n in zip(items, places, strict=True)
        if item.rows is None
    )
    _demand_names(found, loaded)
    if not found and (asked.targets or asked.task):
        raise UsageError(
            f"{items[0].task} has no certificate: its first rows are drawn",
            where=loaded.where("explore", written[0], "rows"),
            hint="write `setup` without an argument, and no `rows`",
        )
    return Target(name, loaded, found, whole=own and not asked.task, scenario=_scenario_name(loaded, asked.root) if own else "")


def _demand_names(items: Sequence[Item], loaded: LoadedScenario) -> None:
    """Each certificate is known by what it is of, and secrets are no part of that."""
    for number, one in enumerate(items):
        question = question_of(one.item, loaded)
        given = json.loads(json.dumps([list(question.args), dict(question.kwargs)], default=str))
        if given == [list(one.subject.args), one.subject.kwargs]:
            continue
        if not one.subject.scenario:
            what = f"{one.item.task} has no certificate: its arguments hold a secret, and without that nobody could explore it again"
            raise UsageError(what, hint="write it into a scenario, and name that")
        if any(other.subject == one.subject for other in [*items[:number], *items[number + 1 :]]):
            what = f"{one.item.task} is explored with arguments that differ in a secret alone: their certificates would be one"
            raise UsageError(what, where=one.where, hint="give them another argument that differs, or explore one of them")


def _scenario_name(loaded: LoadedScenario, root: Path) -> str:
    return Path(os.path.relpath(loaded.path.resolve(), root.resolve())).as_posix()


def subject_of(item: ExploreItem, loaded: LoadedScenario, app: str, root: Path) -> Subject:
    """``app``: '' where the scenario is the user's own file."""
    scenario = "" if app else _scenario_name(loaded, root)
    question = question_of(item, loaded)
    written = without_secrets(json.loads(json.dumps([list(question.args), dict(question.kwargs)], default=str)))
    drawn = item.args if isinstance(item.args, str) else ""
    args, semantics = tuple(written[0]), question.semantics or ""
    return Subject(scenario=scenario, app=app, task=item.task, args=args, kwargs=written[1], drawn=drawn, semantics=semantics)


def renewal(subject: Subject, asked: Asked, command: str = "certify") -> str:
    """The command that certifies it anew, or explores it."""
    words = ["celery-harness", command, subject.scenario or subject.app, "--task", subject.task]
    if not subject.scenario:
        args = subject.drawn or (json.dumps(list(subject.args)) if subject.args else "")
        words += ["--args", args] if args else []
        words += ["--kwargs", json.dumps(subject.kwargs)] if subject.kwargs else []
    return shlex.join([*words, *(["--folder", asked.folder] if asked.own_folder else [])])


@dataclass
class Sight(Witness):
    """What certificates of one system rest on, as it was seen."""

    root: Path
    app: App | None = None
    first: Mapping[str, str] = field(default_factory=dict)
    ran: tuple[str, ...] = ()
    data: tuple[str, ...] = ()  # files that the setup, the app or a delivery has read, or given to a program
    plain: Plain = field(default_factory=Plain)
    seen: Seen = field(init=False)

    def __post_init__(self) -> None:
        self.seen = Seen(self.root)

    def imported(self, answer: Mapping[str, Any]) -> None:
        """See `Witness`. The processes that explore import the app after that."""
        self.app = App.of(answer)
        self.seen.look(self.app.modules.values())

    def begun(self, system: ExploresHere) -> None:
        """See `Witness`."""
        self.plain = Plain(system.zygote())
        self.first = first_world(getattr(system, "stores", {}), self.plain)
        self.data = self.seen.look_at_data(file for told in getattr(system, "told", ()) for file in told.get("read") or ())

    def ended(self, mechanism: Mechanism, drew: Iterable[str] = ()) -> None:
        """See `Witness`."""
        ran = mechanism.modules().values() if isinstance(mechanism, KnowsModules) else ()
        self.ran = tuple(dict.fromkeys((*ran, *drew)))
        self.seen.look(self.ran)
        files = mechanism.files() if isinstance(mechanism, KnowsFiles) else ()
        self.data = tuple(dict.fromkeys((*self.data, *self.seen.look_at_data(files))))

    def grounds(self, loaded: LoadedScenario, item: ExploreItem, ran: tuple[str, ...] | None = None) -> Grounds:
        """``ran``: modules in place of those that ran here, where nothing did."""
        assert self.app is not None, "the app is imported first"
        files = self.ran if ran is None else ran
        return grounds_of(loaded, item, self.app, first_world=self.first, ran=(*files, *self.data), seen=self.seen, plain=self.plain)
