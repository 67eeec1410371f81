"""What `certify` does: explore, and write certificates of what passes; or check those that are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness import __version__
from harness.cli.certify_check import Checked, check_all
from harness.cli.certify_subjects import Asked, Item, Sight, Target, names_of, renewal, targets_of
from harness.cli.certify_tell import CertifyConsole, CertifyJson, Teller
from harness.cli.explore_system import explore_item, exploring_system
from harness.errors import Interrupted, ScenarioError, UsageError
from harness.explore.certificates import RULES, Damaged, Folder, certificate_settings, other_rules
from harness.explore.grounds import unfounded
from harness.explore.proof import Plain
from harness.model.certificate import Certificate, Counts, Grounds, Subject, Worlds
from harness.model.exploration import Exploration
from harness.ports.runtime import LiveSystem
from harness.run.folders import new_run_folder
from harness.run.signals import InterruptGuard

__all__ = ["Certified", "certificate_of", "run_certify", "run_check", "write_certificate"]

_WORST = (1, 4, 0)
_PROJECT = "run celery-harness in the folder that holds its code, with the code itself and not a link or an installed copy of it"
#: A path of this machine, in words: what is left of it is its last part.
_ELSEWHERE = re.compile(r"""(?<![\w.:/<>*~-])/(?:[^/,'"]*/)*([^/,'"]+)""")


@dataclass(frozen=True, slots=True)
class Certified:
    """What became of one item. ``done``: written, renewed, joined (this environment was added), unchanged, removed, refused, none."""

    subject: Subject
    found: Exploration
    done: str
    path: Path
    why: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def exit_code(self) -> int:
        """0 where there is a certificate that holds."""
        return 1 if self.found.verdict == "fails" else 4 if self.found.verdict != "certified" or self.done == "refused" else 0


def run_certify(asked: Asked) -> int:
    """All that is asked for; the exit code over all: 1, 4, 0 in this order."""
    teller: Teller = CertifyJson() if asked.as_json else CertifyConsole(asked.root)
    codes: set[int] = set()
    with _folder(asked) as (run_id, folder), InterruptGuard() as guard:
        for target in filter(lambda target: target.items, targets_of(asked, _names(asked), folder)):
            for done in _certify_target(asked, target, run_id, folder, guard.check, teller):
                teller.certified(done)
                codes.add(done.exit_code)
    if not codes:
        raise _nothing(asked)
    return next(code for code in _WORST if code in codes)


def _nothing(asked: Asked) -> UsageError:
    what = f"no scenario explores {asked.task}" if asked.task else "there is nothing to certify"
    return UsageError(what, hint="name a scenario with an `explore`, or an app as module:attribute with --task")


def _certify_target(
    asked: Asked, target: Target, run_id: str, folder: Path, check: Callable[[], None], teller: Teller
) -> Iterator[Certified]:
    sight = Sight(asked.root)
    with exploring_system(target.loaded, run_id, folder, sight) as system:
        for item in target.items:
            yield _certify(asked, target, item, system, sight, check, teller)
        system.came_to_its_end()


def _certify(
    asked: Asked, target: Target, item: Item, system: LiveSystem, sight: Sight, check: Callable[[], None], teller: Teller
) -> Certified:
    assert sight.app is not None
    if why := unfounded(item.item.task, sight.app, sight.seen):
        raise ScenarioError(why, where=item.where, hint=_PROJECT)
    teller.begun(item.subject)
    found = explore_item(target.loaded, item.item, system, say=teller.live, check=check, witness=sight)
    folder, again = asked.certificates(), renewal(item.subject, replace(asked, own_folder=False), command="explore")
    path = folder.place(item.subject)
    if found.verdict == "certified":
        made = certificate_of(item.subject, found, sight.app.environment, sight.grounds(target.loaded, item.item), sight.plain)
        if changed := tuple(sight.seen.changed()):
            return Certified(item.subject, found, "refused", path, changed)
        with folder.held():
            done, reasons = write_certificate(folder, made)
        return Certified(item.subject, found, done, path, reasons)
    if found.verdict == "fails" and path.exists():
        with folder.held():
            folder.remove(item.subject)
        return Certified(item.subject, found, "removed", path, remedy=again)
    return Certified(item.subject, found, "none", path, remedy=again)


def certificate_of(subject: Subject, found: Exploration, environment: str, grounds: Grounds, plain: Plain) -> Certificate:
    """Of an exploration that passed. Files outside the project's folder and the run's are told by their last parts."""
    coverage = found.coverage
    return Certificate(
        made_by=f"celery-harness {__version__}",
        rules=RULES,
        subject=subject,
        covers=coverage.covered,
        excludes=tuple(dict.fromkeys(_ELSEWHERE.sub(r"\1", plain(words)) for words in coverage.excluded)),
        worlds=Worlds(number=coverage.worlds, fingerprint=found.proof, kills=coverage.kills),
        environments={environment: Counts(stops=coverage.stops, deliveries=coverage.deliveries)},
        grounds=grounds,
    )


def write_certificate(folder: Folder, made: Certificate) -> tuple[str, tuple[str, ...]]:
    """(what was done, why). One that rests on the same is joined, if it found the same worlds; any other is replaced."""
    try:
        known = folder.read(made.subject)
    except Damaged as damaged:
        folder.write(made)
        return "renewed", (damaged.what,)
    if known is None:
        folder.write(made)
        return "written", ()
    changes = tuple(known.grounds.changes(made.grounds))
    if known.rules != made.rules:
        changes += (other_rules(known),)
    if known.made_by != made.made_by:
        changes += (f"it was made by {known.made_by}",)
    if changes:
        folder.write(made)
        return "renewed", changes
    (environment,) = made.environments
    others = sorted(known.environments.keys() - {environment})
    if known.worlds != made.worlds:
        seen = f"{known.worlds.number:,} worlds on {'; '.join(others or known.environments)}"
        if not others:
            seen = f"{known.worlds.number:,} worlds the last time, with nothing changed since"
        return "refused", (f"{made.worlds.number:,} worlds here, that are not the {seen}",)
    whole = made.model_copy(update={"environments": {**known.environments, **made.environments}})
    changed = folder.write(whole)
    return ("unchanged" if not changed else "joined" if environment not in known.environments else "renewed"), ()


def run_check(asked: Asked) -> int:
    """1 where one is missing, stale, damaged or astray; nothing is explored, and nothing written."""
    teller: Teller = CertifyJson() if asked.as_json else CertifyConsole(asked.root)
    found: list[Checked] = []
    with _folder(asked) as (run_id, folder), InterruptGuard() as guard:
        for checked in check_all(asked, _names(asked), run_id, folder, teller.live):
            guard.check()
            found.append(checked)
            teller.checked(checked)
    if not found:
        raise _nothing(asked)
    teller.summed_up(found)
    return 1 if any(one.state != "holds" for one in found) else 0


def _names(asked: Asked) -> Iterable[str | Subject]:
    return names_of(asked, certificate_settings(asked.root).files)


@contextmanager
def _folder(asked: Asked) -> Iterator[tuple[str, Path]]:
    """For logs and what a run leaves: it goes again, since all that is concluded is told or in the certificates."""
    import shutil

    run_id, folder = new_run_folder(asked.reports)
    try:
        yield run_id, folder
    except Interrupted as exc:
        exc.what = "interrupted: everything was stopped; certificates that were written are whole, no other was touched"
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
