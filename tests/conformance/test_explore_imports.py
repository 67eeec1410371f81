"""What comes back is delivered as by a worker that was started again: it has imported the app anew, and has another name."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import EnvironmentFault
from harness.model.exploration import Message, Outcome
from tests.conformance.explore_support import Mill, mill


def told(one: Mill, message: Message, *, warm: bool = False) -> tuple[str, str, str]:
    """What was drawn at the import, the order of a set, the worker's name."""
    ending = one.deliver(message, warm=warm)
    assert ending.outcome is Outcome.SUCCESS, ending
    drawn, letters, name = ast.literal_eval(ending.result)
    return drawn, letters, name


@pytest.mark.usefixtures("redis_server_program")
def test_what_comes_back_goes_to_another_import_of_the_app_and_to_a_worker_of_another_name(tmp_path: Path) -> None:
    with mill(tmp_path, points="auto") as one:
        message = one.publish("tell_process")
        back = replace(message, redelivered=True)
        first, again = told(one, message), told(one, message)
        returned, living = told(one, back), told(one, back, warm=True)
        assert told(one, message)[:2] == first[:2] == again[:2] and living == returned == (*told(one, back)[:2], returned[2])
        assert first[0] != returned[0] and first[1] != returned[1] and sorted(first[1]) == sorted(returned[1])
        assert len({first[2], again[2], returned[2]}) == 3
        assert one.stops.imports_anew


@pytest.mark.usefixtures("redis_server_program")
def test_an_app_that_cannot_be_imported_twice_is_explored_all_the_same(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    once = "import os\nos.close(os.open(os.path.join(os.environ['MILL_FOLDER'], 'pid'), os.O_CREAT | os.O_EXCL))\n"
    (project / "once.py").write_text(f"{once}from celery import Celery\napp = Celery('once', broker=os.environ['MILL_BROKER'])\n")
    (project / "once.py").open("a").write(
        "app.conf.task_default_queue = 'mill'\n\n\n@app.task(name='mill.nothing')\ndef nothing():\n    pass\n"
    )
    with mill(tmp_path / "run", points="auto", project=project, app="once:app") as one:
        message = one.publish("nothing")
        assert [one.deliver(replace(message, redelivered=back)).outcome for back in (False, True)] == [Outcome.SUCCESS] * 2
        assert not one.stops.imports_anew


SHOP = """
import os
from celery import Celery
app = Celery("shop", broker=os.environ["MILL_BROKER"])
app.conf.task_default_queue = "mill"
seen = [os.environ.get("SHOP", "closed")]
def create():
    seen.append(open(os.environ["MILL_FOLDER"] + "/late", "w"))
    seen[-1].write("when it ends")
    print("said by create")
    return [seen[0], os.getsid(0) == os.getpid()]
def die():
    os._exit(7)
@app.task(name="mill.look")
def look():
    return seen
"""


@pytest.mark.usefixtures("redis_server_program")
def test_a_function_that_is_called_before_the_app_is_imported_leaves_nothing_in_its_process(tmp_path: Path) -> None:
    project, log = tmp_path / "project", tmp_path / "setup.log"
    project.mkdir()
    (project / "shop.py").write_text(SHOP)
    with mill(tmp_path / "run", points="auto", project=project, app="shop:app", start=False) as one:
        environment = {**one.launch().environment, "SHOP": "open"}
        assert one.stops.call({"call": "shop:create"}, environment, log)["value"] == ["open", True]
        assert log.read_text() == "said by create\n" and one.files() == {"late": "when it ends"}
        with pytest.raises(EnvironmentFault, match=r"`call` for your app ended without an answer \(status 7\)"):
            one.stops.call({"call": "shop:die"}, environment, log)
        one.stops.start()
        message = one.publish("look")
        assert [one.deliver(replace(message, redelivered=back)).result for back in (False, True)] == ["['closed']"] * 2
