"""A step that cannot be is refused before anything is done, and the app is asked once for each thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harness.errors import UsageError
from harness.model.scenario import LoadItem
from harness.run.questions import Questions

TASKS = ("shop.book", "shop.mail")


def book(number: Any, cents: Any, *, currency: str = "EUR") -> None:
    """What the tasks of this app take."""


class App:
    """Answers as the `check` program does; ``asked``: every question."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.imports = True

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(question)
        if not self.imports:
            return {"ok": False, "error": {"what": "it does not import any more"}}
        calls = [self._wrong(call) for call in question.get("calls", ())]
        points = [
            None if line == 41 else [f"line {line} of {file} holds no code", "nearest: 41"] for file, line in question.get("points", ())
        ]
        return {"ok": True, "calls": calls, "points": points}

    def _wrong(self, call: Mapping[str, Any]) -> str:
        try:
            book(*[None] * call["before"], *call["args"], **call["kwargs"])
        except TypeError as exc:
            return str(exc)
        return ""

    def questions(self) -> Questions:
        made = Questions(self.ask, "shop:app", TASKS)
        made.prepare()
        return made


def item(**keys: Any) -> LoadItem:
    return LoadItem.model_validate({"count": 1, **keys})


def test_most_calls_need_no_further_question() -> None:
    app = App()
    questions = app.questions()
    for cents in range(50):
        questions.refuse_call(item(send="shop.book", args=[1, cents]))
    questions.refuse_call(item(send="shop.mail", args="shop:mails"))
    questions.refuse_call(item(chain=[{"send": "shop.book", "args": [1, 2]}, {"send": "shop.mail", "args": [5]}]))
    assert len(app.asked) == 1
    assert app.asked[0]["app"] == "shop:app"


def test_names_of_arguments_are_asked_for_once_whatever_their_values() -> None:
    app = App()
    questions = app.questions()
    for currency in ("EUR", "CHF"):
        questions.refuse_call(item(send="shop.book", args=[1], kwargs={"cents": 5, "currency": currency}))
    assert len(app.asked) == 2


@pytest.mark.parametrize(
    ("keys", "says", "hint"),
    [
        ({"send": "shop.book", "args": [1]}, r"shop.book cannot be called so: book\(\) missing 1 required .* 'cents'", "number and cents"),
        ({"send": "shop.book", "args": [1, 2, 3, 4, 5, 6, 7, 8]}, r"takes 2 positional arguments but 8 were given", "number and cents"),
        (
            {"send": "shop.book", "args": [1], "kwargs": {"cent": 9}},
            r"unexpected keyword argument 'cent'.*[Dd]id you mean .cents.\?",
            "cents",
        ),
        (
            {"chain": [{"send": "shop.book", "args": [1, 2]}, {"send": "shop.mail", "args": [3, 4]}]},
            "shop.mail cannot be called so",
            "cents",
        ),
        ({"chord": {"header": [{"send": "shop.book", "args": [1, 2]}], "body": {"send": "shop.mail"}}}, "missing 1 required", "cents"),
        ({"group": [{"send": "shop.book"}]}, "missing 2 required", "cents"),
        ({"send": "shop.bok", "args": [1, 2]}, r"task shop.bok is not registered in shop:app; did you mean `shop.book`\?", "shop.mail"),
    ],
)
def test_a_call_that_celery_would_refuse_is_a_usage_error(keys: dict[str, Any], says: str, hint: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        App().questions().refuse_call(item(**keys))
    assert hint in caught.value.hint


def test_a_line_that_no_task_reaches_is_a_usage_error_with_the_nearest_one_and_asked_for_once() -> None:
    app = App()
    questions = app.questions()
    for _ in range(3):
        questions.refuse_trigger("shop.book", "shop.py:41#2")
        with pytest.raises(UsageError, match=r"line 40 of shop.py holds no code") as caught:
            questions.refuse_trigger("shop.*", "shop.py:40")
        assert caught.value.hint == "nearest: 41"
    assert [question["points"] for question in app.asked[1:]] == [[["shop.py", 41]], [["shop.py", 40]]]


def test_named_points_need_no_question_and_an_unknown_task_none_either() -> None:
    app = App()
    questions = app.questions()
    questions.refuse_trigger("shop.book", "before_ack")
    with pytest.raises(UsageError, match="not registered"):
        questions.refuse_trigger("shop.nothing", "shop.py:41")
    assert len(app.asked) == 1


def test_an_app_that_says_nothing_any_more_refuses_nothing() -> None:
    app = App()
    questions = app.questions()
    app.imports = False
    questions.refuse_call(item(send="shop.book", kwargs={"x": 1}))
    questions.refuse_trigger("shop.book", "shop.py:40")
