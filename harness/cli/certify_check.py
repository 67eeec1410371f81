"""Do the certificates still hold? Nothing is explored: the app is imported, and the first world is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import __version__
from harness.cli.certify_subjects import Asked, Item, Sight, Target, renewal, targets_of
from harness.cli.explore_system import exploring_system
from harness.errors import EnvironmentFault
from harness.explore.certificates import Damaged, Folder, other_rules, untried
from harness.explore.grounds import unfounded
from harness.model.certificate import Certificate, Subject

__all__ = ["Checked", "check_all", "check_target"]

_MOST = 6


@dataclass(frozen=True, slots=True)
class Checked:
    """One certificate, as it is or should be. ``state``: holds, missing, stale, damaged, or astray: it belongs to nothing any more."""

    state: str
    path: Path
    why: tuple[str, ...] = ()
    remedy: str = ""
    subject: Subject | None = None  # None: cannot be told
    where: str = ""  # file:line:column of the scenario's item
    note: str = ""

    @property
    def reason(self) -> str:
        """``missing``, or ``stale: module shop.py changed, …``."""
        more = f" and {len(self.why) - _MOST} more" if len(self.why) > _MOST else ""
        return ": ".join(filter(None, [self.state, ", ".join(self.why[:_MOST]) + more]))


def check_all(asked: Asked, names: Iterable[str | Subject], run_id: str, folder: Path, say: Callable[[str], None]) -> Iterator[Checked]:
    """All that these scenarios explore, then the certificates that belong to nothing."""
    seen: set[Path] = set()
    whole: set[str] = set()
    for target in targets_of(asked, names, folder):
        if target.whole:
            whole |= {target.scenario} - {""}
        for checked in check_target(asked, target, run_id, folder, say):
            seen.add(checked.path)
            yield checked
    if not asked.task:
        yield from _astray(asked, seen, whole)


def check_target(asked: Asked, target: Target, run_id: str, folder: Path, say: Callable[[str], None]) -> Sequence[Checked]:
    """One for each of its items. What the app or its setup refuses is raised, where there is a certificate to be held against them."""
    certificates = asked.certificates()
    found = [_read(certificates, item.subject) for item in target.items]
    sight = Sight(asked.root)
    if any(isinstance(one, Certificate) for one in found):
        say(f"{target.name}: importing the app, looking at its first world")
        _look(target, run_id, folder, sight)
    checked = []
    for item, one in zip(target.items, found, strict=True):
        missing = Checked("missing", certificates.place(item.subject), (), renewal(item.subject, asked), item.subject, item.where)
        if one is None:
            checked.append(missing)
        elif isinstance(one, Damaged):
            checked.append(replace(missing, state="damaged", why=(one.what,)))
        else:
            why, note = _against(one, sight, target, item)
            checked.append(replace(missing, state="stale" if why else "holds", why=why, note=note))
    return checked


def _read(certificates: Folder, subject: Subject) -> Certificate | Damaged | None:
    try:
        return certificates.read(subject)
    except Damaged as damaged:
        return damaged


def _look(target: Target, run_id: str, folder: Path, sight: Sight) -> None:
    """The system is started and set up, and nothing of the app runs in it."""
    from harness.ports.exploring import ExploresHere

    with exploring_system(target.loaded, run_id, folder, sight) as system:
        if not isinstance(system, ExploresHere):
            raise EnvironmentFault("this system cannot be explored")
        system.begin_exploring()
        sight.begun(system)
        system.came_to_its_end()


def _against(certificate: Certificate, sight: Sight, target: Target, item: Item) -> tuple[tuple[str, ...], str]:
    """(why it does not hold, a remark)."""
    assert sight.app is not None
    now = sight.grounds(target.loaded, item.item, tuple(certificate.grounds.modules))
    refused, note = untried(certificate, sight.app.environment)
    made_by = certificate.made_by if certificate.made_by != f"celery-harness {__version__}" else ""
    why = [other_rules(certificate), *certificate.grounds.changes(now), refused, unfounded(item.item.task, sight.app, sight.seen)]
    return tuple(filter(None, why)), "; ".join(filter(None, [note, made_by and f"made by {made_by}"]))


def _astray(asked: Asked, seen: set[Path], whole: set[str]) -> Iterator[Checked]:
    """Whose item is no longer in its scenario, or whose scenario is no longer there."""
    for path, one in asked.certificates().all():
        if path in seen:
            continue
        remedy = f"rm {_shown(path, asked.root)}"
        if isinstance(one, Damaged):
            yield Checked("damaged", path, (one.what,), remedy)
        elif one.subject.scenario in whole:
            yield Checked("astray", path, (f"{one.subject.scenario} does not explore this any more",), remedy, one.subject)
        elif one.subject.scenario and not (asked.root / one.subject.scenario).is_file():
            yield Checked("astray", path, (f"there is no {one.subject.scenario}",), remedy, one.subject)


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
