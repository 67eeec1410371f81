"""The data of the page: what the result says, in the shape that the page draws. Pure; no markup is made here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from harness.model.finding import CheckResult, Finding
from harness.model.quantities import format_duration
from harness.model.result import RunResult, TaskColumns
from harness.model.verdict import Verdict
from harness.reporting.captions import captions, fault_span
from harness.reporting.story_view import fold_waits, guilty_kinds, lanes_of, marks_of
from harness.reporting.used import latency_table, use_captions, uses
from harness.reporting.words import (
    cell_text,
    doubts,
    exit_meaning,
    fates_text,
    headline,
    lead_finding,
    number,
    opened,
    place,
    plural,
    sentence,
    shortened,
    state_word,
    tally,
    visible,
)

__all__ = ["page_data"]

_STORIES = 12


def page_data(result: RunResult) -> dict[str, Any]:
    """Everything that the page shows, as plain JSON values."""
    tasks = result.tasks if result.tasks is not None and result.tasks.id else None
    page = {
        "run": _run(result),
        "verdict": _verdict(result),
        "checks": [_check(c) for c in result.checks],
        "faults": _faults(result),
        "stories": _stories(result),
        "series": result.series.model_dump(mode="json") if result.series and result.series.finished else None,
        "captions": captions(result) | use_captions(result),
        "uses": uses(result),
        "measures": latency_table(result),
        "lanes": [lane.model_dump(mode="json") for lane in result.lanes],
        "tasks": _columns(tasks) if tasks else None,
        "environment": _environment(result),
    }
    return visible(page)


def _run(result: RunResult) -> dict[str, Any]:
    bitten = sum(f.bit is True for f in result.faults)
    share = "all" if bitten == len(result.faults) > 1 else "" if bitten == len(result.faults) else number(bitten) if bitten else "none"
    faults = f"{plural(len(result.faults), 'fault')}, {share} bit".replace(",  bit", " that bit") if result.faults else "no faults"
    load = f"{plural(result.calls, 'call')} in {format_duration(result.load_seconds)}" if result.calls else "no load"
    broker = result.environment.get("Broker", "").split(",")[0]
    about = result.description or result.scenario
    return {
        "id": result.run_id,
        "scenario": result.scenario,
        "promise": opened(about),
        "verdict": _look(result),
        "word": state_word(result),
        "facts": [text for text in (cell_text(result), load, broker, faults, _date(result.started), f"run {result.run_id}") if text],
    }


def _look(result: RunResult) -> str:
    """The shape that stands for the run's verdict."""
    return result.verdict.value


def _verdict(result: RunResult) -> dict[str, Any]:
    finding = lead_finding(result)
    failed = result.verdict is Verdict.FAIL
    reasons = doubts(result) if result.verdict is not Verdict.PASS else []
    others = [f for c in result.checks if c.verdict is Verdict.FAIL for f in c.findings if f is not finding]
    return {
        "headline": headline(result),
        "sentence": "" if len(reasons) > 1 and result.verdict is Verdict.INCONCLUSIVE else sentence(result),
        "marks": _marks(finding),
        "where": {"text": place(finding), "task": finding.task} if finding and place(finding) else None,
        "fix": opened(finding.fix) if finding else "",
        "advice": [] if failed else [c.advice for c in result.checks if c.verdict is Verdict.INCONCLUSIVE and c.advice],
        "doubts": reasons,
        "reproduce": result.reproduce[0].model_dump() if result.reproduce else None,
        "figures": _figures(result, finding if failed else None),
        "others": [{"word": f.word.value, "headline": f.headline, "where": place(f)} for f in others],
        "tally": tally(result.checks),
    }


def _marks(finding: Finding | None) -> list[dict[str, str]]:
    if finding is None or finding.story is None:
        return []
    return [{"icon": m.icon, "title": shortened(m.title, 70), "note": shortened(m.note, 80)} for m in marks_of(finding, finding.story)]


def _figures(result: RunResult, finding: Finding | None) -> list[dict[str, Any]]:
    """Three figures, the bad one first."""
    figures = []
    hit = len(finding.calls or finding.task_ids) if finding else 0
    if finding and hit:
        others = max(0, result.calls - hit)
        text = f"{finding.word.value}; {'the other ' + number(others) + ' show nothing of it' if others else 'all of them'}"
        figures.append({"value": number(hit), "unit": f"{'call' if hit == 1 else 'calls'} concerned", "text": text, "bad": True})
    if result.fates:
        lost = result.fates.get("lost", 0)
        figures.append({"value": number(lost), "unit": "lost", "text": fates_text(result), "bad": lost > 0})
    slow = max(((f.recovery, f.name) for f in result.faults if f.recovery is not None), default=None)
    if slow:
        value, _, unit = format_duration(slow[0]).partition(" ")
        figures.append({"value": f"{value} {unit}", "unit": "to recover", "text": f"at the slowest, after {slow[1]}", "bad": False})
    elif result.tasks and (ended := sorted(v for v in result.tasks.latency if v is not None)):
        worst = ended[min(len(ended) - 1, int(0.95 * len(ended)))]
        figures.append({"value": format_duration(worst), "unit": "p95 latency", "text": "from the moment a task was due", "bad": False})
    if result.checks and len(figures) < 3:
        passed = sum(c.verdict is Verdict.PASS for c in result.checks)
        rest = "" if passed == len(result.checks) else tally(result.checks)
        figures.append(
            {
                "value": f"{passed} of {len(result.checks)}",
                "unit": "checks passed",
                "text": rest,
                "bad": False,
            }
        )
    parts = ", ".join(f"{t.name} {format_duration(t.seconds)}" for t in result.timings)
    figures.append({"value": format_duration(result.took), "unit": "in all", "text": parts, "bad": False})
    return figures[:3]


def _check(check: CheckResult) -> dict[str, Any]:
    words = list(dict.fromkeys(f.word.value for f in check.findings))
    where = next((place(f) for f in check.findings if place(f)), "")
    return {
        "name": check.name,
        "question": check.question,
        "verdict": check.verdict.value,
        "words": words,
        "summary": check.summary,
        "advice": check.advice,
        "where": where,
        "by": [[verdict.value if verdict else "none", text] for verdict, text in check.by_fault],
    }


def _faults(result: RunResult) -> list[dict[str, Any]]:
    out = []
    for fault in result.faults:
        span = fault_span(fault)
        out.append(
            {
                "name": fault.name,
                "planned": fault.planned,
                "target": fault.target,
                "bit": fault.bit,
                "evidence": fault.evidence,
                "begun": span[0] if span else None,
                "ended": span[1] if span else None,
                "recovery": fault.recovery,
                "healed": fault.healed,
                "where": place(fault),
                "note": fault.note,
            }
        )
    return out


def _stories(result: RunResult) -> list[dict[str, Any]]:
    told = [f for f in result.findings if f.story is not None]
    lead = lead_finding(result)
    told.sort(key=lambda f: f is not lead)
    return [_story(result, f) for f in told[:_STORIES]]


def _story(result: RunResult, finding: Finding) -> dict[str, Any]:
    story = finding.story
    assert story is not None
    red = guilty_kinds(finding)
    steps = [s.model_dump() | {"bad": s.kind in red} for s in fold_waits(story.steps)]
    struck = next((s for s in story.steps if s.kind == "crash" and s.line is not None and s.line == story.line), None)
    return {
        "title": story.title,
        "headline": finding.headline,
        "sentence": finding.sentence,
        "word": finding.word.value,
        "task": story.task,
        "task_id": story.task_id,
        "lanes": [{"name": lane.name, "kind": lane.kind} for lane in lanes_of(story, [lane.name for lane in result.lanes])],
        "steps": steps,
        "world": [w.model_dump() for w in story.world],
        "file": story.file,
        "line": story.line,
        "hint": "killed here" if struck else "",
        "source": [[line.number, line.code] for line in story.source],
        "fix": opened(finding.fix),
        "cause": finding.cause,
    }


def _columns(tasks: TaskColumns) -> dict[str, Any]:
    """The columns with repeated texts replaced by indices: about 105 bytes a task."""
    names: dict[str, dict[str, int]] = {key: {} for key in ("task", "fate", "finding", "error", "worker")}

    def code(key: str, text: str) -> int:
        return names[key].setdefault(text, len(names[key]))

    rows = {
        "id": tasks.id,
        "label": [shortened(text, 80) for text in tasks.label],
        "call": tasks.call,
        "due": [round(v, 3) for v in tasks.due],
        "latency": [None if v is None else round(v, 3) for v in tasks.latency],
        **{key: [code(key, text) for text in getattr(tasks, key)] for key in ("task", "fate", "finding", "error")},
        "attempts": [
            [
                [why, round(start, 3), None if end is None else round(end, 3), code("worker", by), how]
                for why, start, end, by, how in attempts
            ]
            for attempts in tasks.attempts
        ],
    }
    return rows | {"names": {key: list(values) for key, values in names.items()}}


def _environment(result: RunResult) -> dict[str, Any]:
    rows = [["Seed", str(result.seed)], ["Runtime", result.runtime], *([k, v] for k, v in result.environment.items())]
    if result.overrides:
        rows.append(["Overridden", ", ".join(f"{name}={value}" for name, value in result.overrides.items())])
    rows.append(["Exit code", f"{result.exit_code}, {exit_meaning(result.exit_code)}"])
    took = ", ".join(f"{t.name} {format_duration(t.seconds)}" for t in result.timings)
    rows.append(["Took", format_duration(result.took) + (f": {took}" if took else "")])
    if result.publishes:
        rows.append(["Publishes", ", ".join(f"{number(n)} {name}" for name, n in result.publishes.items())])
    if result.ignored:
        rows.append(["Not compared", ", ".join(result.ignored) + ": they differ between two clean runs"])
    return {
        "rows": rows,
        "again": [r.model_dump() for r in result.reproduce],
        "plan": result.plan,
        "file": result.file,
        "logs": [log.model_dump() for log in result.logs],
        "undeclared": list(result.undeclared),
    }


def _date(started: str) -> str:
    try:
        moment = datetime.fromisoformat(started.replace("Z", "+00:00"))
    except ValueError:
        return started
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
