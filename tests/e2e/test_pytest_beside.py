"""The plugin beside others in one session: each of them works as without it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.e2e.pytest_support import copied, run_pytest
from tests.e2e.support import processes_of
from tests.parts import parts

_TESTS = """
import pytest

@pytest.mark.harness(checks={"no_loss": {}})
@pytest.mark.parametrize("number", [1, 2])
def test_booked(harness, number):
    harness.send("shop.book_once", number, 900)

def test_plain():
    pass
"""


def project(folder: Path, text: str = _TESTS) -> Path:
    made = copied("plain", folder)
    (made / "test_shop.py").write_text(textwrap.dedent(text))
    return made


@pytest.mark.exhaustive
def test_xdist_gives_each_process_its_own_system(tmp_path: Path, redis_server_program: str) -> None:
    broken = _TESTS + "\n\ndef test_wrong(harness):\n    harness.send('shop.book_onse', 1)\n"
    made = project(tmp_path, broken)
    done = run_pytest(made, "test_shop.py", "-n", "2", using=("xdist",))
    assert done.outcomes == {"test_booked[1]": "passed", "test_booked[2]": "passed", "test_plain": "passed", "test_wrong": "failed"}, (
        done.text
    )
    assert "did you mean `shop.book_once`" in done.text
    assert not processes_of(made)


def test_all_of_them_together(tmp_path: Path, redis_server_program: str) -> None:
    """Shuffled, with a limit of time, with pytest-celery's fixtures known and Django's plugin looking on."""
    made = project(
        tmp_path,
        _TESTS.replace("[1, 2]", "[1]")
        + """

async def test_async(harness):
    harness.send("shop.book_once", 3, 900).wait()

def test_fixtures_of_pytest_celery_are_there(request, default_worker_app):
    assert request.config.pluginmanager.has_plugin("celery")
""",
    )
    options = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", "--timeout", "200", "-p", "randomly")
    done = run_pytest(made, "test_shop.py", "scenarios", *options, using=("randomly", "celery", "asyncio", "django", "timeout"))
    assert set(done.outcomes.values()) == {"passed"}, done.text
    assert len(done.outcomes) == 5
    assert not processes_of(made)


#: `make test` has signals at any moment, in test_pytest_signals.py.
@pytest.mark.exhaustive
def test_a_test_that_is_cut_off_leaves_nothing(tmp_path: Path, redis_server_program: str) -> None:
    """By pytest-timeout's own alarm, which rings here once the test waits, and not when its time is up."""
    made = project(
        tmp_path,
        """
        import os, signal, threading

        def test_long(harness):
            harness.send("shop.book_once", 1, 900)
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGALRM)).start()
            harness.wait(100)
        """,
    )
    done = run_pytest(made, "test_shop.py", "--timeout", "90", using=("timeout",))
    assert done.outcomes == {"test_long": "failed"}, done.text
    assert "Timeout" in done.text
    assert "nothing was judged" in done.text
    assert not processes_of(made)


@pytest.mark.parametrize("plugin", parts(["celery", "django", "randomly", "asyncio", "xdist"], quick=["celery", "django"]))
def test_each_of_them_alone_loads_beside_ours(tmp_path: Path, plugin: str) -> None:
    made = project(tmp_path, "def test_plain():\n    pass\n")
    done = run_pytest(made, "test_shop.py", using=(plugin,))
    assert done.outcomes == {"test_plain": "passed"}, done.text
