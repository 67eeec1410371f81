from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from harness.model.finding import Finding, Step, Story, Word
from harness.model.result import FaultResult, RunResult, Series
from harness.model.verdict import Verdict
from harness.reporting.captions import captions
from harness.reporting.html import page_text
from harness.reporting.page import page_data
from harness.reporting.story_view import fold_waits, lanes_of, marks_of
from harness.reporting.words import headline, opened, sentence
from tests.unit.reporting import sample

SCRIPT = re.compile(r"<script>(.*?)</script>", re.S)
STYLE = re.compile(r"<style>(.*?)</style>", re.S)
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.S)


def found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    assert match is not None
    return match[1]


@pytest.mark.parametrize("name", sorted(sample.ALL))
def test_the_policy_allows_this_style_and_this_script_only(name: str) -> None:
    page = page_text(sample.ALL[name]())
    policy = found(re.compile(r'Content-Security-Policy" content="([^"]*)"'), page).replace("&#39;", "'")
    hashes = ["sha256-" + base64.b64encode(hashlib.sha256(found(p, page).encode()).digest()).decode() for p in (STYLE, SCRIPT)]
    assert policy == f"default-src 'none'; style-src '{hashes[0]}'; script-src '{hashes[1]}'; base-uri 'none'; form-action 'none'"


@pytest.mark.parametrize("name", sorted(sample.ALL))
def test_the_data_cannot_end_its_element(name: str) -> None:
    page = page_text(sample.ALL[name]())
    data = found(DATA, page)
    assert "<" not in data and data.isascii()
    assert json.loads(data) == json.loads(json.dumps(page_data(sample.ALL[name]())))
    assert (
        page.count("<script") == 2
        and "<img" not in page
        and "http://" not in page.replace("http://www.w3.org/2000/svg", "")
        and "https://" not in page
    )


def test_the_script_never_makes_markup_from_text() -> None:
    script = found(SCRIPT, page_text(sample.passing()))
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "setAttribute('style'",
        "style:",
    ):
        assert forbidden not in script
    assert " style=" not in page_text(sample.failing())


def test_ten_thousand_tasks_stay_small() -> None:
    assert len(page_text(sample.large()).encode()) < 1_500_000


def test_columns_are_as_long_as_the_tasks() -> None:
    columns = page_data(sample.failing())["tasks"]
    assert {len(columns[key]) for key in columns if key != "names"} == {1500}
    assert columns["names"]["worker"] == ["pay-1", "pay-2"]


def test_a_page_without_tasks_says_nothing_about_tasks() -> None:
    page = page_data(sample.tiny(0))
    assert page["tasks"] is None and page["verdict"]["headline"] == "All 6 checks passed."


def test_the_bad_figure_comes_first() -> None:
    figures = page_data(sample.failing())["verdict"]["figures"]
    assert [f["value"] + " " + f["unit"] for f in figures] == ["2 calls concerned", "0 lost", "6.2 s to recover"]
    assert [f["bad"] for f in figures] == [True, False, False]


def test_marks_tell_the_story_in_five() -> None:
    finding = sample.failing().findings[0]
    assert finding.story is not None
    marks = marks_of(finding, finding.story)
    assert [m.icon for m in marks] == ["coin", "boom", "wait", "again", "bad"]
    assert [(m.title, m.note) for m in marks[1:4]] == [
        ("pay-1 killed", "35 ms later"),
        ("6.3 s", "Redis holds the message until its visibility timeout, 6 s, is over."),
        ("Delivered again", "to pay-2"),
    ]


def test_a_lost_task_is_told_too() -> None:
    finding = told(
        Word.LOST,
        Step(at=1.0, kind="publish", lane="caller", to="broker", text="the task is published"),
        Step(at=1.1, kind="deliver", lane="broker", to="pay-1", text="delivered", delivery=1),
        Step(at=1.2, kind="crash", lane="pay-1", text="killed while running", delivery=1),
        Step(at=9.0, kind="lost", lane="broker", text="gone", note="while running"),
    )
    assert finding.story is not None
    assert [m.icon for m in marks_of(finding, finding.story)] == ["send", "boom", "wait", "bad"]


def test_a_story_without_a_guilty_step_ends_with_what_the_world_says() -> None:
    finding = sample.failing().findings[0]
    assert finding.story is not None
    quiet = finding.story.model_copy(update={"steps": tuple(s for s in finding.story.steps if not s.kind.startswith("effect"))})
    marks = marks_of(finding, quiet)
    assert [m.icon for m in marks] == ["send", "boom", "wait", "again", "bad"]
    assert (marks[-1].title, marks[-1].note) == ("2 instead of 1", "charges")


def test_only_a_broken_promise_is_red() -> None:
    steps = [s for s in page_data(sample.failing())["stories"][0]["steps"] if s["bad"]]
    assert [s["kind"] for s in steps] == ["effect_again"]
    held = Step(at=9.0, kind="held", lane="broker", text="still held")
    for word, red in ((Word.STRANDED, True), (Word.DUPLICATED, False)):
        result = failing_with(told(word, Step(at=1.0, kind="publish", lane="caller", to="broker", text="published"), held))
        assert [s["bad"] for s in page_data(result)["stories"][0]["steps"]] == [False, red]


def test_lanes_stand_in_a_fixed_order() -> None:
    story = sample.failing().findings[0].story
    assert story is not None
    assert [(lane.name, lane.kind) for lane in lanes_of(story, ["pay-1"])] == [
        ("caller", "caller"),
        ("broker", "broker"),
        ("pay-1", "worker"),
        ("pay-2", "worker"),
        ("card_api", "store"),
        ("db", "store"),
    ]


def test_long_silences_are_folded_once() -> None:
    steps = (
        Step(at=0.0, kind="start", lane="w", text="a"),
        Step(at=5.0, kind="end", lane="w", text="b"),
        Step(at=5.5, kind="ack", lane="w", text="c"),
    )
    assert [(s.kind, s.text) for s in fold_waits(steps)] == [("start", "a"), ("wait", "5.0 s pass"), ("end", "b"), ("ack", "c")]


def test_captions_are_computed_from_the_series() -> None:
    said = captions(sample.failing())
    assert said["dots"] == "1,500 tasks. The slowest took 6.5 s, due at 4.9 s."
    assert said["latency"].startswith("p95 at worst 6.4 s, for tasks due at 4 s; 1")
    assert said["rate"].startswith("Nothing finished for 4.0 s from 13 s on.")
    assert said["queue"] == "221 messages waited at most, at 17 s. Back to normal 6.2 s after net.partition."
    assert said["again"] == "30 retries, 4 redeliveries, 50 duplicates."
    assert said["workers"] == "pay-1 was down; pay-1, pay-2 was cut off."


def test_captions_say_when_held_messages_hide_behind_an_empty_queue() -> None:
    said = captions(with_series(ready=(0.0, 0.0, 0.0), unacked=(1.0, 4.0, 4.0), oldest=(0.1, 3.0, 6.0)))
    assert said["oldest"] == "At 2 s the queue looks empty; 4 held messages grew 6.0 s old."
    assert said["queue"] == "Nothing ever waited in the queue."


def test_captions_of_nothing() -> None:
    said = captions(with_series())
    assert (said["rate"], said["again"], said["latency"]) == (
        "Nothing finished.",
        "Nothing was started a second time.",
        "No task ended, so there is no latency.",
    )
    assert captions(sample.environment()) == {}


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (sample.failing(), "Two orders were charged twice."),
        (sample.passing(), "All 6 checks passed."),
        (sample.inconclusive(), "message.duplicate did not bite, so this is not a pass."),
        (sample.environment(), "The environment failed, so nothing was judged."),
        (sample.interrupted(), "Interrupted before a verdict."),
        (sample.passing(checks=(), verdict=Verdict.INCONCLUSIVE), "No check was judged."),
        (
            sample.passing(faults=(), verdict=Verdict.INCONCLUSIVE, checks=sample.failing().checks[4:5]),
            "state_agrees could not be decided.",
        ),
    ],
)
def test_headlines(result: RunResult, line: str) -> None:
    assert headline(result) == line


def test_a_pass_says_what_it_rests_on() -> None:
    assert sentence(sample.passing()) == "1,500 calls in 30.0 s of load; all 3 faults bit; slowest recovery 6.2 s."


def test_a_fault_that_may_not_have_bitten_is_a_doubt() -> None:
    fault = FaultResult(index=0, name="net.latency", planned="at 1 s", bit=None, evidence="no sample")
    result = sample.passing(verdict=Verdict.INCONCLUSIVE, faults=(fault,))
    assert page_data(result)["verdict"]["doubts"] == ["net.latency may not have bitten: no sample"]


@pytest.mark.parametrize(
    ("text", "capital"), [("send a key", "Send a key"), ("no_loss: 3", "no_loss: 3"), ("worker.kill hit", "worker.kill hit"), ("", "")]
)
def test_names_keep_their_spelling_at_the_start(text: str, capital: str) -> None:
    assert opened(text) == capital


def told(word: Word, *steps: Step) -> Finding:
    return Finding(word=word, headline="One task.", story=Story(title="t", task_id="x", task="t", steps=steps))


def failing_with(finding: Finding) -> RunResult:
    result = sample.failing()
    return result.model_copy(update={"checks": (result.checks[1].model_copy(update={"findings": (finding,)}),)})


def with_series(**columns: Any) -> RunResult:
    zeros, none = (0.0, 0.0, 0.0), (None, None, None)
    base: dict[str, Any] = {"finished": zeros, "published": zeros, "ready": zeros, "unacked": zeros, "oldest": zeros}
    base |= {"p50": none, "p95": none, "p99": none, "retried": (0, 0, 0), "redelivered": (0, 0, 0), "duplicated": (0, 0, 0)}
    return sample.passing(series=Series(start=0.0, step=1.0, **(base | columns)), faults=())
