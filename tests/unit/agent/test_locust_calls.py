"""The parts of the Locust package that need no Locust."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "harness" / "agent" / "celery_harness_locust"


def module(name: str) -> ModuleType:
    """Without the package's own import, which would import Locust."""
    full = f"celery_harness_locust.{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


@pytest.fixture(autouse=True)
def stand_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package without its `__init__`."""
    package = ModuleType("celery_harness_locust")
    package.__path__ = [str(FOLDER)]
    before = {name for name in sys.modules if name.startswith("celery_harness_locust")}
    monkeypatch.setitem(sys.modules, "celery_harness_locust", package)
    for name in ("errors", "calls"):
        monkeypatch.delitem(sys.modules, f"celery_harness_locust.{name}", raising=False)
    yield
    for name in [name for name in sys.modules if name.startswith("celery_harness_locust") and name not in before]:
        del sys.modules[name]


def test_an_unknown_task_names_what_comes_nearest() -> None:
    error = module("errors").unknown_task("orders.chrage", "shop:app", ["orders.charge", "celery.ping", "mail.send"])
    assert str(error) == "task orders.chrage is not registered in shop:app; did you mean orders.charge?"


def test_an_unknown_task_that_nothing_comes_near() -> None:
    error = module("errors").unknown_task("zzz", "shop:app", ["orders.charge", "celery.ping"])
    assert str(error).endswith("registered: orders.charge")
    assert str(module("errors").unknown_task("zzz", "shop:app", [])).endswith("registered: none")


def test_literal_calls_of_a_locustfile(tmp_path: Path) -> None:
    path = tmp_path / "users.py"
    path.write_text(
        "class A:\n"
        "    def a(self):\n"
        '        self.celery.send("known", 1)\n'
        '        self.celery.send("unknwn", 1)\n'
        "        self.celery.send(\n"
        '            "other", 1)\n'
        '        self.celery.apply("nope")\n'
        '        self.celery.send_and_wait("nope2", timeout=1)\n'
        '        self.client.send("not ours")\n'
        "        self.celery.send(name)\n"
    )
    wrong = module("calls").wrong_calls(str(path), {"shop:app": ["known"]})
    assert [line for line, _ in wrong] == [4, 6, 7, 8]
    assert "did you mean known?" in wrong[0][1]


def test_the_package_parses_on_the_oldest_python_of_the_agent() -> None:
    for path in sorted(FOLDER.glob("*.py")):
        ast.parse(path.read_text(), feature_version=(3, 8))
