"""What a gate has to say about lines of the repository, each thing once: SARIF, annotations and Code Quality draw from it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from harness.model.finding import Finding
from harness.model.gate import Comparison, GateCell, GateResult
from harness.model.verdict import Verdict
from harness.reporting.gate_places import Place, Places
from harness.reporting.gate_words import REFUSED_EXIT
from harness.reporting.words import plural, printable, shortened

__all__ = ["CERTIFICATE", "ENVIRONMENT", "FAILED", "REFUSED", "REGRESSION", "UNDECIDED", "Level", "Remark", "remarks"]

#: What remarks are called that are not a finding's word.
FAILED, UNDECIDED, ENVIRONMENT, REFUSED, REGRESSION = "FAIL", "INCONCLUSIVE", "ENVIRONMENT", "REFUSED", "REGRESSION"
CERTIFICATE = "CERTIFICATE"

Level = Literal["error", "warning"]

_LONGEST = 2000
_CELLS = 8


@dataclass(frozen=True)
class Remark:
    """One thing to say. All cells that say the same of the same line share it."""

    rule: str  #: a finding's word, or one of those above
    level: Level  #: error: the gate fails by it (or its environment did); warning: it could not be decided
    headline: str
    details: tuple[str, ...]  #: sentences for below the headline: how it came about, what helps, how to repeat it
    place: Place | None  #: None: nowhere in the repository
    identity: str  #: the same in every run and after lines moved: rule, task, cause and file
    cells: tuple[str, ...]  #: titles

    @property
    def where(self) -> str:
        """``in 3 cells: a, b, c``, as a sentence."""
        shown = ", ".join(self.cells[:_CELLS]) + (f" and {len(self.cells) - _CELLS} more" if len(self.cells) > _CELLS else "")
        return f"Seen in {shown}." if len(self.cells) == 1 else f"Seen in {plural(len(self.cells), 'cell')}: {shown}."

    @property
    def text(self) -> str:
        """Everything, as paragraphs; the first line is the headline."""
        return "\n".join((self.headline, *self.details, self.where))


def remarks(result: GateResult, places: Places) -> list[Remark]:
    """Errors before warnings, otherwise in the order of the cells; cells that passed and cells left out say nothing here."""
    found = [remark for cell in result.cells for remark in _of_cell(cell, places)]
    return sorted(_numbered(_merged(found)), key=lambda r: r.level != "error")


def _of_cell(cell: GateCell, places: Places) -> Iterable[Remark]:
    scenario = places.find(cell.file, cell.line)
    if cell.exit_code == REFUSED_EXIT:
        yield _about(cell, REFUSED, "error", "the scenario, or what it names in the app, is wrong", scenario)
    elif cell.verdict is Verdict.ENVIRONMENT:
        yield _about(cell, ENVIRONMENT, "error", "the environment failed, so nothing was judged", scenario)
    elif cell.verdict is Verdict.INCONCLUSIVE:
        yield _about(cell, UNDECIDED, "warning", "too little evidence for a verdict", scenario)
    elif cell.verdict is Verdict.FAIL and cell.kind == "certificate":
        yield _about(cell, CERTIFICATE, "error", "it does not hold", scenario)
    elif cell.verdict is Verdict.FAIL and not cell.findings:
        yield _about(cell, FAILED, "error", "a check failed", scenario)
    if cell.verdict is not Verdict.PASS:
        yield from (_of_finding(cell, finding, places) for finding in cell.findings)
    for comparison in cell.comparisons:
        if comparison.outcome in ("regression", "suspected"):
            yield _of_comparison(cell, comparison, scenario)


def _of_finding(cell: GateCell, finding: Finding, places: Places) -> Remark:
    place = places.find(finding.file, finding.line) or places.find(cell.file)
    details = (finding.sentence, f"Fix: {finding.fix}" if finding.fix else "", _replay(cell))
    return Remark(
        rule=finding.word.value,
        level="error" if cell.verdict is Verdict.FAIL else "warning",
        headline=_flat(finding.headline) or finding.word.value,
        details=_told(details),
        place=place,
        identity=_identity(finding.word.value, finding.task, finding.cause, place.path if place else cell.key),
        cells=(_flat(cell.title),),
    )


def _about(cell: GateCell, rule: str, level: Level, what: str, place: Place | None) -> Remark:
    return Remark(
        rule=rule,
        level=level,
        headline=_flat(f"{cell.title}: {what}."),
        details=_told((cell.summary, _replay(cell))),
        place=place,
        identity=_identity(rule, cell.key),
        cells=(_flat(cell.title),),
    )


def _of_comparison(cell: GateCell, comparison: Comparison, place: Place | None) -> Remark:
    certain = comparison.outcome == "regression"
    what = f"{comparison.measure} is worse than the baseline" if certain else f"{comparison.measure} may be worse than the baseline"
    return Remark(
        rule=REGRESSION,
        level="error" if certain else "warning",
        headline=_flat(f"{cell.title}: {what}."),
        details=_told((comparison.why, _replay(cell))),
        place=place,
        identity=_identity(REGRESSION, cell.key, comparison.measure),
        cells=(_flat(cell.title),),
    )


def _replay(cell: GateCell) -> str:
    return f"Repeat: {cell.replay}" if cell.replay else ""


def _told(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(flat for flat in map(_flat, parts) if flat)


def _flat(text: str) -> str:
    """One line without controls, and not endless: these texts go into other programs' logs and lists."""
    return shortened(" ".join(printable(text).split()), _LONGEST)


def _identity(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def _merged(found: Iterable[Remark]) -> list[Remark]:
    """One remark for all cells that say the same of the same line; the first one's words stay, the gravest level wins."""
    merged: dict[tuple[str, Place | None], Remark] = {}
    for remark in found:
        key = (remark.identity, remark.place)
        known = merged.get(key)
        if known is None:
            merged[key] = remark
            continue
        lead = known if known.level == "error" or remark.level == "warning" else remark
        merged[key] = replace(lead, cells=tuple(dict.fromkeys((*known.cells, *remark.cells))))
    return list(merged.values())


def _numbered(found: list[Remark]) -> list[Remark]:
    """Several lines of one file with the same identity are told apart by their order in the file, which stays when lines move."""
    seen: Counter[str] = Counter()
    numbers = {}
    for index, remark in sorted(enumerate(found), key=lambda pair: pair[1].place.line if pair[1].place else 0):
        seen[remark.identity] += 1
        numbers[index] = seen[remark.identity]
    return [replace(remark, identity=f"{remark.identity}:{numbers[index]}") for index, remark in enumerate(found)]
