"""SIGINT and SIGTERM to a pytest that is in the middle of something: all that was started is stopped, and every folder of it removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.e2e.pytest_support import OTHERS, copied
from tests.e2e.support import processes_of, wait_until
from tests.parts import parts

#: Told by the project itself, from where it is: in a test, in what prepares a world, in a task.
_TOLD = "import os, pathlib, time\n\n\ndef tell():\n    pathlib.Path(os.environ['TOLD']).touch()\n"
_MOMENTS = {
    "in a test": {
        "test_shop.py": """
            from told import tell

            def test_long(harness):
                harness.send("shop.book_once", 1, 900).wait()
                tell()
                harness.wait(100)
            """
    },
    "outside of our code": {
        "test_shop.py": """
            import time
            from told import tell

            def test_long(harness_module):
                harness_module.partition("pay", "broker")
                tell()
                time.sleep(100)
            """
    },
    "while the system starts": {
        "test_shop.py": """
            import pytest

            @pytest.mark.harness(setup="slow:create")
            def test_long(harness):
                harness.send("shop.book_once", 1, 900)
            """,
        "slow.py": "from told import tell\nimport time\n\ndef create():\n    tell()\n    time.sleep(100)\n",
    },
    "in a scenario file": {
        "scenarios/late-acks-keep-the-order.yaml": """
            version: 1
            runtime: processes
            system:
              app: slow:app
              broker: redis
              env: {TOLD: "${TOLD}"}
            load: [{send: slow.task, count: 1}]
            """,
        "slow.py": """
            import time
            from celery import Celery
            from told import tell

            app = Celery("slow")

            @app.task(name="slow.task")
            def task():
                tell()
                time.sleep(100)
            """,
    },
    "in a drawn plan": {
        "test_shop.py": """
            import pytest
            from hypothesis import given
            from harness.testing.chaos import budget
            from harness.testing.strategies import calls

            @pytest.mark.harness(app="slow:app", setup=None, services=None, env=None)
            @given(call=calls("slow.task"))
            @budget(examples=3)
            def test_long(harness, call):
                harness.run_plan(call)
            """,
        "slow.py": """
            import time
            from celery import Celery
            from told import tell

            app = Celery("slow")

            @app.task(name="slow.task")
            def task():
                tell()
                time.sleep(100)
            """,
    },
}


_STATUS = {"SIGINT": 2, "SIGTERM": 143}
_QUICK = [
    ("in a test", "SIGINT"),
    ("while the system starts", "SIGTERM"),
]


@pytest.mark.parametrize(("moment", "number"), parts([(moment, number) for moment in _MOMENTS for number in _STATUS], quick=_QUICK))
def test_nothing_is_left(tmp_path: Path, redis_server_program: str, moment: str, number: str) -> None:
    made, scratch, told = copied("plain", tmp_path), tmp_path / "scratch", tmp_path / "told"
    scratch.mkdir(mode=0o711)
    (made / "test_shop.py").unlink()
    (made / "told.py").write_text(_TOLD)
    files = _MOMENTS[moment]
    for name, text in files.items():
        (made / name).write_text(textwrap.dedent(text).replace("${TOLD}", str(told)))
    target = next(name for name in files if name.endswith(".yaml") or name.startswith("test_"))
    off = [option for name in OTHERS for option in ("-p", f"no:{name}")]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "CELERY_HARNESS_RUN"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}", *off, target],
        cwd=made,
        env={**inherited, "TMPDIR": str(scratch), "TOLD": str(told)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: told.exists() or process.poll() is not None, "it is there", 90)
        assert process.poll() is None, process.communicate()[0]
        assert processes_of(made)
        assert list(scratch.glob("celery-harness-*"))
        process.send_signal(signal.Signals[number])
        text, _ = process.communicate(timeout=90)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == _STATUS[number], text
    wait_until(lambda: not processes_of(made), "no process is left")
    assert not list(scratch.iterdir()), text
