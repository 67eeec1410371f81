"""Arguments that are drawn for the explorer: by strategies and type hints from the command line, and by `@given` with `harness.explore`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.pytest_support import Session, run_pytest
from tests.e2e.test_explore import explore
from tests.parts import parts

SHOP = '''\
import os
import sqlite3
from celery import Celery
from pydantic import BaseModel, Field

app = Celery("shop", broker="redis://nowhere.invalid")
app.conf.task_acks_late = True

def create():
    db().execute("CREATE TABLE payments (id INTEGER PRIMARY KEY, cents INT NOT NULL)")

def db():
    return sqlite3.connect(os.environ["DB"], isolation_level=None)

class Order(BaseModel):
    cents: int = Field(ge=97, le=104)

@app.task
def pay(order: Order):
    """Twice, after a crash, what is more than 100."""
    cents = order["cents"]
    if cents < 98:
        raise ValueError("too little")
    if cents > 100 or not db().execute("SELECT 1 FROM payments").fetchone():
        db().execute("INSERT INTO payments (cents) VALUES (?)", (cents,))

@app.task
def idle(number):
    return number
'''

DRAWS = """\
from hypothesis import strategies as st
orders = st.tuples(st.tuples(st.fixed_dictionaries({"cents": st.integers(98, 100)})), st.just({}))
broken = st.integers(1, 9).map(lambda number: number / 0)
"""

SYSTEM = """\
version: 1
system:
  app: shop:app
  setup: shop:create
  services: {db: sqlite}
  env: {DB: "${{ db.path }}"}
explore:
  - {task: shop.pay, args: types, examples: 6}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A task that is right for some arguments."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "draws.py").write_text(DRAWS)
    (tmp_path / "explore.yaml").write_text(SYSTEM)
    return tmp_path


@pytest.mark.exhaustive
def test_a_model_is_drawn_from_a_hint_and_the_failure_shrunk_to_its_boundary(project: Path) -> None:
    status, out, err = explore("explore.yaml", "--time", "5m", "--json", cwd=project)
    assert (status, err) == (1, "")
    found = json.loads(out)
    assert (found["verdict"], found["args"], found["kwargs"]) == ("fails", [], {"order": {"cents": 101}})
    assert found["flaws"][0]["word"] == "EFFECT" and found["flaws"][0]["confirmed"]
    assert found["drawn"]["source"] == "types" and found["drawn"]["sets"][-1]["verdict"] == "fails"
    assert not (project / ".hypothesis").exists()


@pytest.mark.exhaustive
def test_each_set_of_a_strategy_is_certified(project: Path) -> None:
    status, out, err = explore("explore.yaml", "--task", "shop.pay", "--args", "draws:orders", "--time", "5m", cwd=project)
    assert (status, err) == (0, "")
    text = " ".join(out.split())
    assert "shop.pay() up to 6 sets of arguments, drawn from draws:orders" in text
    assert "with each of 3 sets of arguments, drawn from draws:orders with seed 0." in text
    assert "arguments other than these 3, and other first rows" in text
    assert "✓ CERTIFIED shop.pay, 3 sets of arguments" in text


UNDRAWN = [
    ("shop.pay", "draws:broken", "draws.py:3: draws:broken cannot be drawn for shop.pay: ZeroDivisionError"),
    ("shop.idle", "types", "shop.py:28: arguments by type hints cannot be drawn for shop.idle: parameter `number`"),
]


@pytest.mark.parametrize(("task", "drawn", "words"), parts(UNDRAWN, quick=UNDRAWN[:1]))
def test_what_cannot_be_drawn_is_refused_where_it_is(project: Path, task: str, drawn: str, words: str) -> None:
    status, out, err = explore("explore.yaml", "--task", task, "--args", drawn, cwd=project)
    assert status == 2, out + err
    assert words in " ".join(err.split())


TESTS = """\
from hypothesis import given, strategies as st
from harness.testing.chaos import budget
from shop import idle, pay

def test_right(harness):
    assert harness.explore(pay, {"cents": 98}).verdict == "certified"

@given(cents=st.integers(99, 102))
@budget(examples=4)
def test_broken(harness, cents):
    harness.explore(pay, {"cents": cents})

def test_undecided(harness):
    assert harness.exploration(idle, [7], worlds=5, time="1m").verdict == "inconclusive"
    harness.explore(idle, 7)

def test_by_itself(harness):
    harness.explore(pay, {"cents": 5})

def test_containers(harness):
    harness.configuration = harness.configuration.with_changes({"runtime": "containers"}, "")
    harness.explore(pay, {"cents": 98})
"""
CONFIGURATION = """\
[tool.celery-harness]
runtime = "processes"

[tool.celery-harness.system]
app = "shop:app"
setup = "shop:create"
services = { db = "sqlite" }
env = { DB = "${{ db.path }}" }
"""


def session_of(project: Path, *wanted: str) -> Session:
    """A pytest that runs these of `TESTS`."""
    (project / "test_shop.py").write_text(TESTS)
    (project / "pyproject.toml").write_text(CONFIGURATION)
    return run_pytest(project, "test_shop.py", "-k", " or ".join(wanted))


def test_a_test_explores_a_call(project: Path) -> None:
    session = session_of(project, "test_right", "test_by_itself", "test_containers")
    text = " ".join(session.text.split())
    assert session.outcomes == {"test_right": "passed", "test_by_itself": "failed", "test_containers": "failed"}, session.text
    assert "shop.pay fails without any crash: ValueError: too little" in text
    assert "explore needs the task under this machine's kernel, and this harness runs containers" in text


@pytest.mark.exhaustive
def test_a_test_explores_a_drawn_call_and_shows_how_to_see_it_again(project: Path) -> None:
    session = session_of(project, "test_broken", "test_undecided")
    text = " ".join(session.text.split())
    assert session.outcomes == {"test_broken": "failed", "test_undecided": "failed"}, session.text
    assert "EFFECT After a crash at shop.py:25: db.payments cents 101: 2, expected 1." in text
    assert "cents=101" in text
    assert "INCONCLUSIVE the task changes nothing that is observed" in text
    (report,) = (one for one in (project / "reports").iterdir() if not one.is_symlink())
    assert sorted(file.name for file in (report / "plans").iterdir()) == ["test_broken.yaml", "test_undecided.yaml"]
    assert f"celery-harness explore reports/{report.name}/plans/test_broken.yaml" in text
    status, out, _ = explore(str(report / "plans" / "test_broken.yaml"), cwd=project)
    assert status == 1 and "shop.pay({" in out
