"""Which findings are told in full, which only named, and that nothing is told twice."""

from __future__ import annotations

from typing import Any

from harness.model.finding import Finding, SourceLine, Step, Story, Word
from harness.reporting.findings_text import told_lines
from harness.reporting.ink import WIDTH


def story(number: int, **changes: Any) -> Story:
    steps = (
        Step(at=0.1, kind="deliver", lane="broker", to="pay-1", text="delivered"),
        Step(at=0.2, kind="end", lane="pay-1", text="failed"),
    )
    source = (SourceLine(number=7, code="    raise Away"),)
    facts = {"title": f"story {number}", "task_id": f"t{number}", "task": "shop.pay", "steps": steps, "source": source}
    return Story(**{**facts, "file": "shop.py", "line": 7, **changes})


def finding(number: int, cause: str = "spacing", **changes: Any) -> Finding:
    facts = {"word": Word.RETRY, "headline": f"Headline {number}.", "cause": cause, "task": "shop.pay", "calls": (number,), "fix": "Wait."}
    return Finding(**{**facts, "file": "shop.py", "line": number, "story": story(number), **changes})


def text(*findings: Finding) -> str:
    return "\n".join("".join(span for _, span in line).rstrip() for line in told_lines(findings, ["pay-1"]))


def test_the_second_of_one_kind_is_named_below_the_first() -> None:
    said = text(finding(1), finding(2))
    assert said.count("raise Away") == said.count("Fix  Wait.") == 1
    assert said.endswith("\n\n  and 1 more of this kind: Headline 2. shop.py:2")


def test_of_many_of_one_kind_a_few_are_named() -> None:
    said = text(*(finding(number) for number in range(1, 7)))
    assert said.endswith(
        "\n\n  and 5 more of this kind:\n  - Headline 2. shop.py:2\n  - Headline 3. shop.py:3\n  - Headline 4. shop.py:4"
        "\n  - 2 further ones, in the report"
    )


def test_another_word_cause_or_task_is_another_kind() -> None:
    others = (finding(2, cause="count"), finding(3, task="shop.mail"))
    said = text(finding(1), *others)
    assert said.count("RETRY  Headline") == 3 and "of this kind" not in said


def test_without_a_cause_nothing_is_of_one_kind() -> None:
    assert text(finding(1, cause=""), finding(2, cause="")).count("RETRY  Headline") == 2


def test_a_story_that_was_told_is_not_told_again() -> None:
    same = finding(2, cause="exception", calls=(5,), story=story(1, title="as another finding calls it"))
    said = text(finding(1), same)
    assert said.count("raise Away") == said.count("Fix  Wait.") == 1
    assert said.endswith("RETRY  Headline 2.\n  The story is the one above, of call 5.")


def test_another_story_and_another_fix_are_told() -> None:
    said = text(finding(1), finding(2, cause="exception", fix="Stop."))
    assert said.count("raise Away") == 2 and "Fix  Wait." in said and "Fix  Stop." in said


def test_kinds_beyond_those_told_are_counted_with_all_their_findings() -> None:
    said = text(*(finding(n, cause=f"cause {n}") for n in range(1, 5)), finding(5, cause="cause 4"), finding(6, cause="cause 4"))
    assert said.count("RETRY  Headline") == 3
    assert said.endswith("\n\n  and 3 more findings, in the report")


def test_findings_with_a_story_come_first_and_lines_fit() -> None:
    said = text(finding(1, story=None, cause="count"), finding(2, headline="Two " + "very " * 40 + "late."), finding(3, headline="x " * 90))
    assert said.index("Two very") < said.index("Headline 1.")
    assert max(map(len, said.splitlines())) <= WIDTH


def test_nothing_found_is_nothing_said() -> None:
    assert told_lines((), []) == []
