from __future__ import annotations

from harness.checks import CHECKS
from harness.checks.story import build_story
from harness.model.finding import Step
from tests.unit.checks.histories import Build


def test_a_crash_a_wait_and_the_second_delivery_in_order() -> None:
    b = Build(config={"broker_transport_options": {"visibility_timeout": 6}})
    b.fault(begun=5.0)
    message = b.call(4.9)
    b.killed(message, 4.95, last_line="/app/orders.py:41", died=5.0)
    b.run(message, 11.3, pid=2)
    charge = Step(at=4.97, kind="effect", lane="card_api", text="charged 59.90")
    story = build_story(b.recorded(source=lambda path: ["x"] * 50), "t1", title="twice", effects=[charge])
    assert story is not None
    assert [(s.kind, s.lane, s.delivery) for s in story.steps] == [
        ("publish", "caller", 0),
        ("deliver", "broker", 1),
        ("start", "w-1", 1),
        ("effect", "card_api", 0),
        ("crash", "w-1", 1),
        ("wait", "broker", 0),
        ("deliver", "broker", 2),
        ("start", "w-2", 2),
        ("end", "w-2", 2),
        ("ack", "w-2", 2),
    ]
    wait = story.steps[5]
    assert (wait.text, wait.note) == ("held 6.3 s", "visibility timeout 6 s")
    assert (story.steps[4].line, story.file, story.line) == (41, "/app/orders.py", 41)
    assert "worker.kill" in story.steps[4].text


def test_retries_say_when_they_are_due() -> None:
    b = Build()
    b.run(b.retry(b.call(), 4, file="/a.py", line=3), 5)
    story = build_story(b.recorded(), "t1", title="x")
    assert story is not None
    (retry,) = [s for s in story.steps if s.kind == "retry"]
    assert (retry.lane, retry.note) == ("w-1", "due in 4.0 s")
    assert next(s.note for s in story.steps if s.kind == "end") == "ConnectionError a.py:3"
    assert (story.file, story.line, story.source) == ("/a.py", 3, ())


def test_nothing_recorded_no_story_and_what_is_held_is_said() -> None:
    b = Build()
    assert build_story(b.recorded(), "t1", title="x") is None
    message = b.call()
    b.held(message, timeout="visibility_timeout 3600 s")
    story = build_story(b.recorded(), "t1", title="x")
    assert story is not None and (story.steps[-1].kind, story.steps[-1].note) == ("held", "visibility_timeout 3600 s")


def test_the_table_of_checks_is_whole() -> None:
    names = ["no_loss", "idempotent", "retry_policy", "no_storm", "drains", "no_duplicates", "recovery", "state_agrees", "thresholds"]
    assert list(CHECKS) == names
    for name, check in CHECKS.items():
        assert check.name == name and check.question and check.summary
        assert check.Parameters.model_json_schema()
